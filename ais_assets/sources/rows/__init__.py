"""From an archive's bytes to typed rows: opening, splitting, parsing, rejecting with a reason.

Here belongs what several formats share. What one format means by its columns belongs to that format's file.
"""
