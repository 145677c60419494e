"""Objects by name in a folder or a bucket: read, written whole or not at all, listed, deleted.

Here belongs what tells a folder from S3, what S3 answers, and the checksums by which what is read is what was written;
and requests over HTTP, of which every wait has an end. What the objects mean is not known here: the lake's rooms above
know.
"""
