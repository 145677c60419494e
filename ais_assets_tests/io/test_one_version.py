"""A reader gets one version of what it reads, or an error that says so; and errors say whose fault it is."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from pathlib import Path

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest

from ais_assets.io.lake import Lake
from ais_assets.io.streaming_loader import LoaderError
from ais_assets.ledger import Ledger
from ais_assets.store.objects import open_store
from ais_assets.store.pinned import ReplacedError
from ais_assets.stream import RecordStream
from ais_assets_tests.io.test_lake import positions, stream
from ais_assets_tests.loader.mds.mds_datasets import windows, windows_table

ROWS = 3_000
GROUPS = 4


def publish(lake: Lake, first: int) -> None:
    """A day of clean records in several row groups, of which the MMSI tells the version."""
    groups = [positions(list(range(first + k * ROWS, first + (k + 1) * ROWS))) for k in range(GROUPS)]
    lake.write("clean_records", "2024-03-01", stream(*groups))


OLD, NEW = 200_000_000, 300_000_000


def versions(mmsi: pa.ChunkedArray) -> set[int]:
    """Of which publications these are."""
    return {number // 100_000_000 * 100_000_000 for number in mmsi.to_pylist()}


def _groups(lake: Lake, between: Callable[[], None]) -> set[int]:
    found: set[int] = set()
    for number, table in enumerate(lake.row_groups("clean_records", "2024-03-01")):
        if number == 1:
            between()
        found |= versions(table["mmsi"])
    return found


def _dataset(lake: Lake, between: Callable[[], None]) -> set[int]:
    dataset = lake.dataset("clean_records")
    between()
    return versions(dataset.to_table(columns=["mmsi"])["mmsi"])


def _batches(lake: Lake, between: Callable[[], None]) -> set[int]:
    found: set[int] = set()
    batches = lake.dataset("clean_records").to_batches(batch_size=100, batch_readahead=0, fragment_readahead=0)
    for number, batch in enumerate(batches):
        if number == 1:
            between()
        found |= versions(pa.chunked_array([batch["mmsi"]]))
    return found


def _sql(lake: Lake, between: Callable[[], None]) -> set[int]:
    query = lake.sql("select mmsi from clean_records")
    between()
    return versions(query.to_arrow_table()["mmsi"])


@pytest.fixture(autouse=True)
def _ends_of_files_are_small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Else a look at a file as small as these, or the first read, has all of it, which stays what it was."""
    monkeypatch.setattr("ais_assets.store.objects.TAIL_BYTES", 64)
    monkeypatch.setattr("ais_assets.io.lake._HELD_BYTES", 0)


@pytest.mark.parametrize("read", [_groups, _dataset, _batches, _sql])
def test_a_read_is_of_one_version_or_an_error(
    lake_uri: str, read: Callable[[Lake, Callable[[], None]], set[int]]
) -> None:
    lake = Lake(lake_uri)
    publish(lake, OLD)
    if read is _groups and not lake_uri.startswith("s3://"):
        # On a disk what is open stays.
        assert read(lake, lambda: publish(lake, NEW)) == {OLD}
    else:
        said = (
            r"clean_records/2024-03-01\.parquet was published anew, or removed, since this read began: begin it again"
        )
        with pytest.raises((ReplacedError, duckdb.Error), match=said):
            read(lake, lambda: publish(lake, NEW))
    assert read(lake, lambda: None) == {NEW}


def test_on_s3_a_file_published_anew_in_the_middle_is_an_error(bucket: str) -> None:
    lake = Lake(f"s3://{bucket}/p")
    publish(lake, OLD)
    with pytest.raises(ReplacedError, match=r"2024-03-01\.parquet was published anew.*begin it again"):
        _groups(lake, lambda: publish(lake, NEW))
    with pytest.raises(ReplacedError, match=r"2024-03-01\.parquet was published anew"):
        _groups(lake, lambda: lake.store.delete_object("clean_records/2024-03-01.parquet"))


def test_long_reads_come_in_pieces_and_whole(bucket: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ais_assets.store.ranges._PART_BYTES", 1 << 10)
    lake = Lake(f"s3://{bucket}/p")
    data = np.random.default_rng(1).bytes(50_001)
    lake.store.publish_bytes(data, "clean_records/x.parquet")
    with lake.store.pinned("clean_records/x.parquet").open() as file:
        assert file.size() == len(data)
        assert file.read() == data
        assert file.read_at(30_000, 7) == data[7:30_007]
        file.seek(49_999)
        assert (file.read(10), file.read(10)) == (data[49_999:], b"")
    with pytest.raises(FileNotFoundError):
        lake.store.pinned_file("clean_records/y.parquet")


def test_what_a_spawned_process_gets_reads_the_same_version(bucket: str) -> None:
    lake = Lake(f"s3://{bucket}/p")
    publish(lake, OLD)
    key = "clean_records/2024-03-01.parquet"
    files = pickle.loads(pickle.dumps(lake.store.pinned_file(key)))
    with files.open_input_file(lake.store.path(key)) as file:
        assert file.read_at(4, 0) == b"PAR1"
    publish(lake, NEW)
    with files.open_input_file(lake.store.path(key)) as file, pytest.raises(ReplacedError):
        file.read_at(4, 0)


def test_validation_windows_of_two_publications_are_never_mixed(bucket: str) -> None:
    lake = Lake(f"s3://{bucket}/p")

    def publish_windows(seed: int) -> None:
        tables = [windows_table(windows(200, seed=seed)).slice(begin, 50) for begin in range(0, 200, 50)]
        lake.write("validation", None, RecordStream(tables[0].schema, iter(tables), Ledger(200, 200)))

    publish_windows(1)
    dataset = lake.validation_loader(batch_size=10)
    reading = iter(dataset)
    next(reading)
    publish_windows(2)
    with pytest.raises(LoaderError, match=r"validation\.parquet was replaced since this loader was made: make it anew"):
        list(reading)
    assert sum(map(len, lake.validation_loader(batch_size=10))) == 200


def test_a_damaged_page_of_a_dataset_is_named(lake_uri: str) -> None:
    lake = Lake(lake_uri)
    publish(lake, OLD)
    lake.write("clean_records", "2024-03-02", stream(positions([NEW])))
    key = "clean_records/2024-03-01.parquet"
    data = bytearray(lake.store.read(key))
    data[len(data) // 3] ^= 4
    lake.store.publish_bytes(bytes(data), key)
    named = r"2024-03-01\.parquet is damaged.*materialize clean_records\[2024-03-01\] again"
    for read in (
        lambda: lake.dataset("clean_records").to_table(),
        lambda: list(lake.dataset("clean_records").to_batches()),
        lambda: lake.dataset("clean_records").filter(pc.field("mmsi") < NEW).to_table(),
        lambda: lake.sql("select sum(mmsi), max(lat), max(lon), max(t) from clean_records").fetchall(),
    ):
        with pytest.raises((OSError, ValueError, duckdb.Error), match=named):
            read()
    assert lake.sql("select count(*) from clean_records where t > '2025-01-01'").fetchall() == [(0,)]


def test_a_lake_can_be_asked_again_and_again(tmp_path: Path) -> None:
    lake = Lake(tmp_path)
    publish(lake, OLD)
    dataset = lake.dataset("clean_records")
    assert dataset.count_rows() == dataset.to_table().num_rows == ROWS * GROUPS
    assert dataset.head(5).num_rows == 5
    assert dataset.filter(pc.field("mmsi") < OLD + 7).count_rows() == 7
    assert dataset.scanner(columns=["mmsi"]).to_reader().read_all().num_rows == ROWS * GROUPS


@pytest.mark.parametrize("gone", [False, True])
def test_a_local_file_that_is_another_by_now_is_not_opened(tmp_path: Path, gone: bool) -> None:
    store = open_store(tmp_path / "lake")
    store.publish_bytes(b"former", "mds/one")
    pinned = store.pinned("mds/one")
    assert pinned.open().read() == b"former"
    if gone:
        store.delete_object("mds/one")
    else:
        store.publish_bytes(b"newest", "mds/one")
    with pytest.raises(ReplacedError, match="mds/one"):
        pinned.open()
