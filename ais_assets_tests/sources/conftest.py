"""What the tests of the sources share."""

from hypothesis import settings

# Compiling a kernel at its first call, or loading it, takes longer than any example may.
settings.register_profile("compiled", deadline=None)
settings.load_profile("compiled")
