"""Running the platform: builds over partitions, how large and how long they are, what a lake holds, what can go.

Here belongs what an operator does beside Dagster's own UI. What a stage does belongs to its asset.
"""
