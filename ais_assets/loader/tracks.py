"""Windows cut from the tracks themselves while training: any length, any channel, any selection, no windows on disk.

track_index           what is published
track_cache           the files, fetched, checked and packed into a local folder
packed_tracks         what they are packed into
window_plan           which windows there are
channels              what a position holds, and cutting
permutation, window_order, epochs    the order, and who has which of it
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from os import PathLike
from pathlib import Path
from typing import Any, Final, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from ais_assets import schema
from ais_assets.loader.agreement import require_same_on_all_ranks
from ais_assets.loader.channels import CHANNELS, channel_numbers, cut_windows, needs_channels, window_times
from ais_assets.loader.device import Batch, empty_tensor, features_of
from ais_assets.loader.epochs import EpochDataset
from ais_assets.loader.errors import LoaderError
from ais_assets.loader.normalize import check_normalize, offsets_and_scales, scale_in_place
from ais_assets.loader.options import check_positive, place
from ais_assets.loader.packed_tracks import PackedTracks
from ais_assets.loader.remote import Remote
from ais_assets.loader.track_cache import TrackCache
from ais_assets.loader.track_index import TRACKS_FOLDER, TRACKS_INDEX, TracksIndex
from ais_assets.loader.window_order import PassOrder, WindowOrder
from ais_assets.loader.window_plan import Geometry, WindowPlan, position_plan
from ais_assets.loader.world import check_not_shared_out_again
from ais_assets.machine import usable_cores

_GEOMETRY: Final = {"seq_len": schema.SEQ_LEN, "max_horizon": schema.MAX_HORIZON, "stride": schema.STRIDE}
"""Where neither the caller nor the index says."""


class _Opened(NamedTuple):
    """What a process has mapped and computed."""

    tracks: PackedTracks
    plan: WindowPlan
    order: WindowOrder


class TrackWindowDataset(EpochDataset):
    """Training windows as batches, cut from tracks, with the interface of `AISMDSDataset`.

    The tracks are fetched and packed into a local cache once, some 12 bytes a position; training starts when they are
    there. On one rank or many, with DataLoader workers or without, an epoch is every window exactly once.

    Args:
        remote: the lake, or its `track_shards`: a folder or s3://bucket/prefix.
        local: a cache folder, which jobs may share.
        batch_size: windows a batch, on each rank; an epoch's last ones may be smaller.
        split: "train", "validation" or "holdout" (which is by time, of all vessels).
        seq_len, max_horizon, stride: positions that a model sees, that it may forecast, and from one window's start to
            the next one's; None: as the windows that were published beside the tracks, or 128, 800 and 32.
        features: of a position, in this order: see `channels.CHANNELS`.
        mask: yield also "mask", bool (B, window, features): which values were received, and not held or missing.
        times: yield also "times", int64 (B, window): Unix time in seconds.
        provenance: yield also "mmsi", "track" and "start", int64 (B,); `start` is Unix time in seconds.
        epoch_size: windows of an epoch; None: all. Shorter ones go on where the former ended.
        shuffle: a new order in every epoch; False: by shard, track and start.
        seed: keys the order.
        drop_last: whether to drop an epoch's last batch if it is smaller.
        normalize: "ranges", or statistics (the content of mds/statistics.json) for z-scores of the five features.
            Sines, cosines, flags and the navigational status are left as they are, the heading gets its range.
        device: copy batches there, one ahead; on CUDA from pinned memory without waiting.
        pin_memory: yield batches in pinned host memory.
        threads: that fetch and pack, and that cut batches ahead of their use; None: one a core, at most 8.
        download_retry: further attempts to read a file, after a timeout or to replace a damaged one.
        download_timeout: seconds for one attempt.
        s3: settings where the standard AWS ones are not enough: endpoint_url, region_name, profile_name.

    Yields:
        float32 tensors (batch_size, window, features), or (features, {name: tensor}) with what else was asked for.

    Attributes:
        windows: how many the split has.
        index: what is published.

    Raises:
        ValueError: an option cannot be, or there is no such window.
        TypeError: there is no such option.
        LoaderError: the index or a track file cannot be had, or is damaged; the cache cannot be written.
    """

    def __init__(
        self,
        remote: str | PathLike[str],
        local: str | PathLike[str],
        batch_size: int = 64,
        split: str = "train",
        *,
        seq_len: int | None = None,
        max_horizon: int | None = None,
        stride: int | None = None,
        features: Sequence[str] = schema.FEATURE_NAMES,
        mask: bool = False,
        times: bool = False,
        provenance: bool = False,
        epoch_size: int | None = None,
        shuffle: bool = True,
        seed: int = 9176,
        drop_last: bool = False,
        normalize: str | Mapping[str, Any] | None = None,
        device: str | torch.device | None = None,
        pin_memory: bool = False,
        threads: int | None = None,
        download_retry: int = 2,
        download_timeout: float = 60.0,
        s3: Mapping[str, str] | None = None,
    ) -> None:
        self._channels = channel_numbers(tuple(features))
        self._scaling = _scaling(normalize, self._channels)
        self.features = tuple(features)
        self.mask, self.times, self.provenance = mask, times, provenance
        remote, local = place("remote", remote), place("local", local)
        self._remote = Remote(_published_at(remote), retries=download_retry, timeout=download_timeout, s3=s3)
        self.index = _read_index(self._remote)
        self._cache = TrackCache(Path(local), self._remote, self.index, threads or min(8, usable_cores()))
        published = {name: int(self.index.settings.get(name, _GEOMETRY[name])) for name in _GEOMETRY}
        self.geometry = Geometry(
            published["seq_len"] if seq_len is None else seq_len,
            published["max_horizon"] if max_horizon is None else max_horizon,
            published["stride"] if stride is None else stride,
        )
        self._split, self._shuffle, self._seed, self._epoch_size = split, shuffle, seed, epoch_size
        self._opened: _Opened | None = None
        plan = self._open().plan
        self.windows = plan.windows
        if not self.windows:
            raise ValueError(
                f"{self._remote.uri} holds no {split} window of {self.geometry.window_len} positions: take a shorter "
                "seq_len or max_horizon, or another split"
            )
        super().__init__(
            self._size_of_epoch(plan.windows),
            self._cache.folder / ".epoch",
            batch_size=batch_size,
            drop_last=drop_last,
            device=device,
            pin_memory=pin_memory,
            threads=threads,
        )

    @property
    def window_len(self) -> int:
        """Positions of a window."""
        return self.geometry.window_len

    def batch(self, windows: NDArray[np.int64] | Sequence[int]) -> Any:
        """Windows by their number among the split's, 0 to `windows` − 1, as they are yielded, on the host.

        Raises IndexError where there is no such window.
        """
        self._check_open()
        numbers = np.asarray(windows, np.int64)
        astray = numbers[(numbers < 0) | (numbers >= self.windows)]
        if len(astray):
            raise IndexError(f"there is no window {astray[0]} of {self.windows:,}")
        return self.finished(self._cut(numbers))

    def batch_of(self, epoch: int, first: int, last: int) -> Batch:
        """As `EpochDataset.batch_of`."""
        return self._cut(self._open().order.windows(epoch, np.arange(first, last)))

    def finished(self, batch: Batch) -> Batch:
        """The batch, normalized."""
        if self._scaling is not None:
            scale_in_place(features_of(batch), *self._scaling)
        return batch

    def identity(self) -> dict[str, Any]:
        """As `EpochDataset.identity`: the tracks, the windows of them, and their order."""
        return {
            "index": self.index.digest,
            "split": self._split,
            "geometry": self.geometry.name,
            "epoch_size": self.places,
            "shuffle": self._shuffle,
            "seed": self._seed,
        }

    def close(self) -> None:
        """As `EpochDataset.close`."""
        super().close()
        self._opened = None
        self._cache.close()

    def __getstate__(self) -> dict[str, Any]:
        """For spawned DataLoader workers, which map the tracks themselves."""
        check_not_shared_out_again(self._world)
        return {**self.__dict__, "_opened": None}

    def _size_of_epoch(self, windows: int) -> int:
        check_positive(epoch_size=self._epoch_size)
        return self._epoch_size or windows

    def _open(self) -> _Opened:
        if self._opened is None:
            tracks = self._cache.open(channels=needs_channels(self._channels))
            plan = position_plan(tracks, self.geometry, self._split, self.index.settings.get("holdout_from"))
            order = PassOrder(
                max(1, plan.windows), self._size_of_epoch(plan.windows), seed=self._seed, shuffle=self._shuffle
            )
            self._opened = _Opened(tracks, plan, order)
        return self._opened

    def _cut(self, windows: NDArray[np.int64]) -> Batch:
        tracks, plan, _ = self._open()
        stretch, begin = plan.locate(windows)
        track = plan.stretches.track[stretch]
        shape = len(windows), self.window_len, len(self._channels)
        features = empty_tensor(shape, torch.float32, pin_memory=self.pin_memory)
        others: dict[str, torch.Tensor] = {}

        def other(name: str, shape: tuple[int, ...], dtype: torch.dtype) -> NDArray[Any]:
            others[name] = empty_tensor(shape, dtype, pin_memory=self.pin_memory)
            return others[name].numpy()

        mask = other("mask", shape, torch.bool) if self.mask else None
        cut_windows(tracks.rows, begin, self._channels, features.numpy(), mask)
        if self.times:
            window_times(tracks, track, begin, other("times", shape[:2], torch.int64))
        if self.provenance:
            other("mmsi", shape[:1], torch.int64)[:] = tracks.mmsi[track]
            other("track", shape[:1], torch.int64)[:] = tracks.track[track]
            starts = np.empty((len(windows), 1), np.int64)
            window_times(tracks, track, begin, starts)
            other("start", shape[:1], torch.int64)[:] = starts[:, 0]
        return (features, others) if others else features


def _published_at(remote: str) -> str:
    """The address of the published tracks, of the lake's or its own."""
    uri = remote.rstrip("/")
    return uri if uri.rpartition("/")[2] == TRACKS_FOLDER else f"{uri}/{TRACKS_FOLDER}"


def _read_index(remote: Remote) -> TracksIndex:
    where = f"{remote.uri}/{TRACKS_INDEX}"
    try:
        data = remote.read(TRACKS_INDEX)
    except FileNotFoundError:
        raise LoaderError(f"{where} is missing: materialize training_dataset, or correct the address") from None
    require_same_on_all_ranks(data, where)
    return TracksIndex.parsed(data, where)


def _scaling(
    normalize: str | Mapping[str, Any] | None, channels: NDArray[np.int64]
) -> tuple[tuple[float, ...], tuple[float, ...]] | None:
    """What is taken from each feature, and what it is then divided by."""
    check_normalize(normalize, ("ranges",))
    if normalize is None:
        return None
    chosen = [CHANNELS[number] for number in channels.tolist()]
    offsets = {channel.name: channel.low for channel in chosen}
    scales = {channel.name: channel.high - channel.low for channel in chosen}
    if isinstance(normalize, Mapping):
        means, deviations = offsets_and_scales(normalize)
        offsets |= dict(zip(schema.FEATURE_NAMES, means, strict=True))
        scales |= dict(zip(schema.FEATURE_NAMES, deviations, strict=True))
    return tuple(offsets[channel.name] for channel in chosen), tuple(scales[channel.name] for channel in chosen)
