"""How the compiled readers of rows are compiled."""

from __future__ import annotations

from typing import Any, Final, cast

from numba import njit

compiled: Final = cast(Any, njit)(cache=True, nogil=True, _nrt=False)
"""For functions that allocate nothing, and so need nothing of numba's run time, which would count references to every
array at every call: without it the rows of delimited text take four fifths of the time, of JSON a fifth."""
