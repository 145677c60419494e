"""MDS shards built in bulk, with mosaicml-streaming's own writer, merge and reader as judges."""

from __future__ import annotations

import errno
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import zstandard
import zstd
from hypothesis import given, settings
from hypothesis import strategies as st

from ais_assets import schema
from ais_assets.io.mds import COLUMNS, HASHES, INDEX_FILE, MDSError, MDSFolder, root_index, write_shards
from ais_assets_tests.io.mds_samples import read_samples
from ais_assets_tests.loader.mds.mds_datasets import stock_dataset

WINDOW = 8
LIMIT = 1 << 12
PER_SHARD = 19
"""Windows of 8 positions that MDSWriter puts into a shard of 4,096 bytes."""

stock_reader = pytest.mark.filterwarnings("ignore:unclosed file:ResourceWarning")
"""mosaicml-streaming leaves the files that it reads to the garbage collector."""


def windows(count: int, *, seed: int = 0, window_len: int = WINDOW) -> pa.Table:
    """Random windows, with values from the whole range of each column."""
    rng = np.random.default_rng(seed)
    columns = schema.windows_schema(window_len)
    features = rng.normal(size=count * window_len * schema.FEATURE_COUNT).astype(np.float32)
    return pa.table(
        [
            pa.FixedSizeListArray.from_arrays(pa.array(features), type=columns.field("features").type),
            pa.array(rng.integers(201_000_000, 775_999_999, count), pa.int32()),
            pa.array(rng.integers(0, 2**61, count), pa.int64()),
            pa.array(rng.integers(-(2**31), 2**33, count) * 1000, schema.UTC),
        ],
        schema=columns,
    )


def cut(table: pa.Table, rows: int) -> list[pa.Table]:
    """The same rows in tables of so many."""
    return [table.slice(first, rows) for first in range(0, table.num_rows, rows)]


def write(table: pa.Table, into: Path, *, rows: int = 7, threads: int = 2, window_len: int = WINDOW) -> MDSFolder:
    """Writes small shards from small tables."""
    return write_shards(cut(table, rows), into, window_len=window_len, size_limit=LIMIT, level=1, threads=threads)


def write_with_mds_writer(table: pa.Table, into: Path, *, level: int = 1, limit: int = LIMIT) -> None:
    """What mosaicml-streaming makes of the same rows."""
    from streaming import MDSWriter

    with MDSWriter(
        columns=dict(COLUMNS), out=str(into), compression=f"zstd:{level}", hashes=list(HASHES), size_limit=limit
    ) as writer:
        for row in rows_of(table):
            writer.write(row)


def rows_of(table: pa.Table) -> list[dict[str, Any]]:
    """The samples that these windows are: what a reader should return."""
    start = table["start"].cast(pa.int64()).to_pylist()
    return [
        {
            "features": np.array(row["features"], np.float32).tobytes(),
            "mmsi": np.int32(row["mmsi"]),
            "start": np.int64(milliseconds // 1000),
            "track": np.int64(row["track"]),
        }
        for row, milliseconds in zip(table.drop_columns("start").to_pylist(), start, strict=True)
    ]


def files_of(folder: Path) -> dict[str, bytes]:
    """Every file's content by its name."""
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def shards_of(folder: Path) -> list[dict[str, Any]]:
    """The shards that a folder's index lists."""
    index = json.loads((folder / INDEX_FILE).read_bytes())
    assert index["version"] == 2
    return index["shards"]


def streamed(remote: Path, cache: Path) -> list[dict[str, Any]]:
    """All samples in order, as the stock reader sees them; it unpacks shards into the cache and checks their hashes."""
    dataset = stock_dataset(remote=str(remote), local=str(cache), batch_size=4, shuffle=False, validate_hash="sha1")
    return list(dataset)


@pytest.mark.parametrize("level", [1, 3])
@pytest.mark.parametrize(
    ("window_len", "count"),
    [(WINDOW, count) for count in (1, PER_SHARD - 1, PER_SHARD, PER_SHARD + 1, 2 * PER_SHARD, 100)]
    + [(1, 200), (3, 100), (170, 3)],
)
def test_shards_are_what_mds_writer_writes(tmp_path: Path, window_len: int, count: int, level: int) -> None:
    ours, theirs = tmp_path / "ours", tmp_path / "theirs"
    table = windows(count, window_len=window_len)
    write_shards(cut(table, 7), ours, window_len=window_len, size_limit=LIMIT, level=level, threads=2)
    write_with_mds_writer(table, theirs, level=level)
    assert files_of(ours).keys() == files_of(theirs).keys()
    for name in files_of(ours).keys() - {INDEX_FILE}:
        unpacked = [zstandard.ZstdDecompressor().decompress((folder / name).read_bytes()) for folder in (ours, theirs)]
        assert unpacked[0] == unpacked[1]
    for mine, other in zip(shards_of(ours), shards_of(theirs), strict=True):
        assert mine.pop("zip_data")["basename"] == other.pop("zip_data")["basename"]
        assert mine == other
    # Two bindings of one library agree as long as the shard is too small for MDSWriter's to split it in threads.
    if zstd.ZSTD_version() == ".".join(str(part) for part in zstandard.ZSTD_VERSION):
        assert files_of(ours) == files_of(theirs)


@pytest.mark.parametrize("beside", [-1, 0, 1])
def test_shards_end_where_mds_writer_ends_them(tmp_path: Path, beside: int) -> None:
    # MDSWriter counts 8 bytes and the configuration a shard, and 4 bytes a sample beside the sample itself.
    write(windows(1), tmp_path / "one")
    packed = (tmp_path / "one" / "shard.00000.mds.zstd").read_bytes()
    offsets = np.frombuffer(zstandard.ZstdDecompressor().decompress(packed), "<u4", 2, offset=4)
    configuration, sample = int(offsets[0]) - 12, int(np.diff(offsets)[0])
    limit = 8 + configuration + 5 * (4 + sample) + beside
    assert len(str(limit)) == len(str(LIMIT)), "the limit stands in the configuration"
    write_shards([windows(11)], tmp_path / "a", window_len=WINDOW, size_limit=limit, level=1, threads=1)
    write_with_mds_writer(windows(11), tmp_path / "b", limit=limit)
    samples = [[shard["samples"] for shard in shards_of(tmp_path / who)] for who in "ab"]
    assert samples[0] == samples[1] == ([4, 4, 3] if beside < 0 else [5, 5, 1])


def test_no_windows_are_an_index_without_shards(tmp_path: Path) -> None:
    written = write(windows(0), tmp_path / "ours")
    write_with_mds_writer(windows(0), tmp_path / "theirs")
    assert files_of(tmp_path / "ours") == files_of(tmp_path / "theirs")
    assert (written.samples, written.shards, written.raw_bytes, written.compressed_bytes) == (0, 0, 0, 0)
    assert (
        write_shards([windows(0)], tmp_path / "x", window_len=WINDOW, size_limit=LIMIT, level=1, threads=1) == written
    )


def test_a_dataset_without_samples_is_refused_by_the_stock_reader(tmp_path: Path) -> None:
    # What the docstring of write_shards says; a dataset of only empty piles must be refused before training.
    write(windows(0), tmp_path / "mds")
    with pytest.raises(RuntimeError, match="contains no samples"):
        stock_dataset(remote=str(tmp_path / "mds"), local=str(tmp_path / "cache"), batch_size=1)


@settings(max_examples=25, deadline=None)
@given(count=st.integers(0, 70), rows=st.integers(1, 75), threads=st.integers(1, 5), window_len=st.integers(1, 12))
def test_batches_and_threads_do_not_matter(
    tmp_path_factory: pytest.TempPathFactory, count: int, rows: int, threads: int, window_len: int
) -> None:
    folder = tmp_path_factory.mktemp("mds")
    table = windows(count, window_len=window_len)
    written = write(table, folder / "a", rows=rows, threads=threads, window_len=window_len)
    assert written == write(table, folder / "b", rows=max(count, 1), threads=1, window_len=window_len)
    assert files_of(folder / "a") == files_of(folder / "b")
    assert read_samples(folder / "a", window_len).equals(table)


def test_chunks_and_empty_tables_do_not_matter(tmp_path: Path) -> None:
    table = windows(50)
    chunked = pa.concat_tables([windows(0), table.slice(0, 3), table.slice(3, 30), table.slice(33)])
    tables = [windows(0), chunked.slice(0, 20), windows(0), chunked.slice(20)]
    written = write_shards(iter(tables), tmp_path / "a", window_len=WINDOW, size_limit=LIMIT, level=1, threads=2)
    assert written == write(table, tmp_path / "b")


def test_windows_from_parquet_are_accepted(tmp_path: Path) -> None:
    table = windows(50)
    pq.write_table(table, tmp_path / "windows.parquet", row_group_size=20)
    with pq.ParquetFile(tmp_path / "windows.parquet") as file:
        groups = [file.read_row_group(number) for number in range(file.num_row_groups)]
    assert write_shards(groups, tmp_path / "a", window_len=WINDOW, size_limit=LIMIT, level=1, threads=2) == write(
        table, tmp_path / "b"
    )


@stock_reader
@pytest.mark.parametrize("count", [1, PER_SHARD, 50])
def test_the_stock_reader_returns_every_window(tmp_path: Path, count: int) -> None:
    table = windows(count)
    write(table, tmp_path / "mds")
    assert streamed(tmp_path / "mds", tmp_path / "cache") == rows_of(table)


def test_what_was_written_is_accounted(tmp_path: Path) -> None:
    written = write(windows(50), tmp_path / "mds")
    shards = list((tmp_path / "mds").glob("*.zstd"))
    unpacked = [zstandard.ZstdDecompressor().decompress(path.read_bytes()) for path in shards]
    assert written.samples == 50
    assert written.shards == len(shards) == 3
    assert written.compressed_bytes == sum(path.stat().st_size for path in shards)
    assert written.raw_bytes == sum(len(raw) for raw in unpacked)
    assert max(len(raw) for raw in unpacked) <= LIMIT


def test_the_digest_changes_with_any_value(tmp_path: Path) -> None:
    table = windows(50)
    digests = {write(table, tmp_path / "0").digest, write(table.slice(1), tmp_path / "1").digest}
    for number, name in enumerate(("mmsi", "track", "start", "features"), start=2):
        other = table.set_column(
            table.schema.get_field_index(name), table.schema.field(name), windows(50, seed=1)[name]
        )
        digests.add(write(other, tmp_path / str(number)).digest)
    assert len(digests) == 6


@stock_reader
def test_a_root_index_is_what_merge_index_makes(tmp_path: Path) -> None:
    from streaming.base.util import merge_index

    parts = [windows(30, seed=1), windows(0), windows(5, seed=2), windows(PER_SHARD, seed=3)]
    folders = []
    for number, part in enumerate(parts):
        name = f"0000{number}-abc"
        write(part, tmp_path / "mds" / name)
        folders.append((name, (tmp_path / "mds" / name / INDEX_FILE).read_bytes()))
    index = root_index(folders)
    assert index == root_index(folders)
    merge_index([str(tmp_path / "mds" / name / INDEX_FILE) for name, _ in folders], str(tmp_path / "mds"))
    assert json.loads(index) == json.loads((tmp_path / "mds" / INDEX_FILE).read_bytes())

    (tmp_path / "mds" / INDEX_FILE).write_bytes(index)
    assert streamed(tmp_path / "mds", tmp_path / "cache") == rows_of(pa.concat_tables(parts))


def test_a_root_index_keeps_the_order_it_is_given(tmp_path: Path) -> None:
    folders = []
    for name in ("b", "deep/a"):
        write(windows(3), tmp_path / name)
        folders.append((name, (tmp_path / name / INDEX_FILE).read_bytes()))
    for order in (folders, folders[::-1]):
        entries = json.loads(root_index(order))["shards"]
        assert [entry["zip_data"]["basename"] for entry in entries] == [f"{n}/shard.00000.mds.zstd" for n, _ in order]
    assert json.loads(root_index([])) == {"version": 2, "shards": []}


def test_a_root_index_takes_shards_that_are_not_compressed(tmp_path: Path) -> None:
    from streaming import MDSWriter

    with MDSWriter(columns=dict(COLUMNS), out=str(tmp_path / "x")) as writer:
        for row in rows_of(windows(3)):
            writer.write(row)
    entry = json.loads(root_index([("x", (tmp_path / "x" / INDEX_FILE).read_bytes())]))["shards"][0]
    assert (entry["raw_data"]["basename"], entry["zip_data"]) == ("x/shard.00000.mds", None)


@pytest.mark.parametrize("folder", ["", "/x", "../x", "x/..", "a/../b", ".", "./x", "x/", "a//b", "a\\b"])
def test_folders_outside_the_root_are_refused(folder: str) -> None:
    with pytest.raises(MDSError, match="not a relative path below the root"):
        root_index([(folder, b'{"version": 2, "shards": []}')])


def test_a_folder_named_twice_is_refused() -> None:
    empty = b'{"version": 2, "shards": []}'
    with pytest.raises(MDSError, match="'x' is named twice"):
        root_index([("x", empty), ("y", empty), ("x", empty)])


@pytest.mark.parametrize("part", ["raw_data", "zip_data"])
@pytest.mark.parametrize("name", ["../../etc/passwd", "/etc/passwd", "a/b", "..", ""])
def test_files_outside_their_folder_are_refused(tmp_path: Path, part: str, name: str) -> None:
    write(windows(3), tmp_path / "x")
    index = json.loads((tmp_path / "x" / INDEX_FILE).read_bytes())
    index["shards"][0][part]["basename"] = name
    with pytest.raises(MDSError, match=r"x/index.json names the file .* not directly inside its folder"):
        root_index([("x", json.dumps(index).encode())])


@pytest.mark.parametrize(
    ("index", "says"),
    [
        (b"", "x/index.json is not an MDS index"),
        (b'{"version": 2, "sha', "x/index.json is not an MDS index"),
        (b"\xff\xfe", "x/index.json is not an MDS index"),
        (b"[]", "x/index.json is not an MDS index"),
        (b'{"version": 2}', "x/index.json is not an MDS index .*shards"),
        (b'{"version": 2, "shards": [{"samples": 1}]}', "x/index.json is not an MDS index .*raw_data"),
        (b'{"version": 3, "shards": []}', "x/index.json has MDS version 3; known is 2"),
    ],
)
def test_an_index_that_is_none_is_refused(index: bytes, says: str) -> None:
    with pytest.raises(MDSError, match=says):
        root_index([("x", index)])


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"size_limit": 100}, r"100 bytes holds no sample: .* raise AIS_MDS_SIZE_LIMIT"),
        ({"size_limit": 1 << 32}, "too large for MDS"),
        ({"level": 0}, "zstd level 0"),
        ({"level": 23}, "zstd level 23"),
        ({"threads": 0}, "max_workers must be greater than 0"),
    ],
)
def test_wrong_options_are_refused(tmp_path: Path, options: dict[str, int], says: str) -> None:
    right = {"window_len": WINDOW, "size_limit": LIMIT, "level": 1, "threads": 1}
    with pytest.raises(ValueError, match=says):
        write_shards([windows(1)], tmp_path / "x", **(right | options))


def test_windows_of_another_length_are_refused(tmp_path: Path) -> None:
    with pytest.raises(MDSError, match=r"table 1 of windows has the columns features .*\[45\].*expected are .*\[40\]"):
        write_shards(
            [windows(2), windows(2, window_len=9)], tmp_path, window_len=WINDOW, size_limit=LIMIT, level=1, threads=1
        )


def test_a_start_between_seconds_is_refused(tmp_path: Path) -> None:
    table = windows(5)
    starts = table["start"].cast(pa.int64()).to_pylist()
    starts[3] += 1
    broken = table.set_column(3, table.schema.field("start"), pa.array(starts, schema.UTC))
    with pytest.raises(MDSError, match=r"table 0 of windows, row 3: start .* is not a whole second"):
        write(broken, tmp_path)


def test_a_null_is_refused(tmp_path: Path) -> None:
    table = windows(5)
    broken = table.set_column(1, table.schema.field("mmsi"), pa.array([201_000_000, None, 1, 2, 3], pa.int32()))
    with pytest.raises(MDSError, match="has 1 null in 'mmsi'"):
        write(broken, tmp_path)


def test_a_folder_with_files_is_not_written_into(tmp_path: Path) -> None:
    (tmp_path / "shard.00000.mds.zstd").touch()
    with pytest.raises(FileExistsError, match="is not empty"):
        write(windows(1), tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["shard.00000.mds.zstd"]


def test_windows_that_break_off_leave_no_index(tmp_path: Path) -> None:
    def broken() -> Iterator[pa.Table]:
        yield windows(3 * PER_SHARD)
        raise ConnectionError("the lake went away")

    with pytest.raises(ConnectionError, match="went away"):
        write_shards(broken(), tmp_path, window_len=WINDOW, size_limit=LIMIT, level=1, threads=2)
    assert not (tmp_path / INDEX_FILE).exists()


def test_a_shard_that_cannot_be_written_ends_the_run(tmp_path: Path) -> None:
    taken = 0

    def tables() -> Iterator[pa.Table]:
        nonlocal taken
        for taken in range(1000):
            if taken == 2:
                (tmp_path / "x").rename(tmp_path / "gone")
            yield windows(PER_SHARD)

    with pytest.raises(FileNotFoundError, match=r"x/shard\.0000\d\.mds\.zstd"):
        write_shards(tables(), tmp_path / "x", window_len=WINDOW, size_limit=LIMIT, level=1, threads=2)
    # Noticed within the bound on shards in memory, not at the end.
    assert taken < 10


def test_a_full_disk_names_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(OSError, match=r"No space left on device: '.*shard\.00000\.mds\.zstd'"):
        write(windows(1), tmp_path)
    assert not (tmp_path / INDEX_FILE).exists()


def test_reading_leaves_the_folder_as_it_is(tmp_path: Path) -> None:
    table = windows(50)
    write(table, tmp_path)
    before = files_of(tmp_path)
    assert read_samples(tmp_path).equals(table)
    assert files_of(tmp_path) == before


def test_reading_windows_of_another_length_is_refused(tmp_path: Path) -> None:
    write(windows(1), tmp_path)
    with pytest.raises(MDSError, match="windows of 8 positions, not 9"):
        read_samples(tmp_path, 9)


@pytest.mark.parametrize("keep", [0, 10, -1])
def test_reading_a_truncated_shard_is_refused(tmp_path: Path, keep: int) -> None:
    write(windows(50), tmp_path)
    shard = tmp_path / "shard.00001.mds.zstd"
    shard.write_bytes(shard.read_bytes()[:keep])
    with pytest.raises(MDSError, match=r"shard\.00001\.mds\.zstd is damaged"):
        read_samples(tmp_path)


def test_reading_a_shard_with_a_flipped_bit_is_refused(tmp_path: Path) -> None:
    write(windows(50), tmp_path)
    shard = tmp_path / "shard.00002.mds.zstd"
    content = bytearray(shard.read_bytes())
    content[len(content) // 2] ^= 1
    shard.write_bytes(content)
    with pytest.raises(MDSError, match=r"shard\.00002\.mds\.zstd is damaged"):
        read_samples(tmp_path)


def test_reading_without_an_index_or_a_shard_says_so(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"index\.json"):
        read_samples(tmp_path)
    write(windows(50), tmp_path)
    (tmp_path / "shard.00001.mds.zstd").unlink()
    with pytest.raises(FileNotFoundError, match=r"shard\.00001\.mds\.zstd"):
        read_samples(tmp_path)
