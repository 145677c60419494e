"""Figures: pure functions from tables and arrays to pictures, each with the words for those who cannot see it.

Where the tables come from belongs to the room above, where the pictures show to it and to the assets.
"""
