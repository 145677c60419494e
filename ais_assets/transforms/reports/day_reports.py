"""The usable reports of a day, by shard and vessel."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from typing import NamedTuple

import numpy as np
import pyarrow as pa
from numba import njit
from numpy.typing import NDArray

from ais_assets.transforms.pseudonyms import Pseudonyms
from ais_assets.transforms.reports.places import Places
from ais_assets.transforms.reports.row_rules import (
    COUNTS,
    RAW_COLUMNS,
    STEPS,
    Progress,
    RowRules,
    Taken,
    raw_columns,
    require_columns,
    take_rows,
)
from ais_assets.transforms.reports.vessel_index import empty_index, larger_index
from ais_assets.transforms.split import shard_of


class _ShardedReports(NamedTuple):
    """A batch's reports by shard."""

    packed: NDArray[np.int64]  # (n, 2)
    senders: NDArray[np.int32]  # (n,)
    bounds: NDArray[np.int64]  # (shards + 1,): where each shard's begin and end


class VesselReports(NamedTuple):
    """A shard's reports by vessel."""

    mmsi: NDArray[np.int32]  # (vessels,), ascending
    bounds: NDArray[np.int64]  # (vessels + 1,): where each one's reports begin and end
    packed: NDArray[np.int64]  # (reports or more, 2)


class DayReports:
    """The reports of a day that no rule on a single row drops, packed, and which vessel sent each.

    They are scattered to their shards as tables come in, and a shard at a time to their vessels. The day is held once,
    at 20 bytes a report.
    """

    def __init__(self, rules: RowRules, places: Places, shards: int, pseudonyms: Pseudonyms | None = None) -> None:
        self.rules = rules
        self._places = places
        self._shards = shards
        self._pseudonyms = pseudonyms
        self._index = empty_index()
        self._vessels = 0
        self._between_steps = np.zeros((2, len(STEPS)), np.bool_)
        self._batches: list[_ShardedReports] = []

    def take(self, table: pa.Table, where: str) -> dict[str, int]:
        """Takes a table's reports; returns how many rows each of COUNTS had.

        Raises ValueError, naming `where`, when it is not as `schema.RAW_RECORDS` says or a time is no whole second.
        """
        require_columns(table, RAW_COLUMNS, where)
        counts = np.zeros(len(COUNTS), np.int64)
        row = 0
        for batch in table.select(list(RAW_COLUMNS)).to_batches():
            if batch.num_rows:
                self._take_batch(batch, counts, row, where)
            row += batch.num_rows
        return dict(zip(COUNTS, counts.tolist(), strict=True))

    def _take_batch(self, batch: pa.RecordBatch, counts: NDArray[np.int64], first_row: int, where: str) -> None:
        columns = raw_columns(batch, self._places, where)
        packed, senders = np.empty((batch.num_rows, 2), np.int64), np.empty(batch.num_rows, np.int32)
        taken = Taken(packed, senders, counts, self._between_steps)
        row = reports = 0
        while row < batch.num_rows:
            start = Progress(row, reports, self._vessels, whole=True)
            row, reports, self._vessels, whole = take_rows(start, columns, self.rules, self._index, taken)
            if not whole:
                raise ValueError(
                    f"{where}, row {first_row + row}: t is {batch.column('t')[row]}, not a whole second; "
                    "the source must round it (schema.UTC)"
                )
            if self._vessels == self._index.mmsi.size:
                self._index = larger_index(self._index)
        shard = shard_of(self._numbers(), self._shards)
        self._batches.append(_sorted_by_shard(packed[:reports], senders[:reports], shard, self._shards))

    def _numbers(self) -> NDArray[np.int32]:
        """The vessels' MMSIs, or what stands for them."""
        mmsi = self._index.mmsi[: self._vessels]
        return mmsi if self._pseudonyms is None else self._pseudonyms.numbers(mmsi)

    def coordinate_step(self) -> int:
        """Micro-degrees of the last decimal of the day's coarser coordinate: 100, 10, or 1 if it has six decimals."""
        printed = [step for step, between in zip(STEPS, self._between_steps.all(axis=0), strict=True) if not between]
        return max(printed, default=1)

    def by_shard(self) -> Iterator[VesselReports]:
        """Each shard's reports. They lie in memory that the next shard's are written to."""
        mmsi, counts = self._numbers(), self._index.reports[: self._vessels]
        shard = shard_of(mmsi, self._shards)
        order = np.lexsort((mmsi, shard))
        vessel_bounds = np.searchsorted(shard[order], np.arange(self._shards + 1))
        totals = np.zeros(self._shards, np.int64)
        np.add.at(totals, shard, counts)
        packed = np.empty((int(totals.max()), 2), np.int64)
        next_row = np.empty(self._vessels, np.int64)
        for number, (first, last) in enumerate(pairwise(vessel_bounds)):
            vessels = order[first:last]
            bounds = np.concatenate([np.zeros(1, np.int64), np.cumsum(counts[vessels])])
            next_row[vessels] = bounds[:-1]
            for batch in self._batches:
                low, high = batch.bounds[number : number + 2]
                _scatter(batch.packed[low:high], batch.senders[low:high], next_row, packed)
            yield VesselReports(mmsi[vessels], bounds, packed)


@njit(cache=True, nogil=True)
def _sorted_by_shard(
    packed: NDArray[np.int64], senders: NDArray[np.int32], shard: NDArray[np.int32], shards: int
) -> _ShardedReports:
    """Counting sort of a batch's reports by shard, where `shard` is each vessel's."""
    bounds = np.zeros(shards + 1, np.int64)
    for report in range(senders.size):
        bounds[shard[senders[report]] + 1] += 1
    for number in range(shards):
        bounds[number + 1] += bounds[number]
    next_row = bounds[:-1].copy()
    result = np.empty(packed.shape, np.int64)
    result_senders = np.empty(senders.size, np.int32)
    for report in range(senders.size):
        number = shard[senders[report]]
        row = next_row[number]
        next_row[number] = row + 1
        result[row, 0] = packed[report, 0]
        result[row, 1] = packed[report, 1]
        result_senders[row] = senders[report]
    return _ShardedReports(result, result_senders, bounds)


@njit(cache=True, nogil=True)
def _scatter(
    packed: NDArray[np.int64], senders: NDArray[np.int32], next_row: NDArray[np.int64], result: NDArray[np.int64]
) -> None:
    for report in range(senders.size):
        row = next_row[senders[report]]
        next_row[senders[report]] = row + 1
        result[row, 0] = packed[report, 0]
        result[row, 1] = packed[report, 1]
