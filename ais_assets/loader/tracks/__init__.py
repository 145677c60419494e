"""Windows cut while training: tracks in a packed cache, any geometry, channels, selection and weights, in an order that
is computed, not stored.

What reads windows from disk belongs to `mds`; what both need, to the room around them.
"""
