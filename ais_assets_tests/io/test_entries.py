"""What partitions say of themselves, for many at once: few requests, never of another version."""

from __future__ import annotations

import gzip
import json
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from boto3.session import Session

from ais_assets.io import entries
from ais_assets.io.entries import FOLDER, forget
from ais_assets.io.lake import Folder, Lake, PartitionMissingError
from ais_assets.io.layout import place_of
from ais_assets.io.row_groups import GroupOfEach
from ais_assets.ledger import Ledger
from ais_assets.store.objects import LocalStore, S3Store
from ais_assets.stream import RecordStream

DAYS = [f"2024-03-{day:02}" for day in range(1, 21)]
KEPT = f"{FOLDER}/daily_quality.json.gz"


def publish(lake: Lake, day: str, rows: int) -> None:
    table = pa.table({"mmsi": pa.array(range(rows), pa.int32())})
    stream = RecordStream(
        table.schema, iter([table, table.slice(1)]), Ledger(2 * rows, 2 * rows - 1, {"x": 1}), {"a": rows}
    )
    lake.write("daily_quality", day, stream)


@pytest.fixture(autouse=True)
def _as_a_new_process() -> None:
    forget()


@pytest.fixture
def lake(bucket: str) -> Lake:
    """With a partition a day, of as many rows."""
    lake = Lake(f"s3://{bucket}/lake", s3_client=Session().client("s3"))
    for number, day in enumerate(DAYS, start=1):
        publish(lake, day, number)
    return lake


@pytest.fixture
def requests(lake: Lake) -> Counter[str]:
    """S3's operations from now on."""
    assert isinstance(lake.store, S3Store)
    found: Counter[str] = Counter()
    events = lake.store._client.meta.events
    events.register("before-call.s3", lambda model, **_: found.update([model.name]))
    return found


def test_they_are_what_each_partition_says(lake_uri: str) -> None:
    lake = Lake(lake_uri)
    for number, day in enumerate(DAYS[:6], start=1):
        publish(lake, day, number)
    for _ in range(2):
        found = lake.entries("daily_quality")
        for day in DAYS[:6]:
            said, entry = lake.describe("daily_quality", day), found[day]
            assert (entry.rows, entry.facts, entry.fingerprint) == (said.rows, said.facts, said.fingerprint)
            assert entry.ledger == said.ledger == lake.ledgers("daily_quality", [day])[day]
            assert entry.size == lake.store.size(place_of("daily_quality").key(day))
            assert entry.version == lake.object_version("daily_quality", day)
        publish(lake, DAYS[2], 17)
    with pytest.raises(PartitionMissingError, match="2024-03-19"):
        lake.entries("daily_quality", [DAYS[0], DAYS[18]])


def test_a_folder_says_what_its_manifest_does(lake_uri: str) -> None:
    lake = Lake(lake_uri)
    with lake.store.staging() as staging:
        (staging / "file").write_bytes(bytes(7))
        lake.write_folder("raw_archives", "2024-03-01", Folder(staging, "d" * 40, Ledger(), {"published": True}))
    manifest, entry = lake.manifest("raw_archives", "2024-03-01"), lake.entries("raw_archives")["2024-03-01"]
    assert (entry.folder, entry.size, entry.facts) == (manifest["folder"], 7, manifest["facts"])
    assert entry.fingerprint == manifest["fingerprint"]


def test_many_cost_a_request_each_once_and_two_from_then_on(lake: Lake, requests: Counter[str]) -> None:
    first = lake.entries("daily_quality")
    assert requests == {"ListObjectsV2": 1, "GetObject": len(DAYS) + 1, "PutObject": 1}
    requests.clear()
    assert lake.entries("daily_quality") == first
    assert requests == {"ListObjectsV2": 1}, "this process knows"
    requests.clear()
    forget()
    assert lake.entries("daily_quality") == first
    assert requests == {"ListObjectsV2": 1, "GetObject": 1}, "another process reads what was kept"
    forget()
    requests.clear()
    publish(lake, DAYS[4], 40)
    requests.clear()
    assert lake.entries("daily_quality")[DAYS[4]].rows == 79
    assert requests == {"ListObjectsV2": 1, "GetObject": 2}, "and but the one that changed"
    forget()
    requests.clear()
    assert lake.entries("daily_quality", DAYS[:2]).keys() == set(DAYS[:2])
    assert requests == {"ListObjectsV2": 1, "GetObject": 2}, "of few the kept object is not worth its bytes"


def test_of_many_files_on_a_disk_only_what_is_new_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(entries, "_MANY_ON_DISK", 10)
    lake = Lake(tmp_path / "lake")
    for number, day in enumerate(DAYS, start=1):
        publish(lake, day, number)
    before = lake.entries("daily_quality")
    publish(lake, DAYS[3], 17)
    (tmp_path / "lake" / "daily_quality" / f"{DAYS[5]}.parquet").unlink()
    forget()
    read, entry = list[str](), Lake._entry
    monkeypatch.setattr(Lake, "_entry", lambda lake, asset, day: read.append(day) or entry(lake, asset, day))
    after = lake.entries("daily_quality")
    assert read == [DAYS[3]]
    assert after.pop(DAYS[3]).rows == 2 * 17 - 1
    assert after == {day: before[day] for day in DAYS if day not in (DAYS[3], DAYS[5])}


def test_a_disk_that_takes_nothing_is_read_all_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def refused(store: LocalStore, data: bytes, key: str) -> None:
        raise PermissionError(13, "Permission denied", key)

    monkeypatch.setattr(entries, "_MANY_ON_DISK", 2)
    lake = Lake(tmp_path / "lake")
    for day in DAYS[:3]:
        publish(lake, day, 5)
    monkeypatch.setattr(LocalStore, "publish_bytes", refused)
    assert len(lake.entries("daily_quality")) == 3
    assert "what 3 partitions say is not kept for the next reader" in caplog.text


# Without a time: processes that test side by side must agree on the tests' names.
@pytest.mark.parametrize(
    "damage", [b"", b"no gzip", *(gzip.compress(text, mtime=0) for text in (b"{}", b'{"format": 99}'))]
)
def test_what_is_kept_may_be_damaged_or_of_another_release(lake: Lake, damage: bytes) -> None:
    first = lake.entries("daily_quality")
    lake.store.publish_bytes(damage, KEPT)
    forget()
    assert lake.entries("daily_quality") == first
    assert len(json.loads(gzip.decompress(lake.store.read(KEPT)))["entries"]) == len(DAYS), "written anew"


def test_who_may_not_write_reads_all_the_same(
    lake: Lake, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def refused(data: bytes, key: str) -> None:
        raise entries.StoreError(f"{key}: S3 answered AccessDenied")

    monkeypatch.setattr(lake.store, "publish_bytes", refused)
    assert len(lake.entries("daily_quality")) == len(DAYS)
    assert "AccessDenied" in caplog.text


def test_a_row_group_of_each(lake: Lake, requests: Counter[str]) -> None:
    wanted = {day: entry.fingerprint for day, entry in lake.entries("daily_quality").items()}
    requests.clear()
    groups = GroupOfEach(lake, "daily_quality", ["mmsi"])
    for group, rows in ((0, lambda number: number), (1, lambda number: number - 1)):
        tables = [table for _, table in groups.of(wanted, group)]
        assert [table.num_rows for table in tables if table is not None] == [rows(n) for n in range(1, len(DAYS) + 1)]
    assert requests == {"GetObject": len(DAYS)}, "the partitions are small, and each is asked for once"
    assert [table for _, table in groups.of(wanted, 2)] == [None] * len(DAYS)
    publish(lake, DAYS[3], 33)
    with pytest.raises(ValueError, match=r"daily_quality\[2024-03-04\] was materialized anew"):
        list(GroupOfEach(lake, "daily_quality").of(wanted, 0))


def test_a_row_group_of_each_of_files_larger_than_their_ends(lake_uri: str) -> None:
    lake = Lake(lake_uri)
    tables = {
        day: pa.table(
            {"a": pa.array(range(number, 30_000), pa.int64()), "b": pa.array(range(number, 30_000), pa.int64())}
        )
        for number, day in enumerate(DAYS[:3])
    }
    for day, table in tables.items():
        halves = [table.slice(0, 20_000), table.slice(20_000)]
        lake.write("clean_records", day, RecordStream(table.schema, iter(halves), Ledger(len(table), len(table))))
    wanted = {day: entry.fingerprint for day, entry in lake.entries("clean_records").items()}
    groups = GroupOfEach(lake, "clean_records", ["b"])
    for group, start, count in ((0, 0, 20_000), (1, 20_000, None)):
        found = dict(zip(wanted, (table for _, table in groups.of(wanted, group)), strict=True))
        for day, table in tables.items():
            assert found[day] == table.slice(start, count).select(["b"])


def test_a_reader_that_stops_leaves_nothing_behind(lake: Lake) -> None:
    wanted = {day: entry.fingerprint for day, entry in lake.entries("daily_quality").items()}
    reading: Iterator[object] = GroupOfEach(lake, "daily_quality").of(wanted, 0)
    next(reading)
    reading.close()  # type: ignore[attr-defined]


@pytest.mark.parametrize(("columns", "requested"), [(None, 2), (("mmsi", "noise"), 2), (("mmsi",), 1 + 6)])
def test_row_groups_that_follow_each_other_are_read_at_once(
    lake: Lake, requests: Counter[str], columns: tuple[str, ...] | None, requested: int
) -> None:
    random = np.random.default_rng(5)
    groups = [
        pa.table(
            {
                "mmsi": pa.array(random.integers(0, 2**31, 4_000, np.int32)),
                "noise": pa.array(random.integers(0, 2**62, 4_000)),
                "more": pa.array(random.integers(0, 2**62, 4_000)),
            }
        )
        for _ in range(6)
    ]
    rows = sum(table.num_rows for table in groups)
    lake.write("daily_quality", "2024-04-01", RecordStream(groups[0].schema, iter(groups), Ledger(rows, rows)))
    requests.clear()
    read = list(lake.row_groups("daily_quality", "2024-04-01", columns))
    assert read == [table if columns is None else table.select(columns) for table in groups]
    # The footer's first. A column of which each group has less than lies between is read a group at a time.
    assert requests == {"GetObject": requested}
