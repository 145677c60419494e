"""Static data in a delimited row: its fields, and the value of each of `schema.STATIC_COLUMNS`."""

from __future__ import annotations

import csv
from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Final

from ais_assets.sources.rows.record_table import StaticValue, imo_number, metres

# Placeholders as sources write them. A crew's own UNKNOWN is upper case, as all text in AIS messages, and stays.
_NO_TEXT = frozenset({"", "Unknown", "Undefined", "Unknown value"})


def split_row(text: str, delimiter: str) -> list[str]:
    """The fields of one row, blanks around quotes forgiven. Raises csv.Error where a field is absurdly long."""
    if '"' not in text:
        return text.split(delimiter)
    return next(csv.reader([text], delimiter=delimiter, skipinitialspace=True))


def _imo(text: str) -> int | None:
    # MarineCadastre has IMO9107370; pandas and Parquet files of it 9107370.0.
    return imo_number(int(_digits(text.upper().removeprefix("IMO").removesuffix(".0"))))


def _metres(text: str) -> float | None:
    # A decimal comma, as position and motion may have it.
    return metres(float(_digits(text).replace(",", ".")))


def _digits(text: str) -> str:
    """The same text. Raises ValueError where Python alone would read a number in it, as in 1_0."""
    if "_" in text:
        raise ValueError(f"{text!r} is no number")
    return text


_KNOWN_TEXTS = 1 << 14
"""That a reader remembers: a ship says most of her static data again whenever one of them changes."""
_READERS: Final[Mapping[str, Callable[[str], StaticValue]]] = {
    "imo": _imo,
    "callsign": str,
    "name": str,
    "ship_type": str,
    "length": _metres,
    "width": _metres,
    "draught": _metres,
    "destination": str,
    "identity": str,
}


def static_reader(column: str, scale: float | None) -> Callable[[str], StaticValue]:
    """What reads a field of one of `schema.STATIC_COLUMNS`: None where it says nothing.

    Args:
        column: its name.
        scale: what a length is multiplied by to be in metres; None: nothing.

    The reader raises ValueError where a field cannot be read.
    """

    @lru_cache(maxsize=_KNOWN_TEXTS)
    def read(field: str) -> StaticValue:
        if column == "identity":
            return field.strip() or None
        text = field.strip(" @")
        if text in _NO_TEXT:
            return None
        value = _READERS[column](text)
        return value if scale is None or not isinstance(value, float) else metres(value * scale)

    return read
