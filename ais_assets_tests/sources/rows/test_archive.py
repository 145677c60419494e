"""Archives whole and damaged: blocks of rows, dates in names, members copied."""

from __future__ import annotations

import codecs
import gzip
import io
import subprocess
import sys
import zipfile
from collections.abc import Callable
from datetime import date
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import zstandard
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ais_assets.sources.rows.archive import (
    as_utf8,
    copy_member,
    open_zip,
    row_blocks,
    row_members,
)
from ais_assets.sources.rows.parquet_rows import parquet_batches
from ais_assets.sources.source import SourceError
from ais_assets_tests.patience import PATIENCE_SECONDS
from ais_assets_tests.sources.csv_rows import DAY, HEADER, MAX_BYTES, row, write_zip

CONTENT = "\n".join([HEADER, *(row(mmsi=str(k * 7919), latitude=f"{k / 100}") for k in range(2000))]).encode()


def unpacked(path: Path, block_bytes: int = 1 << 20, max_bytes: int = MAX_BYTES) -> bytes:
    blocks = list(row_blocks(path, block_bytes=block_bytes, max_bytes=max_bytes))
    assert all(len(block) <= block_bytes for block in blocks)
    return b"".join(blocks)


@pytest.fixture
def archive(tmp_path: Path) -> Path:
    return write_zip(tmp_path / f"aisdk-{DAY}.zip", {f"aisdk-{DAY}.csv": CONTENT})


@pytest.mark.parametrize("block_bytes", [100, 4096, 1 << 20])
def test_every_kind_of_archive_gives_the_same_bytes(tmp_path: Path, archive: Path, block_bytes: int) -> None:
    plain = tmp_path / "a.csv"
    plain.write_bytes(CONTENT)
    packed = tmp_path / "a.csv.gz"
    half = len(CONTENT) // 2
    packed.write_bytes(gzip.compress(CONTENT[:half]) + gzip.compress(CONTENT[half:]))
    stored = tmp_path / "stored.zip"
    with zipfile.ZipFile(stored, "w", zipfile.ZIP_STORED) as zipped:
        zipped.writestr("a.csv", CONTENT)
    frames = tmp_path / "a.csv.zst"
    frames.write_bytes(zstandard.compress(CONTENT[:half]) + zstandard.compress(CONTENT[half:]))
    for path in (plain, packed, stored, archive, frames):
        assert unpacked(path, block_bytes) == CONTENT


@pytest.mark.parametrize("encoding", ["utf-8", "utf-16", "utf-16-be"])
@pytest.mark.parametrize("block_bytes", [2, 3, 1 << 20])
def test_text_is_read_as_utf_8_whatever_its_byte_order_mark_says(encoding: str, block_bytes: int) -> None:
    text = "ÆRØSKØBING 🚢\r\n" * 50
    mark = codecs.BOM_UTF16_BE if encoding == "utf-16-be" else b""
    raw = mark + text.encode(encoding)
    blocks = (raw[start : start + block_bytes] for start in range(0, len(raw), block_bytes))
    assert b"".join(as_utf8(blocks)).decode() == text
    assert list(as_utf8(iter(()))) == []


def zip_bomb(folder: Path) -> Path:
    return write_zip(folder / "a.zip", {"a.csv": bytes(50_000_000)})


def zstd_bomb(folder: Path) -> Path:
    path = folder / "a.csv.zst"
    path.write_bytes(zstandard.compress(bytes(50_000_000)))
    return path


@pytest.mark.parametrize("bomb", [zip_bomb, zstd_bomb])
def test_a_bomb_is_stopped(tmp_path: Path, bomb: Callable[[Path], Path]) -> None:
    path = bomb(tmp_path)
    assert path.stat().st_size < 100_000
    with pytest.raises(SourceError, match=r"more than 1,000,000 bytes.*AIS_MAX_ARCHIVE_GIGABYTES"):
        unpacked(path, max_bytes=1_000_000)


@pytest.mark.parametrize("values", [pa.array(["x" * 50]), pa.array([7]), pa.array(["x"])])
def test_a_parquet_bomb_is_stopped(tmp_path: Path, values: pa.Array) -> None:
    path = tmp_path / "a.parquet"
    pq.write_table(pa.table({"a": values.take(pa.array([0] * 1_000_000)).dictionary_encode()}), path)
    assert path.stat().st_size < 100_000
    with pytest.raises(SourceError, match=r"more than 100,000 bytes.*AIS_MAX_ARCHIVE_GIGABYTES"):
        for _ in parquet_batches(path, 100_000, lambda _: True):
            pass


def test_a_parquet_file_is_no_text(tmp_path: Path) -> None:
    path = tmp_path / "a.nmea"
    pq.write_table(pa.table({"a": [1]}), path)
    with pytest.raises(SourceError, match="is a Parquet file where text is read"):
        unpacked(path)


LONG_TEXTS = """
import sys
from datetime import date
from pathlib import Path
from ais_assets.bench.race import peak_bytes
from ais_assets.sources.rows.parquet_rows import parquet_batches
from ais_assets.sources.source import SourceError
before = peak_bytes()
try:
    for _ in parquet_batches(Path(sys.argv[1]), 1_000_000, lambda _: True):
        pass
except SourceError as error:
    print(peak_bytes() - before, error)
"""


def test_a_few_kilobytes_that_hold_a_long_text_many_times_take_no_memory(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    pq.write_table(pa.table({"name": ["x" * 400_000] * 1_000}), path)
    assert path.stat().st_size < 100_000
    done = subprocess.run(
        [sys.executable, "-c", LONG_TEXTS, str(path)],
        capture_output=True,
        text=True,
        timeout=PATIENCE_SECONDS,
        check=True,
    )
    peak, _, said = done.stdout.partition(" ")
    assert int(peak) < 200_000_000
    assert "unpacks to more than 1,000,000 bytes" in said


class TestDamage:
    @settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
    @given(share=st.floats(0, 1, exclude_max=True))
    def test_a_zip_cut_off_anywhere_is_refused(self, tmp_path: Path, archive: Path, share: float) -> None:
        whole = archive.read_bytes()
        path = tmp_path / "cut.zip"
        path.write_bytes(whole[: int(len(whole) * share)])
        with pytest.raises(SourceError, match=r"cut\.zip"):
            unpacked(path)

    @settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
    @given(share=st.floats(0, 1, exclude_max=True), bit=st.integers(0, 7))
    def test_a_flipped_bit_never_changes_rows_silently(
        self, tmp_path: Path, archive: Path, share: float, bit: int
    ) -> None:
        raw = bytearray(archive.read_bytes())
        raw[int(len(raw) * share)] ^= 1 << bit
        path = tmp_path / "flipped.zip"
        path.write_bytes(raw)
        refused = False
        content = b""
        try:
            content = unpacked(path)
        except SourceError:
            refused = True
        assert refused or content == CONTENT

    def test_a_directory_said_to_be_elsewhere_is_refused(self, archive: Path) -> None:
        raw = bytearray(archive.read_bytes())
        raw[-5] ^= 1  # of the directory's offset in the end record (APPNOTE 4.3.16)
        archive.write_bytes(raw)
        with pytest.raises(SourceError, match="no member begins at byte -"):
            unpacked(archive)

    def test_the_message_says_where(self, archive: Path) -> None:
        raw = bytearray(archive.read_bytes())
        middle = len(raw) // 2
        raw[middle : middle + 64] = bytes(64)
        archive.write_bytes(raw)
        with pytest.raises(SourceError, match=r"member 'aisdk-2024-03-01.csv' is damaged near byte [\d,]+, after"):
            unpacked(archive, 4096)

    @pytest.mark.parametrize("cut", [5, 30, 5000])
    def test_a_gzip_cut_off_is_refused(self, tmp_path: Path, cut: int) -> None:
        path = tmp_path / "a.csv.gz"
        path.write_bytes(gzip.compress(CONTENT)[:-cut])
        with pytest.raises(SourceError, match=r"a.csv.gz is damaged near byte"):
            unpacked(path)

    def test_a_gzip_with_a_wrong_checksum_is_refused(self, tmp_path: Path) -> None:
        raw = bytearray(gzip.compress(CONTENT))
        raw[-6] ^= 1
        path = tmp_path / "a.csv.gz"
        path.write_bytes(raw)
        with pytest.raises(SourceError, match="damaged"):
            unpacked(path)

    @settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
    @given(share=st.floats(0, 1, exclude_max=True, exclude_min=True))
    def test_a_zst_cut_off_anywhere_is_refused(self, tmp_path: Path, share: float) -> None:
        whole = zstandard.compress(CONTENT)
        path = tmp_path / "a.csv.zst"
        path.write_bytes(whole[: max(1, int(len(whole) * share))])
        with pytest.raises(SourceError, match=r"a\.csv\.zst is damaged near byte"):
            unpacked(path)

    @settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
    @given(share=st.floats(0, 1, exclude_max=True), bit=st.integers(0, 7))
    def test_a_flipped_bit_in_a_zst_with_a_checksum_never_changes_rows_silently(
        self, tmp_path: Path, share: float, bit: int
    ) -> None:
        raw = bytearray(zstandard.ZstdCompressor(write_checksum=True).compress(CONTENT))
        raw[int(len(raw) * share)] ^= 1 << bit
        path = tmp_path / "a.csv.zst"
        path.write_bytes(raw)
        refused = False
        content = b""
        try:
            content = unpacked(path)
        except SourceError:
            refused = True
        assert refused or content == CONTENT

    @pytest.mark.parametrize(
        ("members", "message"),
        [
            ({}, "holds nothing, but not one file of rows"),
            ({"picture.png": b"x"}, "holds 'picture.png', but not one file of rows"),
            ({"2024-03-02.csv": b"x", "2024-03-03.csv": b"x"}, "but not one file of rows"),
        ],
    )
    def test_a_zip_without_one_file_of_rows(self, tmp_path: Path, members: dict[str, bytes], message: str) -> None:
        with pytest.raises(SourceError, match=message):
            unpacked(write_zip(tmp_path / "a.zip", members))

    def test_a_method_that_cannot_be_read_is_named(self, tmp_path: Path) -> None:
        path = tmp_path / "a.zip"
        with zipfile.ZipFile(path, "w", zipfile.ZIP_BZIP2) as zipped:
            zipped.writestr("a.csv", CONTENT)
        with pytest.raises(SourceError, match="compressed by method 12"):
            unpacked(path)

    def test_an_encrypted_member_is_named(self, archive: Path) -> None:
        raw = bytearray(archive.read_bytes())
        raw[raw.index(b"PK\x01\x02") + 8] |= 1
        archive.write_bytes(raw)
        with pytest.raises(SourceError, match="is encrypted"):
            unpacked(archive)


class TestCopiedMember:
    def copied(self, source: bytes, day: date, folder: Path) -> Path:
        target = folder / "out.zip"
        with open_zip(io.BytesIO(source), "month.zip") as archive:
            (member,) = (of for of in row_members(archive) if str(day) in of.filename)
            copy_member(archive, member, target, "month.zip")
        return target

    def month(self, folder: Path, method: int = zipfile.ZIP_DEFLATED, level: int | None = None) -> bytes:
        path = folder / "month.zip"
        with zipfile.ZipFile(path, "w", method, compresslevel=level) as zipped:
            zipped.writestr("aisdk_20240229.csv", b"other")
            zipped.writestr("2024/../../aisdk-2024-03-01.csv", CONTENT)
            zipped.writestr("aisdk-2024-03-02.csv", b"more")
        return path.read_bytes()

    @pytest.mark.parametrize("method", [zipfile.ZIP_DEFLATED, zipfile.ZIP_STORED])
    def test_python_finds_it_whole_and_its_name_plain(self, tmp_path: Path, method: int) -> None:
        month = self.month(tmp_path, method)
        target = self.copied(month, DAY, tmp_path)
        with zipfile.ZipFile(target) as archive:
            assert archive.namelist() == ["aisdk-2024-03-01.csv"]
            assert archive.testzip() is None
            assert archive.read("aisdk-2024-03-01.csv") == CONTENT
            assert archive.infolist()[0].compress_type == method
        assert unpacked(target) == CONTENT

    def test_the_compressed_bytes_are_the_same(self, tmp_path: Path) -> None:
        month = self.month(tmp_path, level=2)
        with zipfile.ZipFile(io.BytesIO(month)) as archive:
            member = archive.infolist()[1]
        start = member.header_offset + 30 + len(member.filename)
        packed = month[start : start + member.compress_size]
        assert packed in self.copied(month, DAY, tmp_path).read_bytes()

    def test_a_member_written_as_a_stream_is_copied_too(self, tmp_path: Path) -> None:
        """Sizes after the data (a data descriptor), as writers to a pipe leave them."""

        class Pipe(io.RawIOBase):
            def __init__(self) -> None:
                self.written = b""

            def writable(self) -> bool:
                return True

            def write(self, data: bytes, /) -> int:  # pyright: ignore[reportIncompatibleMethodOverride]
                self.written += bytes(data)
                return len(data)

        pipe = Pipe()
        with zipfile.ZipFile(pipe, "w", zipfile.ZIP_DEFLATED) as zipped:  # pyright: ignore[reportArgumentType]
            zipped.writestr(f"{DAY}.csv", CONTENT)
        target = self.copied(pipe.written, DAY, tmp_path)
        with zipfile.ZipFile(target) as archive:
            assert archive.read(f"{DAY}.csv") == CONTENT

    def test_a_directory_that_points_astray_is_refused(self, tmp_path: Path) -> None:
        month = bytearray(self.month(tmp_path))
        first = month.index(b"PK\x03\x04", 10)
        month[first : first + 4] = b"XXXX"
        with pytest.raises(SourceError, match="no member begins at byte"):
            self.copied(bytes(month), DAY, tmp_path)
