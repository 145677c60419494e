"""Made-up ships that behave like ships, and transmit like them.

Here belong waters, fleets and voyages. The file they are written as belongs to `sources.simulated`.
"""
