"""Windows from disk: MDS shards, fetched, verified, unpacked into a cache and gathered in mosaicml-streaming's order.

What cuts windows itself belongs to `tracks`; what both need, to the room around them.
"""
