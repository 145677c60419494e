"""All that a training machine needs, and nothing else: batches for PyTorch from a published dataset.

Here belong reading, order, cache, verification, devices and normalization. Nothing here writes to a lake or knows
Dagster.
"""
