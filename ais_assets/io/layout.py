"""Where each asset's partitions lie in the lake."""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import Enum

_PARTITION = re.compile(r"^[0-9A-Za-z][0-9A-Za-z._-]{0,99}$")


class Kind(Enum):
    """What one partition is stored as."""

    PARQUET = "parquet"
    FOLDER = "folder"
    """A folder named after its content, and `<partition>.json`, written last, that names the folder."""
    JSON = "json"


@dataclass(frozen=True)
class Place:
    """Where an asset lies: `<folder>/<partition>.<suffix>`, or one object if it has no partitions."""

    kind: Kind
    folder: str
    single: str | None = None

    @property
    def suffix(self) -> str:
        """How its partitions' objects end."""
        return ".parquet" if self.kind is Kind.PARQUET else ".json"

    def key(self, partition: str | None) -> str:
        """The object of a partition. Raises ValueError for a partition key that is no plain name."""
        if self.single is not None:
            if partition is not None:
                raise ValueError(f"{self.folder}/{self.single} has no partitions, but {partition!r} was asked for")
            return f"{self.folder}/{self.single}".lstrip("/")
        if partition is None:
            raise ValueError(f"{self.folder} is partitioned; name the partition")
        if not _PARTITION.match(partition):
            raise ValueError(f"{partition!r} is not a partition key")
        return f"{self.folder}/{partition}{self.suffix}"


PLACES = {
    "raw_archives": Place(Kind.FOLDER, "raw_archives"),
    "raw_records": Place(Kind.PARQUET, "raw_records"),
    "rejects": Place(Kind.PARQUET, "raw_records/rejects"),
    "clean_records": Place(Kind.PARQUET, "clean_records"),
    "daily_quality": Place(Kind.PARQUET, "daily_quality"),
    "vessels": Place(Kind.PARQUET, "vessels", "vessels.parquet"),
    "track_shards": Place(Kind.PARQUET, "track_shards"),
    "tracks": Place(Kind.PARQUET, "tracks"),
    "window_piles": Place(Kind.PARQUET, "window_piles"),
    "validation": Place(Kind.PARQUET, "materialized", "validation.parquet"),
    "holdout": Place(Kind.PARQUET, "materialized", "holdout.parquet"),
    "materialized_windows": Place(Kind.PARQUET, "materialized/windows"),
    "mds_shards": Place(Kind.FOLDER, "mds"),
    "training_dataset": Place(Kind.JSON, "mds", "index.json"),
    "dead_reckoning": Place(Kind.JSON, "reports", "dead_reckoning.json"),
}


def place_of(asset: str) -> Place:
    """The place of an asset. Raises KeyError that lists the known ones."""
    try:
        return PLACES[asset]
    except KeyError:
        raise KeyError(f"no asset {asset!r}; the lake knows {', '.join(PLACES)}") from None
