"""Objects by name in a folder or a bucket: read, written whole or not at all, listed, deleted.

Here belongs what tells a folder from S3, and what S3 answers. What the objects hold is not known here: the lake's
rooms above know.
"""
