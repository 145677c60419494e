"""All that a training machine needs, and nothing else: batches for PyTorch from a published dataset.

Two rooms, one a product: `mds`, windows from disk, and `tracks`, windows cut while training. Beside them stands what
both use: the validation file, devices, normalization, what is remote, the job's processes. Nothing here writes to a
lake or knows Dagster.
"""
