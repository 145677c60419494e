"""Windows cut from the tracks themselves while training: any length, any channel, any selection, no windows on disk.

track_index           what is published
track_cache           the files, fetched, checked and packed into a local folder
packed_tracks         what they are packed into
window_plan           which windows there are
channels              what a position holds, and cutting
permutation, window_order, epochs    the order, and who has which of it
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from ais_assets import schema
from ais_assets.loader.device import Batch, features_of
from ais_assets.loader.errors import LoaderError
from ais_assets.loader.normalize import check_normalize, offsets_and_scales, scale_in_place
from ais_assets.loader.options import check_positive, place
from ais_assets.loader.releases import published_index
from ais_assets.loader.remote import Remote
from ais_assets.loader.tracks.agreement import require_same_on_all_ranks
from ais_assets.loader.tracks.alias import WeightedOrder
from ais_assets.loader.tracks.channels import CHANNELS, channel_numbers, cut_windows, needs_channels, window_times
from ais_assets.loader.tracks.epochs import EpochDataset
from ais_assets.loader.tracks.packed_tracks import PackedTracks, vessels_of
from ais_assets.loader.tracks.regular_time import cut_on_grid, grid_plan
from ais_assets.loader.tracks.selection import Selection, Weighing
from ais_assets.loader.tracks.track_cache import TrackCache
from ais_assets.loader.tracks.track_index import TRACKS_FOLDER, TRACKS_INDEX, TracksIndex
from ais_assets.loader.tracks.window_order import PassOrder, WindowOrder
from ais_assets.loader.tracks.window_plan import Geometry, WindowPlan, position_plan
from ais_assets.loader.tracks.window_statistics import window_statistics
from ais_assets.loader.world import check_not_shared_out_again

if TYPE_CHECKING:
    from ais_assets.loader.tracks.resident import ResidentTracks

_COUNTED_AT_ONCE: Final = 1 << 20
_GEOMETRY: Final = {"seq_len": schema.SEQ_LEN, "max_horizon": schema.MAX_HORIZON, "stride": schema.STRIDE}
"""Where neither the caller nor the index says."""


class _Opened(NamedTuple):
    """What a process has mapped and computed."""

    tracks: PackedTracks
    plan: WindowPlan
    chosen: NDArray[np.int64] | None
    """The windows that `where` leaves; None: all."""
    weighing: Weighing | None
    order: WindowOrder

    @property
    def windows(self) -> int:
        """How many there are."""
        return self.plan.windows if self.chosen is None else len(self.chosen)


_CHOSEN_BY: Final = {
    "validation": ", or build with a greater AIS_VALIDATION_FRACTION: of a few vessels none may be in it",
    "test": ", or build with a greater AIS_TEST_FRACTION: of a few vessels none may be in it",
    "holdout": ", or build with an earlier AIS_HOLDOUT_FROM",
}
"""Of a split without windows, the setting that it comes of."""


class TrackWindowDataset(EpochDataset):
    """Training windows as batches, cut from tracks, with the interface of `AISMDSDataset`.

    The tracks are fetched and packed into a local cache once, some 12 bytes a position; training starts when they are
    there. On one rank or many, with DataLoader workers or without, an epoch is every window exactly once.

    Args:
        remote: the lake, or its `track_shards`: a folder or s3://bucket/prefix.
        local: a cache folder, which jobs may share.
        batch_size: windows a batch, on each rank; an epoch's last ones may be smaller.
        release: the one to read, by its id; None: the current one.
        split: "train", "validation", "test", or "holdout" (which is by time, of all vessels).
        seq_len, max_horizon, stride: positions that a model sees, that it may forecast, and from one window's start to
            the next one's; None: as the windows that were published beside the tracks, or 128, 800 and 32.
        every_seconds: cut windows of steps of so many seconds instead of positions, interpolated: see `regular_time`.
            seq_len, max_horizon and stride then count steps, dt_seconds is that of a step, and "mask" says which values
            were received at that very time.
        max_silence_seconds: the longest silence that is interpolated over.
        features: of a position, in this order: see `channels.CHANNELS`.
        mask: yield also "mask", bool (B, window, features): which values were received, and not held or missing.
        times: yield also "times", int64 (B, window): Unix time in seconds.
        provenance: yield also "mmsi", "track" and "start", int64 (B,); `start` is Unix time in seconds.
        where: an SQL expression over `window_facts.FACTS`: windows for which it is not true are left out.
        weights: an SQL expression for each window's weight, or by group the share of all draws that the group gets.
            An epoch then draws windows with replacement.
        groups: an SQL expression for a window's group; None: windows of equal weight are one. `drawn` says what each
            group got.
        epoch_size: windows of an epoch; None: as many as there are. Without weights, others go on where the former
            epoch ended.
        shuffle: a new order in every epoch; False: by shard, track and start.
        seed: keys the order.
        drop_last: whether to drop an epoch's last batch if it is smaller.
        normalize: "ranges"; "statistics" for z-scores of the five features, over all training windows of this geometry,
            computed from the tracks once and kept in the cache; or such statistics as mds/statistics.json has.
            Sines, cosines, flags and the navigational status are left as they are, the heading gets its range.
        device: copy batches there, one ahead; on CUDA from pinned memory without waiting.
        pin_memory: yield batches in pinned host memory.
        resident: keep the packed positions in the memory of `device`, a GPU, and gather there; not on a time grid.
        threads: that fetch and pack, and that cut batches ahead of their use; None: one a core of this rank's, of those
            that cut at most 8.
        download_retry: further attempts to read a file, after a timeout or to replace a damaged one.
        download_timeout: seconds for one attempt.
        s3: settings where the standard AWS ones are not enough: endpoint_url, region_name, profile_name,
            requester_pays, anonymous; what is not given is as the variables AIS_S3_* say.

    Yields:
        float32 tensors (batch_size, window, features), or (features, {name: tensor}) with what else was asked for.

    Attributes:
        windows: how many the split has.
        index: what is published.

    Raises:
        ValueError: an option cannot be, or there is no such window.
        TypeError: there is no such option.
        LoaderError: the index or a track file cannot be had, or is damaged; there is no such release; the cache cannot
            be written.
    """

    def __init__(
        self,
        remote: str | PathLike[str],
        local: str | PathLike[str],
        batch_size: int = 64,
        split: str = "train",
        *,
        release: str | None = None,
        seq_len: int | None = None,
        max_horizon: int | None = None,
        stride: int | None = None,
        every_seconds: int | None = None,
        max_silence_seconds: int = 3_600,
        features: Sequence[str] = schema.FEATURE_NAMES,
        mask: bool = False,
        times: bool = False,
        provenance: bool = False,
        where: str | None = None,
        weights: str | Mapping[str, float] | None = None,
        groups: str | None = None,
        epoch_size: int | None = None,
        shuffle: bool = True,
        seed: int = 9176,
        drop_last: bool = False,
        normalize: str | Mapping[str, Any] | None = None,
        device: str | torch.device | None = None,
        pin_memory: bool = False,
        resident: bool = False,
        threads: int | None = None,
        download_retry: int = 2,
        download_timeout: float = 60.0,
        s3: Mapping[str, str | bool] | None = None,
    ) -> None:
        self._channels = channel_numbers(tuple(features))
        check_normalize(normalize, ("ranges", "statistics"))
        if normalize == "statistics" and every_seconds is not None:
            raise ValueError("normalize='statistics' is of positions, not of a time grid: give statistics, or 'ranges'")
        self.features = tuple(features)
        self.mask, self.times, self.provenance = mask, times, provenance
        remote, local = place("remote", remote), place("local", local)
        self._remote = Remote(_published_at(remote), retries=download_retry, timeout=download_timeout, s3=s3)
        self.index = _read_index(self._remote, release)
        self._cache = TrackCache(Path(local), self._remote, self.index, threads)
        published = {name: int(self.index.settings.get(name, _GEOMETRY[name])) for name in _GEOMETRY}
        self.geometry = Geometry(
            published["seq_len"] if seq_len is None else seq_len,
            published["max_horizon"] if max_horizon is None else max_horizon,
            published["stride"] if stride is None else stride,
            every_seconds,
            max_silence_seconds,
        )
        if groups is not None and weights is None:
            raise ValueError("groups are counted where windows are drawn by weights: give weights, too")
        self._where, self._weights, self._groups = where, weights, groups
        self._counted: tuple[int, int, NDArray[np.int64]] | None = None
        self._split, self._shuffle, self._seed, self._epoch_size = split, shuffle, seed, epoch_size
        self._opened: _Opened | None = None
        self._on_device: ResidentTracks | None = None
        if resident:
            _check_resident(device, self.geometry)
        self.resident = resident
        self.windows = self._open().windows
        self._scaling = _scaling(self._statistics() if normalize == "statistics" else normalize, self._channels)
        super().__init__(
            self._size_of_epoch(self.windows),
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

    @property
    def release(self) -> str:
        """Of the dataset: a digest of all that it was made from."""
        return self.index.release

    @property
    def is_weighed(self) -> bool:
        """Whether windows are drawn by weights, so that `drawn` counts them."""
        return self._weights is not None

    def batch(self, windows: NDArray[np.int64] | Sequence[int]) -> Any:
        """Windows by their number among the split's, 0 to `windows` − 1, as they are yielded, on the host.

        Raises IndexError where there is no such window.
        """
        self._check_open()
        numbers = np.asarray(windows, np.int64)
        astray = numbers[(numbers < 0) | (numbers >= self.windows)]
        if len(astray):
            raise IndexError(f"there is no window {astray[0]} of {self.windows:,}")
        return self.finished(self._cut(*self._located(numbers)))

    def batches_of(self, epoch: int, stretches: Sequence[tuple[int, int]]) -> Iterator[Batch]:
        """As `EpochDataset.batches_of`."""
        places = np.concatenate([np.arange(first, last) for first, last in stretches])
        track, begin = self._located(self._open().order.windows(epoch, places))
        cut = self._cut_on_device if self.resident else self._cut
        done = 0
        for first, last in stretches:
            of_batch = slice(done, done + last - first)
            yield cut(track[of_batch], begin[of_batch])
            done = of_batch.stop

    def threads_ahead(self) -> int:
        """As `EpochDataset.threads_ahead`: a device has its own queue, which the caller's thread fills."""
        return 1 if self.resident else super().threads_ahead()

    def copied_to(self) -> torch.device | None:
        """As `EpochDataset.copied_to`; batches that are gathered on the device are there."""
        return None if self.resident else super().copied_to()

    def at_places(self, places: NDArray[np.int64]) -> Batch:
        """The windows at places of this dataset's epochs laid end to end, normalized, on the host."""
        epochs, within = np.divmod(places, self.places)
        order = self._open().order
        windows = np.empty(len(places), np.int64)
        for epoch in np.unique(epochs).tolist():
            there = epochs == epoch
            windows[there] = order.windows(epoch, within[there])
        return self.finished(self._cut(*self._located(windows)))

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
            "where": self._where,
            "weights": self._weights if isinstance(self._weights, str | None) else dict(self._weights),
            "groups": self._groups,
            "epoch_size": self.places,
            "shuffle": self._shuffle,
            "seed": self._seed,
        }

    def state_dict(self, num_samples: int | None = None, from_beginning: bool = False) -> dict[str, Any]:
        """As `EpochDataset.state_dict`; with weights also "drawn": what each group got of the epoch so far."""
        state = super().state_dict(num_samples, from_beginning)
        if self._weights is None:
            return state
        return {**state, "drawn": self.drawn(state["epoch"], state["sample_in_epoch"])}

    def drawn(self, epoch: int, places: int | None = None) -> dict[str, int]:
        """Windows of each group among an epoch's first places (None: all of them), on all ranks.

        Raises ValueError where windows are not drawn by weights.
        """
        opened = self._open()
        if opened.weighing is None:
            raise ValueError("windows are counted by group where they are drawn by weights; this dataset has none")
        reached = self.places if places is None else places
        known = self._counted
        # What was counted before need not be drawn again.
        first, counts = 0, np.zeros(len(opened.weighing.groups), np.int64)
        if known is not None and known[0] == epoch and known[1] <= reached:
            first, counts = known[1], known[2]
        for begin in range(first, reached, _COUNTED_AT_ONCE):
            drawn = opened.order.windows(epoch, np.arange(begin, min(begin + _COUNTED_AT_ONCE, reached)))
            counts = counts + np.bincount(opened.weighing.group[drawn], minlength=len(counts))
        self._counted = epoch, reached, counts
        return dict(zip(opened.weighing.groups, counts.tolist(), strict=True))

    def drawn_report(self, epoch: int, places: int | None = None) -> list[str]:
        """What `drawn` says, a line a group, beside what the weights ask for.

        Raises ValueError where windows are not drawn by weights.
        """
        drawn = self.drawn(epoch, places)
        weighing = self._open().weighing
        assert weighing is not None
        total = max(1, sum(drawn.values()))
        return [
            f"{name}: {count:,} of {total:,} windows, {count / total:.2%} ({asked:.2%} asked for)"
            for (name, count), asked in zip(drawn.items(), weighing.asked().tolist(), strict=True)
        ]

    def close(self) -> None:
        """As `EpochDataset.close`."""
        super().close()
        self._opened = self._on_device = None
        self._cache.close()

    def __getstate__(self) -> dict[str, Any]:
        """For spawned DataLoader workers, which map the tracks themselves."""
        check_not_shared_out_again(self._world)
        return {**self.__dict__, "_opened": None, "_on_device": None}

    def _statistics(self) -> dict[str, Any]:
        """Of the training windows, whatever split and which windows of it this dataset has."""
        tracks = self._open().tracks
        training = position_plan(tracks, self.geometry, "train", self.index.settings.get("holdout_from"))
        return window_statistics(self._cache, tracks, training)

    def _size_of_epoch(self, windows: int) -> int:
        check_positive(epoch_size=self._epoch_size)
        return self._epoch_size or windows

    def _open(self) -> _Opened:
        if self._opened is None:
            self._opened = self._opened_anew()
        return self._opened

    def _opened_anew(self) -> _Opened:
        tracks = self._cache.open(channels=needs_channels(self._channels))
        planned = position_plan if self.geometry.every_seconds is None else grid_plan
        plan = planned(tracks, self.geometry, self._split, self.index.settings.get("holdout_from"))
        self._require_some(plan.windows, "")
        selection = Selection(self._cache, tracks, plan, self._split)
        chosen = None if self._where is None else selection.chosen(self._where)
        windows = plan.windows if chosen is None else len(chosen)
        self._require_some(windows, f" for which {self._where}")
        if self._weights is None:
            size = self._size_of_epoch(windows)
            order = PassOrder(windows, size, seed=self._seed, shuffle=self._shuffle)
            return _Opened(tracks, plan, chosen, None, order)
        weighing = selection.weighing(self._where, self._weights, self._groups)
        return _Opened(tracks, plan, chosen, weighing, WeightedOrder(weighing.share, weighing.alias, self._seed))

    def _require_some(self, windows: int, condition: str) -> None:
        if not windows:
            more = _CHOSEN_BY.get(self._split, "")
            raise ValueError(
                f"{self._remote.uri} holds no {self._split} window of {self.geometry.window_len} positions{condition}: "
                f"take a shorter seq_len or max_horizon, another split or another condition{more}"
            )

    def _located(self, windows: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """The track of each of these windows, and where it begins there, as `Stretches.begin`: int64 (k,) each."""
        _, plan, chosen, *_ = self._open()
        stretch, begin = plan.locate(windows if chosen is None else chosen[windows])
        return plan.stretches.track[stretch], begin

    def _cut(self, track: NDArray[np.int64], begin: NDArray[np.int64]) -> Batch:
        tracks = self._open().tracks
        shape = len(begin), self.window_len, len(self._channels)
        features = self._batch_memory.tensor(shape, torch.float32)
        others: dict[str, torch.Tensor] = {}

        def other(name: str, shape: tuple[int, ...], dtype: torch.dtype) -> NDArray[Any]:
            others[name] = self._batch_memory.tensor(shape, dtype)
            return others[name].numpy()

        every = self.geometry.every_seconds
        mask = other("mask", shape, torch.bool) if self.mask else None
        if every is None:
            cut_windows(tracks.rows, begin, self._channels, features.numpy(), mask)
        else:
            received = np.empty(shape, np.bool_) if mask is None else mask
            cut_on_grid(tracks, (track, begin), every, self._channels, (features.numpy(), received))
        if self.times:
            self._fill_times(track, begin, other("times", shape[:2], torch.int64))
        if self.provenance:
            other("mmsi", shape[:1], torch.int64)[:] = vessels_of(tracks.track[track])
            other("track", shape[:1], torch.int64)[:] = tracks.track[track]
            self._fill_times(track, begin, other("start", shape[:1], torch.int64).reshape(-1, 1))
        return (features, others) if others else features

    def _cut_on_device(self, track: NDArray[np.int64], begin: NDArray[np.int64]) -> Batch:
        from ais_assets.loader.tracks.resident import ResidentTracks  # noqa: PLC0415 - Triton takes a second to import

        tracks = self._open().tracks
        assert self.device is not None
        if self._on_device is None:
            self._on_device = ResidentTracks(tracks.rows, self._channels, self.device)
        of_batch = self._on_device.of_batch
        cut = self._on_device.windows(begin, self.window_len, mask=self.mask, seconds=self.times)
        others: dict[str, torch.Tensor] = {}
        if cut.mask is not None:
            others["mask"] = cut.mask
        starts = np.empty((len(begin), 1), np.int64)
        if self.times or self.provenance:
            self._fill_times(track, begin, starts)
        if cut.seconds is not None:
            others["times"] = cut.seconds + of_batch(starts)
        if self.provenance:
            others["mmsi"] = of_batch(vessels_of(tracks.track[track]))
            others["track"] = of_batch(tracks.track[track])
            others["start"] = of_batch(starts[:, 0])
        return (cut.features, others) if others else cut.features

    def _fill_times(self, track: NDArray[np.int64], begin: NDArray[np.int64], times: NDArray[np.int64]) -> None:
        every = self.geometry.every_seconds
        if every is None:
            window_times(self._open().tracks, track, begin, times)
        else:
            times[:] = (begin[:, None] + np.arange(times.shape[1])) * every


def _published_at(remote: str) -> str:
    """The address of the published tracks, of the lake's or its own."""
    uri = remote.rstrip("/")
    return uri if uri.rpartition("/")[2] == TRACKS_FOLDER else f"{uri}/{TRACKS_FOLDER}"


def _read_index(remote: Remote, release: str | None) -> TracksIndex:
    where = f"{remote.uri}/{TRACKS_INDEX}"
    try:
        data, _ = published_index(remote, TRACKS_INDEX, release)
    except FileNotFoundError:
        raise LoaderError(f"{where} is missing: materialize training_dataset, or correct the address") from None
    require_same_on_all_ranks(data, where)
    return TracksIndex.parsed(data, where)


def _check_resident(device: str | torch.device | None, geometry: Geometry) -> None:
    """Raises ValueError where windows cannot be gathered on this device, LoaderError where Triton is missing."""
    from ais_assets.loader.tracks.resident import is_interpreted  # noqa: PLC0415 - Triton takes a second to import

    if geometry.every_seconds is not None:
        raise ValueError("resident=True gathers positions as they are: leave it out, or every_seconds")
    if device is None or (torch.device(device).type != "cuda" and not is_interpreted()):
        raise ValueError(f"resident=True keeps positions in a GPU's memory: give device='cuda'; it is {device!r}")


def _scaling(
    normalize: str | Mapping[str, Any] | None, channels: NDArray[np.int64]
) -> tuple[tuple[float, ...], tuple[float, ...]] | None:
    """What is taken from each feature, and what it is then divided by."""
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
