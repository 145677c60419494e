"""What an unknown file is: the source that reads most of its beginning, its span, and the settings that take it in."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any, Final

import numpy as np

from ais_assets.settings.table_mapping import NEEDED, TableMapping
from ais_assets.sources import source_for
from ais_assets.sources.file_days import span_in_name
from ais_assets.sources.rows.archive import packing_of, row_blocks
from ais_assets.sources.rows.layout import plain_name
from ais_assets.sources.rows.parquet_rows import header_line, parquet_batches, row_lines
from ais_assets.sources.source import SourceError

_MOST_BYTES: Final = 1 << 36
_HEADER_CHARACTERS = 500
_DELIMITERS = ",;\t|"
# Names that tables give to the columns, as far as they leave no doubt.
_SPELLINGS: Final = {
    "t": ("t", "time", "timestamp", "datetime", "date_time", "date_time_utc", "basedatetime", "base_date_time", "ts"),
    "mmsi": ("mmsi", "ship", "ship_id", "vessel_id"),
    "lat": ("lat", "latitude", "y"),
    "lon": ("lon", "lng", "long", "longitude", "x"),
    "sog": ("sog", "speed", "speed_over_ground"),
    "cog": ("cog", "course", "course_over_ground"),
    "heading": ("heading", "true_heading", "trueheading"),
    "name": ("name", "vesselname", "vessel_name", "shipname"),
    "imo": ("imo", "imo_nr"),
    "callsign": ("callsign", "call_sign"),
}
_UNITS: Final = {10: "unix s", 13: "unix ms", 16: "unix us", 19: "unix ns"}


def look(file: Path, table: TableMapping | None = None, delimiter: str = ",") -> dict[str, Any]:
    """What a file is: source, header, days in its name, rows read and not, span, and settings to type.

    Args:
        file: of whatever form.
        table: what its columns are, if that is known.
        delimiter: what separates them then.

    Raises SourceError where no source reads any of its rows: the message says how to name the columns of a table, and
    what each source found.
    """
    lines = first_lines(file)
    formats = [("dma", {}), ("marinecadastre", {}), ("norway", {}), ("nmea", {}), ("json", {})]
    candidates = (
        [*formats, *_tables(lines)]
        if table is None
        else [("table", _as_settings(table.model_dump(exclude_none=True), delimiter)), *formats]
    )
    refusals = []
    best: tuple[int, dict[str, Any]] | None = None
    for name, settings in candidates:
        try:
            found = _read(file, name, settings)
        except SourceError as error:
            refusals.append(f"{name}: {error}")
            continue
        if not found["records"]:
            refusals.append(f"{name}: of {found['rows']:,} rows none is a record: {found['rejects']}")
        elif best is None or found["records"] > best[0]:
            best = found["records"], found
    if best is None:
        why = " | ".join(refusals)[:2000]
        raise SourceError(f"{file.name}: no source reads any row of it. {_how_to_name_columns(lines)}{why}")
    span = span_in_name(file.name)
    named = "none: every day reads it" if span is None else f"{span.first} to {span.last}"
    return {"file": file.name, "header": lines[0][:_HEADER_CHARACTERS], "days in its name": named, **best[1]}


def first_lines(file: Path) -> list[str]:
    """The first two lines of a file, unpacked; of a Parquet file its columns and its first row as text."""
    if packing_of(file) == ".parquet":
        batch = next(parquet_batches(file, _MOST_BYTES, lambda _: True))
        lines = [header_line(batch, ","), *row_lines(batch, range(min(len(batch), 1)), ","), b""]
        return [line.decode("utf-8", "replace") for line in lines[:2]]
    blocks = row_blocks(file, block_bytes=1 << 16, max_bytes=_MOST_BYTES)
    text = next(iter(blocks), b"").decode("utf-8-sig", "replace").splitlines()
    return [*text[:2], "", ""][:2]


def _tables(lines: list[str]) -> list[tuple[str, dict[str, str]]]:
    """Settings of the table source that the header and the first row suggest, if they do."""
    delimiter, names = _columns_of(lines[0])
    values = [value.strip().strip('"') for value in lines[1].split(delimiter)]
    columns = _known_by_name(names)
    if not set(NEEDED) <= set(columns):
        return []
    place = names.index(columns["t"]["column"])
    count = re.fullmatch(r"(\d+)(?:\.\d+)?", values[place] if place < len(values) else "")
    if count and len(count[1]) in _UNITS:
        columns["t"]["unit"] = _UNITS[len(count[1])]
    return [("table", _as_settings(columns, delimiter))]


def _columns_of(header: str) -> tuple[str, list[str]]:
    """What separates a header's columns, and their names."""
    delimiter = max(_DELIMITERS, key=header.count)
    return delimiter, [name.strip().strip('"') for name in header.split(delimiter)]


def _known_by_name(names: list[str]) -> dict[str, dict[str, str]]:
    """Where our columns are, as far as the names leave no doubt."""
    columns = {}
    for column, spellings in _SPELLINGS.items():
        found = next((name for spelling in spellings for name in names if plain_name(name) == spelling), None)
        if found is not None:
            columns[column] = {"column": found}
    return columns


def _as_settings(columns: Mapping[str, Any], delimiter: str) -> dict[str, str]:
    """The settings that say so; a comma needs none."""
    settings = {"AIS_TABLE_COLUMNS": json.dumps(columns, ensure_ascii=False)}
    return settings if delimiter == "," else settings | {"AIS_TABLE_DELIMITER": delimiter.replace("\t", "\\t")}


def _how_to_name_columns(lines: list[str]) -> str:
    """What to type where a header's names do not say which columns are meant; nothing where they are too few."""
    delimiter, names = _columns_of(lines[0])
    known = _known_by_name(names)
    unknown = [column for column in NEEDED if column not in known]
    if len(names) < len(NEEDED) or not unknown:
        return ""
    settings = _as_settings({column: known.get(column, {"column": "…"}) for column in NEEDED}, delimiter)
    shown = ", ".join(map(repr, names))[:_HEADER_CHARACTERS]
    typed = "".join(f"\n  export {variable}='{value}'" for variable, value in settings.items())
    return (
        f"Is it a table, of the columns {shown}? Say where {', '.join(unknown)} are, and look again:{typed}\n"
        "Units, forms of times and further columns: ais_assets/sources/README.md, table. What the sources found: "
    )


def _read(file: Path, name: str, settings: dict[str, str]) -> dict[str, Any]:
    """What a source makes of all days of the file. Raises SourceError as the source does."""
    columns = settings.get("AIS_TABLE_COLUMNS")
    source = source_for(
        name,
        str(file.parent),
        first_day=date(1970, 1, 1),
        vessels=1,
        seed=0,
        table=None if columns is None else TableMapping.model_validate_json(columns),
        table_delimiter=settings.get("AIS_TABLE_DELIMITER", ",").replace("\\t", "\t"),
        max_bytes=_MOST_BYTES,
    )
    stream = source.read(file, None)
    low, high = np.iinfo(np.int64).max, np.iinfo(np.int64).min
    for table in stream.tables:
        times = table["t"].cast("int64").to_numpy()
        low, high = min(low, times.min(initial=low)), max(high, times.max(initial=high))
    ledger = stream.ledger
    lines = [f"AIS_SOURCE={name}", f"AIS_SOURCE_URI={file.parent}"]
    lines += [f"{variable}='{value}'" for variable, value in settings.items()]
    if ledger.rows_out:
        first, last = (datetime.fromtimestamp(t / 1000, UTC) for t in (int(low), int(high)))
        lines += [f"AIS_FIRST_DAY={first.date()}", f"AIS_LAST_DAY={last.date()}"]
        span = f"{first:%Y-%m-%d %H:%M:%S} to {last:%Y-%m-%d %H:%M:%S} UTC"
    else:
        span = "none"
    return {
        "source": name,
        "packing": packing_of(file) or "none",
        "rows": ledger.rows_in,
        "records": ledger.rows_out,
        "rejects": {reason: rows for reason, rows in ledger.dropped.items() if rows},
        "span": span,
        "settings": lines,
    }
