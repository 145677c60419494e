"""The options of the loaders as types, for whoever passes them on: `Lake`, a resource.

They are those of the classes' own signatures, which say what they mean; a test holds both together.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal, TypedDict

if TYPE_CHECKING:
    import torch


class WindowFileOptions(TypedDict, total=False):
    """Of `ValidationDataset`, but where it reads."""

    drop_last: bool
    window_len: int | None
    provenance: bool
    normalize: str | Mapping[str, Any] | None
    device: str | torch.device | None
    pin_memory: bool


class _Options(TypedDict, total=False):
    """Of both loaders of training windows."""

    batch_size: int
    release: str | None
    shuffle: bool
    seed: int
    drop_last: bool
    provenance: bool
    device: str | torch.device | None
    pin_memory: bool
    threads: int | None
    download_retry: int
    download_timeout: float
    s3: Mapping[str, str | bool] | None


class MDSOptions(_Options, total=False):
    """Of `AISMDSDataset`, but where it reads; the last ones are mosaicml-streaming's."""

    split: str | None
    cache_limit: int | str | None
    window_len: int | None
    normalize: Literal["ranges", "statistics"] | Mapping[str, Any] | None
    epoch_size: int | str | None
    sampling_method: str
    sampling_granularity: int
    partition_algo: str
    num_canonical_nodes: int | None
    shuffle_algo: str
    shuffle_block_size: int | None
    batching_method: str
    replication: int | None


class TrackOptions(_Options, total=False):
    """Of `TrackWindowDataset`, but where it reads."""

    split: str
    seq_len: int | None
    max_horizon: int | None
    stride: int | None
    every_seconds: int | None
    max_silence_seconds: int
    features: Sequence[str]
    mask: bool
    times: bool
    where: str | None
    weights: str | Mapping[str, float] | None
    groups: str | None
    epoch_size: int | None
    normalize: str | Mapping[str, Any] | None
    resident: bool
