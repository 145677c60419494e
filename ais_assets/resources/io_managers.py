"""Dagster's IO managers over the lake: Parquet partitions, folders (archives, MDS piles), JSON values.

An asset hands over `Partitions`: one payload for each partition of its run, made one after the other. Who loads an
asset through Dagster gets a lazy `pyarrow.dataset.Dataset` over the partitions as stored, a manifest each, or the
JSON value.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from typing import Any, TypeVar

import pyarrow as pa
import pyarrow.dataset as ds
from dagster import (
    AssetKey,
    DataVersion,
    InputContext,
    IOManager,
    MetadataValue,
    OutputContext,
    TableColumn,
    TableColumnConstraints,
    TableColumnDep,
    TableColumnLineage,
    TableRecord,
    TableSchema,
)

from ais_assets.io.catalog import LINEAGE
from ais_assets.io.lake import Folder, Lake, Published
from ais_assets.io.provenance import MADE_FROM, digest_of
from ais_assets.stream import REJECTS, RecordStream

Payload = RecordStream | Folder
Key = str | None
_REJECTS_SHOWN = 20
"""Rejected rows in the UI; the table of rejects has some more."""
Form = TypeVar("Form", RecordStream, Folder)


@dataclass(frozen=True)
class Partitions:
    """What an asset returns: (partition key, payload), one at a time; the key is None without partitions."""

    items: Generator[tuple[Key, Payload]]


def materialization_metadata(published: Published, key: Key, asset: str) -> dict[str, Any]:
    """What the UI shows of a partition, or of an asset without: rows, bytes, where it is, its schema, the account."""
    metadata: dict[str, Any] = {
        "dagster/uri": MetadataValue.text(published.uri),
        "dagster/row_count" if key is None else "dagster/partition_row_count": published.rows,
        "bytes": published.size,
        "rows in": published.ledger.rows_in,
        "rows out": published.ledger.rows_out,
        "rows dropped": published.ledger.rows_dropped,
    }
    if published.schema is not None:
        metadata["dagster/column_schema"] = table_schema(published.schema)
        if (lineage := column_lineage(asset)) is not None:
            metadata["dagster/column_lineage"] = lineage
    if published.ledger.dropped:
        records = [TableRecord({"rule": rule, "rows": rows}) for rule, rows in published.ledger.dropped.items()]
        metadata["dropped by rule"] = MetadataValue.table(records)
    metadata |= {name.replace("_", " "): count for name, count in published.ledger.notes.items()}
    if published.facts.get(REJECTS):
        rows = published.facts[REJECTS][:_REJECTS_SHOWN]
        metadata["some rejected rows"] = MetadataValue.table([TableRecord(row) for row in rows])
    metadata |= {
        name.replace("_", " "): MetadataValue.json(value) if isinstance(value, (dict, list)) else value
        for name, value in published.facts.items()
        if value is not None and name not in (REJECTS, MADE_FROM)
    }
    return metadata


def table_schema(schema: pa.Schema) -> TableSchema:
    """An Arrow schema as the UI shows it, units and descriptions included."""
    columns = []
    for field in schema:
        metadata = {key.decode(): value.decode() for key, value in (field.metadata or {}).items()}
        unit = metadata.get("unit", "1")
        description = metadata.get("description", "") + (f" [{unit}]" if unit != "1" else "")
        columns.append(
            TableColumn(
                field.name,
                str(field.type),
                description=description,
                constraints=TableColumnConstraints(nullable=field.nullable),
            )
        )
    return TableSchema(columns)


def column_lineage(asset: str) -> TableColumnLineage | None:
    """Which columns the asset's columns were made of, as the UI shows it; None where no asset's are behind them."""
    if asset not in LINEAGE:
        return None
    return TableColumnLineage(
        {
            column: [TableColumnDep(AssetKey(of), name) for of, name in sources]
            for column, sources in LINEAGE[asset].items()
        }
    )


class ParquetIOManager(IOManager):
    """Stores `Partitions` of record streams; loads lazily."""

    def __init__(self, lake: Lake) -> None:
        self._lake = lake

    def handle_output(self, context: OutputContext, obj: Partitions) -> None:
        asset = context.asset_key.path[-1]
        store_partitions(context, obj, RecordStream, lambda key, stream: self._lake.write(asset, key, stream))

    def load_input(self, context: InputContext) -> ds.Dataset:
        return self._lake.dataset(context.asset_key.path[-1], _partitions_of(context))


class FolderIOManager(IOManager):
    """Stores `Partitions` of folders; loads each partition's manifest, with the folder's address as "uri"."""

    def __init__(self, lake: Lake) -> None:
        self._lake = lake

    def handle_output(self, context: OutputContext, obj: Partitions) -> None:
        asset = context.asset_key.path[-1]
        store_partitions(context, obj, Folder, lambda key, folder: self._lake.write_folder(asset, key or "", folder))

    def load_input(self, context: InputContext) -> dict[str, dict[str, Any]]:
        asset = context.asset_key.path[-1]
        return {
            key: self._lake.manifest(asset, key) | {"uri": self._lake.folder_uri(asset, key)}
            for key in _partitions_of(context) or []
        }


class JSONIOManager(IOManager):
    """Stores an unpartitioned asset that is one JSON value."""

    def __init__(self, lake: Lake) -> None:
        self._lake = lake

    def handle_output(self, context: OutputContext, obj: object) -> None:
        published = self._lake.write_json(context.asset_key.path[-1], obj)
        context.step_context.set_data_version(context.asset_key, DataVersion(published.fingerprint))
        context.add_output_metadata({"dagster/uri": published.uri, "bytes": published.size})

    def load_input(self, context: InputContext) -> Any:
        return self._lake.json(context.asset_key.path[-1])


def store_partitions(
    context: OutputContext,
    partitions: Partitions,
    form: type[Form],
    store: Callable[[Key, Form], Published],
) -> None:
    """Stores each payload before the next is made, with metadata of its own for each partition.

    Raises TypeError for a payload of another form than this IO manager stores, ValueError when the asset made
    other partitions than the run was asked for.
    """
    asset = context.asset_key.path[-1]
    if not isinstance(partitions, Partitions):
        raise TypeError(f"{asset} must return Partitions, not {type(partitions).__name__}")
    expected = sorted(context.asset_partition_keys) if context.has_asset_partitions else [None]
    made: dict[Key, str] = {}
    # Also where storing fails, what a partition is made of is let go at once.
    with closing(partitions.items) as items:
        for key, payload in items:
            if key not in expected:
                raise ValueError(f"{asset} made partition {key!r}; the run is for {expected}")
            if not isinstance(payload, form):
                raise TypeError(f"{asset} made a {type(payload).__name__}; its IO manager stores {form.__name__}")
            published = store(key, payload)
            made[key] = published.fingerprint
            context.log.info(_summary(key, published))
            context.step_context.add_asset_metadata(
                materialization_metadata(published, key, asset), asset_key=context.asset_key, partition_key=key
            )
    if set(made) != set(expected):
        raise ValueError(f"{asset} made the partitions {list(made)} of {expected}")
    context.step_context.set_data_version(context.asset_key, data_version(made))


def data_version(made: Mapping[Key, str]) -> DataVersion:
    """What Dagster is told of a run's partitions: the one's fingerprint, or a digest of all of them.

    Dagster keeps one data version a run and not one a partition. Where a run makes several, a partition that is made
    again by itself, with the same content, is another version to Dagster, and what depends on it seems out of date;
    `ais status` goes by each partition's own fingerprint.
    """
    return DataVersion(next(iter(made.values())) if len(made) == 1 else digest_of(sorted(made.items())))


def _summary(key: str | None, published: Published) -> str:
    ledger = published.ledger
    dropped = ", ".join(f"{rule} {rows:,}" for rule, rows in ledger.dropped.items() if rows)
    return (
        f"{key + ': ' if key else ''}{ledger.rows_in:,} in, {ledger.rows_out:,} out"
        f"{', dropped: ' + dropped if dropped else ''}; {published.size:,} bytes at {published.uri}"
    )


def _partitions_of(context: InputContext) -> Sequence[str] | None:
    return list(context.asset_partition_keys) if context.has_asset_partitions else None
