"""Parquet files that describe themselves: encodings by type, and the account in the file's own metadata."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from ais_assets.io.bulk_writer import PAGE_BYTES, BulkWriter, is_bulk
from ais_assets.ledger import Ledger
from ais_assets.stream import REJECTS, RecordStream

LEDGER_KEY = b"ais.ledger"
FACTS_KEY = b"ais.facts"
ASSET_KEY = b"ais.asset"
PAGES_KEY = b"ais.pages"
"""A digest of every page: what pages' checksums tell, or sha256, of all that is before the footer."""


class PartitionFileError(ValueError):
    """A file in the lake is not one that this platform wrote, or is damaged; the message says which."""


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


def _writer(path: Path, schema: pa.Schema, level: int) -> BulkWriter | pq.ParquetWriter:
    """A writer for these columns: the bulk of the lake's bytes by its own, the rest, with its text, by pyarrow's."""
    if is_bulk(schema):
        return BulkWriter(path, schema, level)
    dictionary, encoding = _encodings(schema)
    return pq.ParquetWriter(
        path,
        schema,
        compression="zstd",
        compression_level=level,
        use_dictionary=dictionary,  # pyright: ignore[reportArgumentType] - the stub knows no lists
        column_encoding=encoding,
        store_decimal_as_integer=True,
        data_page_size=PAGE_BYTES,
    )


def _pages_digest(writer: BulkWriter | pq.ParquetWriter, path: Path) -> str:
    """Of all pages written so far, hexadecimal."""
    if isinstance(writer, BulkWriter):
        return writer.digest
    # pyarrow's writer keeps nothing back of a table but its place in the footer.
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _encodings(schema: pa.Schema) -> tuple[list[str], dict[str, str]]:
    """Columns that get a dictionary, and the encoding of every other one: deltas, or bytes split into streams."""
    dictionary, encoding = [], {}
    for field in schema:
        kind = field.type
        if pa.types.is_dictionary(kind) or pa.types.is_string(kind):
            dictionary.append(field.name)
        elif pa.types.is_list(kind):
            dictionary.append(f"{field.name}.list.element")
        elif pa.types.is_boolean(kind):
            encoding[field.name] = "RLE"
        elif pa.types.is_floating(kind):
            encoding[field.name] = "BYTE_STREAM_SPLIT"
        else:
            encoding[field.name] = "DELTA_BINARY_PACKED"
    return dictionary, encoding


def write_parquet(stream: RecordStream, path: Path, *, asset: str, partition: str | None, level: int) -> PartitionFile:
    """Writes a stream to a local file, a row group a table, and its account and facts but REJECTS into the footer.

    Raises LedgerError when the stage's account does not add up, ValueError when a table has another schema
    than the stream says; the file is then incomplete and must not be published.
    """
    with _writer(path, stream.schema, level) as writer:
        for table in stream.tables:
            writer.write_table(table, max(table.num_rows, 1))
        stream.ledger.balance(f"{asset}[{partition}]" if partition else asset)
        writer.add_key_value_metadata(
            {
                ASSET_KEY: json.dumps({"asset": asset, "partition": partition}, sort_keys=True),
                LEDGER_KEY: stream.ledger.to_json(),
                FACTS_KEY: json.dumps({k: v for k, v in stream.facts.items() if k != REJECTS}, sort_keys=True),
                PAGES_KEY: _pages_digest(writer, path),
            }
        )
    with pq.ParquetFile(path) as file:
        return describe(file, str(path))


def describe(file: pq.ParquetFile, where: str) -> PartitionFile:
    """Reads what a footer says. Raises PartitionFileError for a file that this platform did not write."""
    metadata = file.metadata.metadata or {}
    for key in (LEDGER_KEY, FACTS_KEY, PAGES_KEY):
        if key not in metadata:
            raise PartitionFileError(
                f"{where} is Parquet but not of this lake (no {key.decode()} in its footer): materialize it again"
            )
    return PartitionFile(
        file.metadata.num_rows,
        file.metadata.num_row_groups,
        Ledger.from_json(metadata[LEDGER_KEY]),
        json.loads(metadata[FACTS_KEY]),
        file.schema_arrow,
        hashlib.sha256(b"".join(key + b"=" + metadata[key] + b";" for key in sorted(metadata))).hexdigest()[:16],
    )
