"""What a partition was made from and with: the links of the chain from archives to what is published."""

MADE_WITH = "made_with"
"""The fact that is the settings, by name, and the code version that a partition was made with."""
