"""How long tests wait for what must come: the one bound of them all."""

from __future__ import annotations

from typing import Final

PATIENCE_SECONDS: Final = 480
"""Only a test that fails waits so long. On a machine that has two cores for six tests, and kernels to compile first,
what takes a second alone took three minutes; shorter bounds told of the machine, not of the code."""
