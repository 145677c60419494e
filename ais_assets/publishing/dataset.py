"""A training dataset, as it was published."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ais_assets.publishing.figures.picture import Picture


@dataclass(frozen=True)
class PublishedMds:
    """Its training windows as MDS shards.

    Attributes:
        uri: where they are.
        samples: training windows.
        shards: their files.
        size: bytes of these, compressed.
        statistics: the content of statistics.json.
        index: the root index over all piles.
    """

    uri: str
    samples: int
    shards: int
    size: int
    statistics: dict[str, Any]
    index: bytes


@dataclass(frozen=True)
class TrainingDataset:
    """What was published.

    Attributes:
        release: hexadecimal: a digest of the whole chain behind it, from the archives on. Equal input and equal
            settings give an equal one, wherever the lake is.
        uri: of the lake, whose tracks windows can be cut from.
        positions: in these tracks.
        tracks_dt_seconds: the distribution of dt_seconds over them, as `statistics.track_intervals` has it.
        mds: None where AIS_WINDOW_FORMATS leaves it out.
        windows_apart: in the Parquet file of each split that has one, such as validation; none where AIS_WINDOW_FORMATS
            leaves Parquet out.
        card: the content of README.md, without its pictures.
        pictures: those of the card, by name.
    """

    release: str
    uri: str
    positions: int
    tracks_dt_seconds: dict[str, list[int]]
    mds: PublishedMds | None
    windows_apart: dict[str, int]
    card: str = ""
    pictures: Mapping[str, Picture] = field(default_factory=dict)

    def counts(self) -> dict[str, int]:
        """What there is of it, by what people call it."""
        counts = {"positions in tracks": self.positions}
        if self.mds is not None:
            counts |= {"dagster/row_count": self.mds.samples, "shards": self.mds.shards, "bytes": self.mds.size}
        return counts | {f"{split} windows": windows for split, windows in self.windows_apart.items()}
