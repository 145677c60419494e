"""A day's position reports, each packed into two integers, and the rules that judge them; `clean.py` is the stage.

Here belongs what knows that layout, or what holds reports by vessel and shard. What a rule is for stands where it is
implemented.
"""
