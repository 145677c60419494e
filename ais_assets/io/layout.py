"""Where each asset's partitions lie in the lake."""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import Enum

from ais_assets.loader.releases import RELEASES_FOLDER, release_folder
from ais_assets.settings.cutting import Cutting

_PARTITION = re.compile(r"^[0-9A-Za-z][0-9A-Za-z._-]{0,99}$")


class Kind(Enum):
    """What one partition is stored as."""

    PARQUET = "parquet"
    FOLDER = "folder"
    """A folder named after its content, and `<partition>.json`, written last, that names the folder."""
    JSON = "json"


class Cut(Enum):
    """What the partitions of an asset are."""

    DAY = "day"
    SHARD = "shard"
    PILE = "pile"


@dataclass(frozen=True)
class Place:
    """Where an asset lies: `<folder>/<partition>.<suffix>`, or the object `single` if it has no partitions."""

    kind: Kind
    folder: str
    cut: Cut | None = None
    single: str | None = None

    @property
    def suffix(self) -> str:
        """How its partitions' objects end."""
        return ".parquet" if self.kind is Kind.PARQUET else ".json"

    def named_by(self, cutting: Cutting) -> list[str]:
        """Keys of the partitions that there are when so cut, in order; none of an asset without partitions."""
        match self.cut:
            case None:
                return []
            case Cut.DAY:
                return cutting.day_keys
            case Cut.SHARD:
                return cutting.shard_keys
            case Cut.PILE:
                return cutting.pile_keys

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

    def key_of_release(self, release: str) -> str:
        """The object that has what the asset, which has no partitions, was in a release."""
        return f"{self.folder}/{release_folder(release)}/{self.single}"


CUTTING_FOLDER = "settings"
CUTTING_KEY = f"{CUTTING_FOLDER}/partitions.json"
"""Where the lake says how its datasets are cut, as the last run had it."""

PLACES = {
    "raw_archives": Place(Kind.FOLDER, "raw_archives", Cut.DAY),
    "raw_records": Place(Kind.PARQUET, "raw_records", Cut.DAY),
    "rejects": Place(Kind.PARQUET, "raw_records/rejects", Cut.DAY),
    "clean_records": Place(Kind.PARQUET, "clean_records", Cut.DAY),
    "daily_quality": Place(Kind.PARQUET, "daily_quality", Cut.DAY),
    "vessels": Place(Kind.PARQUET, "vessels", single="vessels.parquet"),
    "track_shards": Place(Kind.PARQUET, "track_shards", Cut.SHARD),
    "tracks": Place(Kind.PARQUET, "tracks", Cut.SHARD),
    "window_piles": Place(Kind.PARQUET, "window_piles", Cut.SHARD),
    "validation": Place(Kind.PARQUET, "materialized", single="validation.parquet"),
    "holdout": Place(Kind.PARQUET, "materialized", single="holdout.parquet"),
    "test": Place(Kind.PARQUET, "materialized", single="test.parquet"),
    "materialized_windows": Place(Kind.PARQUET, "materialized/windows", Cut.PILE),
    "mds_shards": Place(Kind.FOLDER, "mds", Cut.PILE),
    "mds_index": Place(Kind.JSON, "mds", single="index.json"),
    "training_dataset": Place(Kind.JSON, "track_shards", single="index.json"),
    "dead_reckoning": Place(Kind.JSON, "reports", single="dead_reckoning.json"),
}

FIGURES_FOLDER = "figures"
"""Of the card's figures, with a folder a release; no asset's."""


def release_key(release: str) -> str:
    """The object that says what a release is; it stays when the release's files have gone."""
    return f"{RELEASES_FOLDER}/{release}.json"


def place_of(asset: str) -> Place:
    """The place of an asset. Raises KeyError that lists the known ones."""
    try:
        return PLACES[asset]
    except KeyError:
        raise KeyError(f"no asset {asset!r}; the lake knows {', '.join(PLACES)}") from None
