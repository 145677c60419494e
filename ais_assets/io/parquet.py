"""Parquet files that describe themselves: encodings by type, and the account in the file's own metadata."""

from __future__ import annotations

import hashlib
import io
import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import pyarrow as pa
import pyarrow.parquet as pq

from ais_assets.ledger import Ledger
from ais_assets.store.sealed_parquet import NO_SEAL, PAGES_KEY, SEAL_KEY, SealedFile, seal
from ais_assets.stream import REJECTS, RecordStream

LEDGER_KEY = b"ais.ledger"
FACTS_KEY = b"ais.facts"
ASSET_KEY = b"ais.asset"


@dataclass(frozen=True)
class PartitionFile:
    """What a partition's footer says of it.

    Attributes:
        rows: rows in the file.
        row_groups: their number.
        ledger: the account of the stage that wrote it.
        facts: what else that stage said of it.
        schema: its Arrow schema.
        fingerprint: hexadecimal; two files with the same one hold the same rows, built the same way. It is made from
            the footer alone, in which the writer left a digest of the pages.
    """

    rows: int
    row_groups: int
    ledger: Ledger
    facts: dict[str, Any]
    schema: pa.Schema
    fingerprint: str


@dataclass(frozen=True)
class Storage:
    """How a dataset's files are laid out, beyond what follows from its columns' types.

    Attributes:
        statistics: columns of which the footer has the least and the greatest value in each row group, since people
            choose rows by them. They cost up to 8 ns a value; None: all columns of a small table.
        uncompressed: columns of packed bits that zstd leaves nearly as long as they are, for 3 to 10 ns a value.
        dictionary: columns of numbers that get a dictionary, since few of them occur and not one near the other.
        plain: columns of numbers that are the same for thousands of rows: zstd makes nothing of them at a third of
            what deltas take.
        streams: columns of numbers of which the upper bytes are alike, and the differences are noise: streams of
            bytes, which lz4 makes as short as deltas packed into bits are, for a fifth less.
        page_bytes: of a page before compression.
    """

    statistics: tuple[str, ...] | None = None
    uncompressed: tuple[str, ...] = ()
    dictionary: tuple[str, ...] = ()
    plain: tuple[str, ...] = ()
    streams: tuple[str, ...] = ()
    page_bytes: int = 1 << 20


_WINDOWS = Storage(
    # Pages of 1 MiB take 4 % more room. Whoever reads a window reads many.
    statistics=("mmsi", "track", "start"),
    page_bytes=1 << 22,
)
STORAGE: Final = {
    # In file order, vessels mingled: a time is that of the rows before it, and of all else differences are noise. To
    # write and read a position's five numbers takes 66 ns so, by deltas 80, by deltas and zstd 100; a time 6 ns, by
    # deltas 11. A vessel's number is one of a few thousand: 13 ns and 1 byte by a dictionary, 25 and 3.3 by deltas.
    "raw_records": Storage(
        statistics=("t", "mmsi"),
        dictionary=("mmsi",),
        plain=("t",),
        streams=("lat_microdegrees", "lon_microdegrees", "sog_tenths", "cog_tenths", "heading"),
    ),
    # By vessel and time, the differences of positions and courses are noise; zstd saves 0.1 % of them.
    "clean_records": Storage(
        statistics=("mmsi", "t"),
        uncompressed=("lat_microdegrees", "lon_microdegrees", "cog_tenths"),
        plain=("mmsi",),
    ),
    "track_shards": Storage(
        statistics=("mmsi", "track", "t"),
        uncompressed=("lat_microdegrees", "lon_microdegrees", "cog_tenths"),
        plain=("mmsi", "track"),
    ),
    "materialized_windows": _WINDOWS,
    "validation": _WINDOWS,
    "holdout": _WINDOWS,
    "test": _WINDOWS,
}
"""By asset. Beside what the writer of our own that was here before made of the same rows of the demo (zstd 1, one busy
core, median of 3, digests and checksums in it; of raw_records 1 M rows of another day; MMSI and track still by deltas,
which takes 3 ns more of each, as do times and positions of raw_records, for 19 ns more to write and read):

| | bytes a row | before | ns to write | before | ns to read | before |
|---|--:|--:|--:|--:|--:|--:|
| `raw_records` | 11.0 | 12.6 | 230 | 109 | 73 | 44 |
| `clean_records` | 5.60 | 5.28 | 96 | 138 | 50 | 171 |
| `track_shards` | 5.12 | 4.87 | 130 | 147 | 66 | 82 |
| `materialized_windows` | 8,774 | 8,784 | 77,048 | 44,924 | 41,720 | 39,894 |
"""
_SMALL: Final = Storage()
"""Of every other asset."""


def _encodings(schema: pa.Schema, storage: Storage) -> tuple[list[str], dict[str, str]]:
    """Columns that get a dictionary, and the encoding of every other one.

    Names and texts repeat: a dictionary. Integers and times are near those before them: deltas packed into bits. The
    bytes of floats are alike place by place: streams of them, which takes a window from 9.7 kB to 8.7. Bits: runs.
    """
    dictionary, encoding = [], {}
    for field in schema:
        kind = field.type
        if pa.types.is_dictionary(kind) or pa.types.is_string(kind) or field.name in storage.dictionary:
            dictionary.append(field.name)
        elif pa.types.is_fixed_size_list(kind):
            encoding[f"{field.name}.list.element"] = "BYTE_STREAM_SPLIT"
        elif pa.types.is_list(kind):
            dictionary.append(f"{field.name}.list.element")
        elif field.name in storage.plain:
            encoding[field.name] = "PLAIN"
        elif field.name in storage.streams:
            encoding[field.name] = "BYTE_STREAM_SPLIT"
        elif pa.types.is_boolean(kind):
            encoding[field.name] = "RLE"
        elif pa.types.is_floating(kind):
            encoding[field.name] = "BYTE_STREAM_SPLIT"
        else:
            encoding[field.name] = "DELTA_BINARY_PACKED"
    return dictionary, encoding


def _leaves(schema: pa.Schema) -> list[str]:
    """The columns as Parquet names them."""
    return [f"{field.name}.list.element" if pa.types.is_nested(field.type) else field.name for field in schema]


_MOST_PAGE_ROWS: Final = 1 << 20
"""Their bytes end pages, and not the 20,000 rows that pyarrow would end them after."""
_BATCH_VALUES: Final = 1 << 16
"""Encoded between two looks at a page's size. Together a tenth of the time that `raw_records` takes to write."""


def _writer(file: _FileUnderWay, schema: pa.Schema, storage: Storage, level: int) -> pq.ParquetWriter:
    dictionary, encoding = _encodings(schema, storage)
    statistics = _leaves(schema) if storage.statistics is None else storage.statistics
    leaves = _leaves(schema)
    codec = dict.fromkeys(leaves, "zstd") | dict.fromkeys(storage.streams, "lz4")
    codec |= dict.fromkeys(storage.uncompressed, "none")
    return pq.ParquetWriter(
        file,
        schema,
        compression=codec,  # pyright: ignore[reportArgumentType]
        compression_level={leaf: level for leaf in leaves if codec[leaf] == "zstd"},
        use_dictionary=dictionary,  # pyright: ignore[reportArgumentType] - the stub knows no lists
        column_encoding=encoding,
        write_statistics=list(statistics),  # pyright: ignore[reportArgumentType]
        data_page_size=storage.page_bytes,
        max_rows_per_page=_MOST_PAGE_ROWS,
        write_batch_size=_BATCH_VALUES,
        write_page_checksum=True,
    )


_BEHIND_BYTES: Final = 1 << 25
"""That are handed to the disk at a time. Left to itself the system keeps some gigabytes back, and whoever then waits
until a file is safe waits for all of them."""


class _FileUnderWay(io.RawIOBase):
    """A file that is written, of which the disk takes its part while it goes on, with a digest of what it has."""

    def __init__(self, path: Path) -> None:
        self._file = path.open("wb")
        self._digest = hashlib.sha256()
        self._under_way = 0

    def writable(self) -> bool:
        return True

    def write(self, data: Any, /) -> int:
        """Takes all of `data`; returns its length."""
        written = self._file.write(data)
        self._digest.update(data)
        new = self._file.tell() - self._under_way
        if new >= _BEHIND_BYTES and hasattr(os, "posix_fadvise"):
            self._file.flush()
            # Linux begins to write what is not to be kept in memory; until it is written, it stays there.
            os.posix_fadvise(self._file.fileno(), self._under_way, new, os.POSIX_FADV_DONTNEED)
            self._under_way += new
        return written

    def tell(self) -> int:
        return self._file.tell()

    def digest(self) -> str:
        """Sha256 of what was written so far, hexadecimal."""
        return self._digest.hexdigest()

    def close(self) -> None:
        self._file.close()
        super().close()


def write_parquet(stream: RecordStream, path: Path, *, asset: str, partition: str | None, level: int) -> PartitionFile:
    """Writes a stream to a local file, a row group a table, and its account and facts but REJECTS into the footer.

    Raises LedgerError when the stage's account does not add up, ValueError when a table has another schema
    than the stream says; the file is then incomplete and must not be published.
    """
    name = f"{asset}[{partition}]" if partition else asset
    with _FileUnderWay(path) as file, _writer(file, stream.schema, STORAGE.get(asset, _SMALL), level) as writer:
        for table in stream.tables:
            writer.write_table(table, max(table.num_rows, 1))
        stream.ledger.balance(name)
        writer.add_key_value_metadata(
            {
                ASSET_KEY: json.dumps({"asset": asset, "partition": partition}, sort_keys=True),
                LEDGER_KEY: stream.ledger.to_json(),
                FACTS_KEY: json.dumps({k: v for k, v in stream.facts.items() if k != REJECTS}, sort_keys=True),
                # pyarrow's writer keeps nothing back of a table but its place in the footer.
                PAGES_KEY: file.digest(),
                SEAL_KEY: NO_SEAL,
            }
        )
    seal(path)
    with pa.OSFile(str(path)) as source, SealedFile(source, str(path), "write it again") as written:
        return describe(written)


def describe(file: SealedFile) -> PartitionFile:
    """What a file's footer says."""
    metadata = file.metadata.metadata or {}
    return PartitionFile(
        file.metadata.num_rows,
        file.metadata.num_row_groups,
        Ledger.from_json(metadata[LEDGER_KEY]),
        json.loads(metadata[FACTS_KEY]),
        file.schema_arrow,
        hashlib.sha256(b"".join(key + b"=" + metadata[key] + b";" for key in sorted(metadata))).hexdigest()[:16],
    )
