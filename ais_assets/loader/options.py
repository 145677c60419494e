"""Options that training code gives: a wrong name or value is refused with what was probably meant."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from difflib import get_close_matches
from os import PathLike, fspath
from typing import Final

_UNITS: Final = {unit: 1024**power for power, unit in enumerate(("", "k", "m", "g", "t", "p", "e"))}
_NUMBERS: Final = {"": 1, "k": 10**3, "m": 10**6, "b": 10**9, "t": 10**12}
_COUNT: Final = re.compile(r"\s*([0-9]+(?:\.[0-9]+)?)\s*([kmbt]?)\s*", re.IGNORECASE)
_BYTES: Final = re.compile(r"\s*([0-9]+(?:\.[0-9]+)?)\s*([kmgtpe]?)b?\s*", re.IGNORECASE)


def check_names(
    what: str, given: Iterable[str], known: Iterable[str], instead: Mapping[str, str] | None = None
) -> None:
    """Raises TypeError for the first name that is not known; the message has the nearest one, or all.

    Args:
        what: has these names, for the message.
        given: the names given.
        known: the names that there are.
        instead: by names that others know, what to use here.
    """
    known = tuple(known)
    for name in given:
        if name not in known:
            near = get_close_matches(name, known, 1)
            advice = (instead or {}).get(name) or (
                f"did you mean {near[0]}?" if near else f"there are {', '.join(known)}"
            )
            raise TypeError(f"{what} has no option {name}: {advice}")


def check_positive(**values: int | None) -> None:
    """Raises ValueError for a number that is given and less than 1."""
    for name, value in values.items():
        if value is not None and value < 1:
            raise ValueError(f"{name} is {value}; it must be at least 1")


def bytes_of(name: str, value: int | str) -> int:
    """A number of bytes, given as such or as "200gb" (1 kb is 1,024 bytes). Raises ValueError where it is no such."""
    if isinstance(value, str):
        found = _BYTES.fullmatch(value)
        if found is None:
            raise ValueError(f"{name} is {value!r}; it must be a number of bytes, or one such as '200gb'")
        value = int(float(found[1]) * _UNITS[found[2].lower()])
    if value < 1:
        raise ValueError(f"{name} is {value}; it must be at least 1 byte, or None for no limit")
    return value


def count_of(name: str, value: int | str) -> int:
    """A number of samples, given as such or as "64M". Raises ValueError where it is no such, or less than 1."""
    if isinstance(value, str):
        found = _COUNT.fullmatch(value)
        if found is None:
            raise ValueError(f"{name} is {value!r}; it must be a number, or one such as '64M'")
        value = int(float(found[1]) * _NUMBERS[found[2].lower()])
    check_positive(**{name: value})
    return value


def place(name: str, path: str | PathLike[str]) -> str:
    """A folder or an address. Raises ValueError for an empty one."""
    if not fspath(path):
        raise ValueError(f"{name} is empty; it must be a folder" + (" or an address" if name == "remote" else ""))
    return fspath(path)
