"""A training dataset, as it was published."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class TrainingDataset:
    """What was published.

    Attributes:
        release: hexadecimal: a digest of the whole chain behind it, from the archives on. Equal input and equal
            settings give an equal one, wherever the lake is.
        uri: where it is.
        samples: training windows.
        shards: MDS shards.
        size: their bytes, compressed.
        validation_windows: in validation.parquet.
        statistics: the content of statistics.json.
        card: the content of README.md.
    """

    release: str
    uri: str
    samples: int
    shards: int
    size: int
    validation_windows: int
    statistics: dict[str, Any]
    card: str
