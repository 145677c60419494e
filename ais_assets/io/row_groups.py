"""Of many partitions one row group each: what an all-to-all stage reads, some partitions ahead where reads are slow."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor

import pyarrow as pa

from ais_assets.io.entries import AT_ONCE
from ais_assets.io.lake import Lake
from ais_assets.io.parquet import PartitionFile, describe
from ais_assets.io.references import require_same
from ais_assets.store.ranges import Tail
from ais_assets.store.sealed_parquet import SealedFile


class GroupOfEach:
    """For one run, which asks for one row group after the other of the same partitions.

    On S3 the partitions' footers are read once a run, and of each row group the wanted columns in one request, at most
    AT_ONCE partitions ahead of the reader, so that no more than their compressed pages wait in memory.

    Args:
        lake: where they are.
        asset: their name.
        columns: that are wanted; default: all.
    """

    def __init__(self, lake: Lake, asset: str, columns: Sequence[str] | None = None) -> None:
        self._lake = lake
        self._asset = asset
        self._columns = columns
        self._tails: dict[str, Tail] = {}

    def of(self, fingerprints: Mapping[str, str], group: int) -> Iterator[tuple[PartitionFile, pa.Table | None]]:
        """What each partition's file says of itself and its row group of this number; None where it has none such.

        Args:
            fingerprints: of the partitions, by key, in the order in which they are wanted.
            group: the row group's number.

        Raises ValueError where a partition has another fingerprint by now, and as `Lake.open` does.
        """
        for partition, file in self._files(list(fingerprints), group):
            with file:
                found = describe(file)
                require_same(found.fingerprint, fingerprints[partition], f"{self._asset}[{partition}]")
                columns = None if self._columns is None else list(self._columns)
                yield found, file.read_row_group(group, columns=columns) if group < file.num_row_groups else None

    def _files(self, partitions: Sequence[str], group: int) -> Iterator[tuple[str, SealedFile]]:
        if not self._lake.store.requests_cost:
            for partition in partitions:
                yield partition, self._opened(partition, group)
            return
        with ThreadPoolExecutor(AT_ONCE, thread_name_prefix="row groups") as pool:
            ahead: deque[tuple[str, Future[SealedFile]]] = deque()
            try:
                for partition in partitions:
                    ahead.append((partition, pool.submit(self._opened, partition, group)))
                    if len(ahead) == AT_ONCE:
                        first, future = ahead.popleft()
                        yield first, future.result()
                while ahead:
                    first, future = ahead.popleft()
                    yield first, future.result()
            finally:
                pool.shutdown(wait=True, cancel_futures=True)

    def _opened(self, partition: str, group: int) -> SealedFile:
        file, opened = self._lake.opened(self._asset, partition, self._tails.get(partition))
        if opened.tail is not None:
            self._tails[partition] = opened.tail
            if group < file.num_row_groups:
                opened.hold(*file.bytes_of(group, self._columns or file.schema_arrow.names))
        return file
