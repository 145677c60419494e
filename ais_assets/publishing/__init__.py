"""The commit point: what makes one dataset of partitions, and says what it is.

Here belong the root index, the statistics, the figures and the card, and what checks that the parts are of one piece.
How parts are stored belongs to io, how they are made to transforms.
"""
