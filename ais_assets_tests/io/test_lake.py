"""The lake on local disk and on S3: whole objects or none, found by name, with their accounts."""

from __future__ import annotations

import json
import multiprocessing
import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import duckdb
import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from boto3.session import Session
from click.testing import CliRunner

from ais_assets import schema
from ais_assets.cli.main import main
from ais_assets.io.lake import Folder, Lake, PartitionMissingError
from ais_assets.io.packed import PackedPositions
from ais_assets.io.views import in_degrees_and_knots
from ais_assets.ledger import Ledger, LedgerError
from ais_assets.operating.prune import Leftover, leftovers, remove
from ais_assets.store.objects import STAGING, StoreError, checked_key
from ais_assets.store.sealed_parquet import DamagedFileError
from ais_assets.stream import RecordStream
from ais_assets_tests.blank_columns import with_blanks
from ais_assets_tests.loader.mds.mds_datasets import windows, windows_table
from ais_assets_tests.s3_server import S3Server


def positions(mmsi: list[int]) -> pa.Table:
    """Clean records with one position each."""
    count = len(mmsi)
    microdegrees = pa.array([55_123_456] * count, pa.int32())
    tenths = pa.array([123] * count, pa.int32())
    columns = {
        "mmsi": pa.array(mmsi, pa.int32()),
        "t": pa.array([1_709_251_200_000 + 1000 * k for k in range(count)], pa.timestamp("ms", tz="UTC")),
        "lat_microdegrees": microdegrees,
        "lon_microdegrees": microdegrees,
        "sog_tenths": tenths,
        "cog_tenths": tenths,
        "mobile_type": pa.DictionaryArray.from_arrays(pa.array([1] * count, pa.int8()), list(schema.MOBILE_TYPES)),
    }
    return pa.table(with_blanks(columns, schema.CLEAN_RECORDS, count), schema=schema.CLEAN_RECORDS)


def stream(*tables: pa.Table, rows_in: int | None = None, **facts: object) -> RecordStream:
    """A stream of these tables whose account adds up."""
    rows = sum(table.num_rows for table in tables)
    rows_in = rows if rows_in is None else rows_in
    return RecordStream(
        schema.CLEAN_RECORDS, iter(tables), Ledger(rows_in, rows, {"rule": rows_in - rows}), dict(facts)
    )


def test_what_is_written_is_read_by_everybody(lake_uri: str) -> None:
    lake = Lake(lake_uri)
    first, second = positions([219000001, 219000002]), positions([219000003])
    published = lake.write("clean_records", "2024-03-01", stream(first, second, rows_in=5, shards=2))
    assert (published.rows, published.ledger.dropped) == (3, {"rule": 2})
    assert lake.partitions("clean_records") == ["2024-03-01"]
    assert lake.dataset("clean_records").to_table().equals(pa.concat_tables([first, second]))
    assert lake.table("clean_records").equals(in_degrees_and_knots(pa.concat_tables([first, second])))
    found = lake.sql("select mmsi, lat, t from clean_records order by mmsi limit 1").fetchall()[0]
    assert (found[0], found[1], found[2].isoformat()) == (219000001, 55.123456, "2024-03-01T00:00:00+00:00")
    described = lake.describe("clean_records", "2024-03-01")
    assert described.ledger == published.ledger
    assert described.facts == {"shards": 2}
    assert described.row_groups == 2


def test_other_readers_see_whole_numbers_and_their_units(tmp_path: Path) -> None:
    lake = Lake(tmp_path)
    lake.write("clean_records", "2024-03-01", stream(positions([]), positions([219000001]), positions([])))
    path = lake.uri_of("clean_records", "2024-03-01")
    stored = "select lat_microdegrees, cog_tenths from '{}'"
    assert duckdb.execute(stored.format(path)).fetchall() == [(55_123_456, 123)]
    assert (pl.read_parquet(path)["lat_microdegrees"] / 1e6).to_list() == [55.123456]
    units = {name: pq.read_schema(path).field(name).metadata[b"unit"] for name in ("lat_microdegrees", "sog_tenths")}
    assert units == {"lat_microdegrees": b"1e-6 degree", "sog_tenths": b"0.1 knot"}
    assert pq.ParquetFile(path).metadata.row_group(1).column(2).physical_type == "INT32"


def test_same_rows_same_bytes_on_either_store(tmp_path: Path, bucket: str) -> None:
    client = Session().client("s3")
    for number in range(2):
        Lake(tmp_path / str(number)).write("clean_records", "2024-03-01", stream(positions([219000001])))
    Lake(f"s3://{bucket}/p").write("clean_records", "2024-03-01", stream(positions([219000001])))
    local = [(tmp_path / str(k) / "clean_records" / "2024-03-01.parquet").read_bytes() for k in range(2)]
    remote = client.get_object(Bucket=bucket, Key="p/clean_records/2024-03-01.parquet")["Body"].read()
    assert local[0] == local[1] == remote


def _changed(table: pa.Table, column: str, row: int, value: object) -> pa.Table:
    values = table[column].to_pylist()
    values[row] = value
    number = table.schema.get_field_index(column)
    return table.set_column(number, table.schema.field(number), pa.array(values, table.schema.field(number).type))


def _fingerprint(lake: Lake, asset: str, *tables: pa.Table) -> str:
    rows = sum(table.num_rows for table in tables)
    lake.write(asset, "x", RecordStream(tables[0].schema, iter(tables), Ledger(rows, rows)))
    return lake.describe(asset, "x").fingerprint


def test_a_fingerprint_tells_the_least_change(tmp_path: Path) -> None:
    lake = Lake(tmp_path)
    rng = np.random.default_rng(3)
    table = positions([219000001] * 5_000)
    latitudes = pa.array(rng.integers(-90_000_000, 90_000_000, 5_000), pa.int32())
    table = table.set_column(2, table.schema.field(2), latitudes)
    first = _fingerprint(lake, "clean_records", table, table)
    assert _fingerprint(lake, "clean_records", table, table) == first
    # Hardly any of these differ in a size or a bound.
    stored = table["lat_microdegrees"].to_pylist()
    moved = [_changed(table, "lat_microdegrees", row, stored[row] + 1) for row in range(0, 5_000, 625)]
    found = {_fingerprint(lake, "clean_records", table, each) for each in moved}
    found |= {_fingerprint(lake, "clean_records", each, table) for each in moved}
    assert len(found | {first}) == 17


def test_a_fingerprint_of_text_tells_the_least_change(tmp_path: Path) -> None:
    lake = Lake(tmp_path)
    rows = [
        {"line": k, "reason": f"no such day {k % 7}", "text": "x" * 19 + ("y" if k == 7 else "a")} for k in range(500)
    ]
    rejects = pa.Table.from_pylist(rows, schema.REJECTS)
    first = _fingerprint(lake, "rejects", rejects, rejects)
    assert _fingerprint(lake, "rejects", rejects, rejects) == first
    changed = [_changed(rejects, "text", 499, "x" * 19 + letter) for letter in "bcdefghi"]
    assert len({first} | {_fingerprint(lake, "rejects", rejects, each) for each in changed}) == 9


def test_a_stage_that_fails_half_way_leaves_the_former_partition(lake_uri: str) -> None:
    lake = Lake(lake_uri)
    lake.write("clean_records", "2024-03-01", stream(positions([219000001])))

    def breaking() -> Iterator[pa.Table]:
        yield positions([219000002])
        raise RuntimeError("the disk is on fire")

    with pytest.raises(RuntimeError, match="on fire"):
        lake.write("clean_records", "2024-03-01", RecordStream(schema.CLEAN_RECORDS, breaking()))
    unbalanced = RecordStream(schema.CLEAN_RECORDS, iter([positions([219000002])]), Ledger(3, 1))
    with pytest.raises(LedgerError, match=r"clean_records\[2024-03-01\].*do not add up"):
        lake.write("clean_records", "2024-03-01", unbalanced)
    assert lake.table("clean_records")["mmsi"].to_pylist() == [219000001]


def test_missing_partitions_are_named(lake_uri: str) -> None:
    lake = Lake(lake_uri)
    with pytest.raises(PartitionMissingError, match=r"clean_records is not in .*materialize it first"):
        lake.dataset("clean_records")
    lake.write("clean_records", "2024-03-01", stream(positions([219000001])))
    with pytest.raises(PartitionMissingError, match=r"1 of the 2 partitions.*missing: 2024-03-02"):
        lake.dataset("clean_records", ["2024-03-01", "2024-03-02"])
    with pytest.raises(PartitionMissingError, match=r"clean_records\[2024-03-02\]"):
        lake.describe("clean_records", "2024-03-02")
    with pytest.raises(KeyError, match="the lake knows raw_archives"):
        lake.dataset("cleaned")


def test_windows_are_loaded_by_what_they_are_for(lake_uri: str) -> None:
    lake = Lake(lake_uri)
    loaders = {"validation": lake.validation_loader, "holdout": lake.holdout_loader}
    for asset, loader in loaders.items():
        with pytest.raises(PartitionMissingError, match=f"{asset} is not in .*: materialize it first"):
            loader()
    stored = {"validation": windows(50, seed=1), "holdout": windows(20, seed=2)}
    for asset, features in stored.items():
        table = windows_table(features)
        lake.write(asset, None, RecordStream(table.schema, iter([table]), Ledger(len(features), len(features))))
    for asset, loader in loaders.items():
        batches = [batch.numpy() for batch in loader(batch_size=16)]
        assert [len(batch) for batch in batches[:-1]] == [16] * (len(stored[asset]) // 16)
        np.testing.assert_array_equal(np.concatenate(batches), stored[asset])
    raw, where = next(iter(lake.holdout_loader(provenance=True)))
    assert len(raw) == len(where["mmsi"]) == 20


def test_no_held_out_time_gives_no_batches(tmp_path: Path) -> None:
    lake = Lake(tmp_path)
    table = windows_table(windows(0))
    lake.write("holdout", None, RecordStream(table.schema, iter([table])))
    assert list(lake.holdout_loader()) == []


def test_folders_are_complete_before_they_are_current(lake_uri: str, tmp_path: Path) -> None:
    lake = Lake(lake_uri)
    for content in ("one", "two"):
        with lake.store.staging() as staging:
            folder = staging / "pile"
            folder.mkdir()
            (folder / "shard").write_text(content)
            (folder / "index.json").write_text("{}")
            lake.write_folder(
                "mds_shards", "00000", Folder(folder, f"{content}-digest", Ledger(1, 1), last="index.json")
            )
    assert lake.manifest("mds_shards", "00000")["folder"] == "00000-two-digest"
    assert lake.store.read("mds/00000-one-digest/shard") == b"one"
    assert lake.partitions("mds_shards") == ["00000"]
    assert sorted(lake.manifest("mds_shards", "00000")["files"]) == ["index.json", "shard"]


def _publish_folder(lake: Lake, asset: str, partition: str, digest: str) -> None:
    with lake.store.staging() as staging:
        folder = staging / partition
        folder.mkdir()
        (folder / "shard").write_text("x" * 100)
        lake.write_folder(asset, partition, Folder(folder, digest, Ledger()))


def _index(*folders: str) -> dict[str, object]:
    shards = [{"raw_data": {"basename": f"{folder}/shard"}, "zip_data": None, "samples": 1} for folder in folders]
    return {"version": 2, "shards": shards}


def _places(found: list[Leftover]) -> list[str]:
    return sorted(leftover.where for leftover in found)


ONE, TWO = "1" * 12, "2" * 12


def test_what_nothing_names_any_more_is_pruned(lake_uri: str, tmp_path: Path) -> None:
    lake = Lake(lake_uri)
    for digest in (ONE, TWO):
        _publish_folder(lake, "mds_shards", "00000", digest)
        _publish_folder(lake, "raw_archives", "2024-03-01", digest)
    _publish_folder(lake, "mds_shards", "00001", ONE)
    lake.store.publish_bytes(b"mine", "mds/notes/from-2024")
    lake.write_json("mds_index", _index(f"00000-{ONE}", f"00001-{ONE}"))
    later = time.time() + 60
    # The index is still the former pile's: a training run that begins now needs it.
    assert _places(leftovers(lake, tmp_path, later)) == [f"raw_archives/2024-03-01-{ONE}"]

    lake.write_json("mds_index", _index(f"00000-{TWO}", f"00001-{ONE}"))
    written = max(each.modified for each in lake.store.objects("mds"))
    assert f"mds/00000-{ONE}" not in _places(leftovers(lake, tmp_path, written)), "it was named until just now"
    found = leftovers(lake, tmp_path, later)
    assert _places(found) == [f"mds/00000-{ONE}", f"raw_archives/2024-03-01-{ONE}"]
    assert [leftover.size for leftover in found] == [100, 100]
    before = {each.key for each in [*lake.store.objects("mds"), *lake.store.objects("raw_archives")]}
    for leftover in found:
        remove(lake, leftover)
    after = {each.key for each in [*lake.store.objects("mds"), *lake.store.objects("raw_archives")]}
    assert before - after == {f"mds/00000-{ONE}/shard", f"raw_archives/2024-03-01-{ONE}/shard"}
    assert leftovers(lake, tmp_path, later) == []


def test_pruning_follows_no_links(tmp_path: Path) -> None:
    lake, outside = Lake(tmp_path / "lake"), tmp_path / "outside"
    outside.mkdir()
    (outside / "mine").write_text("mine")
    for digest in (ONE, TWO):
        _publish_folder(lake, "mds_shards", "00000", digest)
    mds = tmp_path / "lake" / "mds"
    (mds / f"00000-{ONE}" / "link").symlink_to(outside)
    (mds / f"00003-{ONE}").symlink_to(outside)
    (tmp_path / "lake" / "elsewhere").symlink_to(outside)
    found = leftovers(lake, tmp_path, time.time() + 60)
    assert _places(found) == [f"mds/00000-{ONE}"]
    remove(lake, found[0])
    assert not (mds / f"00000-{ONE}").exists()
    for folder in (f"mds/00003-{ONE}", "elsewhere", "elsewhere/deeper"):
        with pytest.raises(StoreError, match="lies behind a link"):
            lake.store.delete(folder)
    assert (outside / "mine").read_text() == "mine"


def test_ais_prune(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AIS_LAKE", str(tmp_path / "lake"))
    monkeypatch.setenv("AIS_CACHE", str(tmp_path / "cache"))
    lake, cached = Lake(tmp_path / "lake"), tmp_path / "cache" / "mds"
    for digest in (ONE, TWO):
        _publish_folder(lake, "mds_shards", "00000", digest)
        (cached / f"00000-{digest}").mkdir(parents=True)
        (cached / f"00000-{digest}" / "shard").write_text("cached")
    tracks = schema.TRACK_POSITIONS.empty_table()
    lake.write("track_shards", "0000", RecordStream(tracks.schema, iter([tracks])))
    PackedPositions(tmp_path / "cache", lake).open(["0000"])
    packed = tmp_path / "cache" / lake.identity()
    (packed / "0007-no-longer-there.packed").write_text("packed")
    given_up = tmp_path / "cache" / "landing" / "2024-03-01-0123456789abcdef"
    given_up.parent.mkdir()
    given_up.write_text("PK\3\4..")

    def prune(*arguments: str) -> list[dict[str, object]]:
        result = CliRunner().invoke(main, ["prune", "--json", *arguments])
        assert result.exit_code == 0, result.output
        return json.loads(result.output)["leftovers"]

    files = {path for path in tmp_path.rglob("*") if path.is_file() and ".lock" not in path.name}
    assert prune() == [], "all of it is younger than a day"
    found = prune("--older-than", "0", "--dry-run")
    assert {path for path in tmp_path.rglob("*") if path.is_file() and ".lock" not in path.name} == files
    assert {row["where"] for row in found} == {
        f"mds/00000-{ONE}",
        f"{cached}/00000-{ONE}",
        f"{packed}/0007-no-longer-there.packed",
        str(given_up),
    }
    assert {row["bytes"] for row in found} == {100, 6}
    assert prune("--older-than", "0") == found
    left = {path for path in tmp_path.rglob("*") if path.is_file() and ".lock" not in path.name}
    assert {str(path) for path in files - left} == {
        f"{lake.uri}/mds/00000-{ONE}/shard",
        f"{cached}/00000-{ONE}/shard",
        f"{packed}/0007-no-longer-there.packed",
        str(given_up),
    }
    table = CliRunner().invoke(main, ["prune", "--dry-run"])
    assert "Would be deleted" in table.output


def test_foreign_parquet_is_refused(tmp_path: Path) -> None:
    (tmp_path / "clean_records").mkdir()
    pq.write_table(pa.table({"x": [1]}), tmp_path / "clean_records" / "2024-03-01.parquet")
    with pytest.raises(DamagedFileError, match="no file of this lake"):
        Lake(tmp_path).describe("clean_records", "2024-03-01")


@pytest.mark.parametrize("key", ["", "/etc/passwd", "../x", "a/../../x", "a//b", "./a"])
def test_keys_stay_inside_the_lake(key: str) -> None:
    with pytest.raises(ValueError, match="not a path inside the lake"):
        checked_key(key)


@pytest.mark.parametrize("partition", ["../2024", "a/b", "", ".hidden", "x" * 200])
def test_partition_keys_are_plain_names(tmp_path: Path, partition: str) -> None:
    with pytest.raises(ValueError, match="not a partition key"):
        Lake(tmp_path).write("clean_records", partition, stream(positions([])))


def _die_while_writing(root: str) -> None:
    def dying() -> Iterator[pa.Table]:
        yield positions([219000002])
        os.kill(os.getpid(), signal.SIGKILL)
        yield positions([219000003])

    Lake(root).write("clean_records", "2024-03-01", RecordStream(schema.CLEAN_RECORDS, dying(), Ledger(2, 2)))


def test_a_killed_writer_leaves_the_former_partition_and_nothing_else(tmp_path: Path) -> None:
    lake = Lake(tmp_path)
    lake.write("clean_records", "2024-03-01", stream(positions([219000001])))
    process = multiprocessing.get_context("spawn").Process(target=_die_while_writing, args=(str(tmp_path),))
    process.start()
    process.join(60)
    assert process.exitcode == -signal.SIGKILL
    assert any((tmp_path / STAGING).iterdir())
    assert lake.table("clean_records")["mmsi"].to_pylist() == [219000001]
    lake.write("clean_records", "2024-03-01", stream(positions([219000004])))
    assert lake.table("clean_records")["mmsi"].to_pylist() == [219000004]
    assert not any((tmp_path / STAGING).iterdir())


def test_a_living_writers_staging_is_left_alone(tmp_path: Path) -> None:
    store = Lake(tmp_path).store
    with store.staging() as mine:
        (mine / "part").write_text("unfinished")
        with store.staging():
            assert (mine / "part").read_text() == "unfinished"
    assert not mine.exists()


def test_wrong_keys_and_missing_buckets_say_what_to_do(
    s3_environment: S3Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(StoreError, match="NoSuchBucket: create the bucket or correct AIS_LAKE"):
        Lake("s3://no-such-bucket-here/p").partitions("clean_records")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "wrong")
    with pytest.raises(StoreError, match="SignatureDoesNotMatch: check AWS_SECRET_ACCESS_KEY") as raised:
        Lake("s3://no-such-bucket-here/p").partitions("clean_records")
    assert s3_environment.secret_key not in str(raised.value)


@pytest.mark.timeout(60)
def test_an_unreachable_server_is_an_error_and_no_hang(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "x")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "x")
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "2")
    with pytest.raises(StoreError, match=r"cannot be reached.*check the endpoint"):
        Lake("s3://bucket/p", s3_patience_seconds=0).partitions("clean_records")


@pytest.mark.parametrize("place", [0.2, 0.5, 0.999])
def test_a_flipped_bit_is_refused_by_every_way_to_read(tmp_path: Path, place: float) -> None:
    """In the first page's values, a later page's, and the footer."""
    lake = Lake(tmp_path)
    mmsi = np.random.default_rng(8).permutation(np.arange(200_000_000, 200_050_000)).tolist()
    lake.write("clean_records", "2024-03-01", stream(positions(mmsi)))
    lake.write("clean_records", "2024-03-02", stream(positions([219000002])))
    path = tmp_path / "clean_records" / "2024-03-01.parquet"
    data = bytearray(path.read_bytes())
    footer = 8 + int.from_bytes(data[-8:-4], "little")
    data[-footer // 2 if place > 0.9 else int(len(data) * place)] ^= 4
    path.write_bytes(bytes(data))
    named = r"2024-03-01\.parquet is damaged.*materialize clean_records\[2024-03-01\] again"
    with pytest.raises(DamagedFileError, match=named):
        list(lake.row_groups("clean_records", "2024-03-01"))
    with pytest.raises(DamagedFileError, match=named):
        lake.table("clean_records")
    with pytest.raises(DamagedFileError, match=named):
        lake.verify("clean_records", "2024-03-01")
    lake.verify("clean_records", "2024-03-02")
    with pytest.raises((DamagedFileError, OSError), match=r"damaged|CRC checksum"):
        lake.dataset("clean_records").to_table()
    with pytest.raises((DamagedFileError, duckdb.Error), match=r"damaged|CRC checksum"):
        lake.sql("select sum(mmsi), max(lat), max(lon), max(t) from clean_records").fetchall()
