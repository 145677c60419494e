"""Archives on this machine: what they hold, whether they are whole, and their rows, block by block."""

from __future__ import annotations

import codecs
import struct
import zipfile
from collections.abc import Iterator
from itertools import chain
from pathlib import Path, PurePosixPath
from typing import BinaryIO, Final, cast

import pyarrow as pa
import pyarrow.parquet as pq
from isal import igzip, isal_zlib

from ais_assets.sources.source import SourceError, bomb

ROW_SUFFIXES: Final = (".csv", ".txt", ".log", ".nmea", ".nm4", ".raw", ".jsonl", ".ndjson", ".json")
"""Of files of rows that are not packed."""
_MAGICS: Final = {b"PK\x03\x04": ".zip", b"\x1f\x8b": ".gz", b"\x28\xb5\x2f\xfd": ".zst", b"PAR1": ".parquet"}
_LONGEST_MAGIC = 4
_COPY_BYTES = 1 << 23
_VERIFY_BYTES = 1 << 20
_LOCAL_HEADER = struct.Struct("<4s5H3L2H")
_LOCAL_SIGNATURE = b"PK\x03\x04"
_ENCRYPTED = 1
_NAME_IS_UTF8 = 1 << 11
_VERSION_ZIP64 = 45
_IN_ZIP64 = 0xFFFFFFFF


# isal's type stub has the class as an instance.
_InflateError = cast(type[Exception], isal_zlib.IsalError)


def open_zip(file: BinaryIO | Path, name: str) -> zipfile.ZipFile:
    """A zip whose central directory has been read and fits the file.

    Raises SourceError, naming the archive `name`, where it does not: the archive was cut off or is no zip.
    """
    try:
        archive = zipfile.ZipFile(file)
    except SourceError:
        raise
    except (zipfile.BadZipFile, struct.error, OSError, ValueError, NotImplementedError) as error:
        raise SourceError(
            f"{name}: not a whole zip archive ({error}): it was cut off or is another kind of file; fetch it again"
        ) from error
    members = sorted(archive.infolist(), key=lambda member: member.header_offset)
    ends = [*(member.header_offset for member in members), archive.start_dir][1:]
    for member, end in zip(members, ends, strict=False):
        if member.header_offset + _LOCAL_HEADER.size + member.compress_size > end:
            archive.close()
            raise SourceError(
                f"{name}: member {member.filename!r} at byte {member.header_offset:,} should take "
                f"{member.compress_size:,} bytes, but the next part begins at byte {end:,}: "
                "the archive is damaged; fetch it again"
            )
    return archive


def row_members(archive: zipfile.ZipFile) -> list[zipfile.ZipInfo]:
    """The members that hold rows; folders and files of other kinds do not, nor a note beside them, a .txt."""
    members = [
        member
        for member in archive.infolist()
        if not member.is_dir()
        and member.filename.lower().endswith(ROW_SUFFIXES)
        and not member.filename.startswith("__MACOSX/")
    ]
    return [member for member in members if not member.filename.lower().endswith(".txt")] or members


def copy_member(archive: zipfile.ZipFile, member: zipfile.ZipInfo, target: Path, name: str) -> None:
    """Writes a zip `target` with this one member, its compressed bytes as they are.

    Only the last part of the member's name is kept. The CRC is for `verify` to check.
    Raises SourceError where the archive is damaged.
    """
    source = cast(BinaryIO, archive.fp)
    start = _data_start(source, member, name)
    with target.open("wb") as output:
        output.write(_local_header(member))
        source.seek(start)
        left = member.compress_size
        while left:
            chunk = source.read(min(left, _COPY_BYTES))
            if not chunk:
                raise SourceError(f"{name}: ends {left:,} bytes before member {member.filename!r} does; fetch it again")
            output.write(chunk)
            left -= len(chunk)
        output.write(_central_directory(member, output.tell()))


def row_blocks(
    path: Path,
    *,
    block_bytes: int,
    max_bytes: int,
) -> Iterator[bytes]:
    """The unpacked bytes of an archive, at most `block_bytes` at a time.

    Args:
        path: the archive: .zip, .gz, .zst or plain; UTF-8, or UTF-16 with a byte-order mark. A .parquet is for
            `parquet_batches`.
        block_bytes: the longest block.
        max_bytes: unpacked bytes after which the archive is taken for a decompression bomb.

    Raises:
        SourceError: the archive is damaged, a .parquet, unpacks to more than `max_bytes`, or is a zip with no file of
        rows or several.
    """
    packing = packing_of(path)
    if packing == ".parquet":
        raise SourceError(f"{path.name}: is a Parquet file where text is read; AIS_SOURCE=table reads such files")
    packings = {".zip": _zip_blocks, ".gz": _gzip_blocks, ".zst": _zstd_blocks}
    blocks = as_utf8(packings.get(packing, _plain_blocks)(path, block_bytes))
    total = 0
    for block in blocks:
        total += len(block)
        if total > max_bytes:
            raise bomb(path.name, max_bytes)
        yield block


def packing_of(path: Path) -> str:
    """How an archive is packed, by its name or, where that says nothing, its first bytes; empty: it is not."""
    suffix = path.suffix.lower()
    if suffix in _MAGICS.values():
        return suffix
    with path.open("rb") as file:
        start = file.read(_LONGEST_MAGIC)
    return next((packing for magic, packing in _MAGICS.items() if start.startswith(magic)), "")


def as_utf8(blocks: Iterator[bytes]) -> Iterator[bytes]:
    """The same text in UTF-8 where it begins with UTF-16's byte-order mark; else as it is."""
    first = next(blocks, b"")
    if not first.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        if first:
            yield first
            yield from blocks
        return
    decoder = codecs.getincrementaldecoder("utf-16")("replace")
    for block in chain([first], blocks):
        yield decoder.decode(block).encode()
    yield decoder.decode(b"", final=True).encode()


def verify(path: Path, where: str, max_bytes: int) -> None:
    """Reads an archive to its end, so that what is damaged or cut off is refused before it is stored.

    Packed bytes are unpacked and their checksums compared, at 0.7 to 1 GB of rows a second; of a Parquet file the end,
    which says where all else is, is read. Text that is not packed carries nothing to tell.

    Args:
        path: the archive.
        where: it came from, for messages.
        max_bytes: as for `row_blocks`.

    Raises:
        SourceError: the archive is empty, damaged, unpacks to more than `max_bytes`, or is a zip with no file of rows
        or several.
    """
    if not path.stat().st_size:
        raise SourceError(f"{where}: is empty; fetch it again, or remove it if the source never published the day")
    packing = packing_of(path)
    try:
        if packing == ".parquet":
            pq.read_metadata(path)
        elif packing:
            for _ in row_blocks(path, block_bytes=_VERIFY_BYTES, max_bytes=max_bytes):
                pass
    except pa.ArrowException as error:
        raise SourceError(f"{where}: is not a whole Parquet file ({error}); fetch it again") from error
    except SourceError as error:
        raise SourceError(f"{where}: is refused: {error}") from error


def _plain_blocks(path: Path, block_bytes: int) -> Iterator[bytes]:
    with path.open("rb") as file:
        while block := file.read(block_bytes):
            yield block


def _gzip_blocks(path: Path, block_bytes: int) -> Iterator[bytes]:
    unpacked = 0
    with path.open("rb") as file, igzip.IGzipFile(fileobj=file) as stream:
        try:
            while block := stream.read(block_bytes):
                unpacked += len(block)
                yield block
        except (EOFError, OSError, _InflateError) as error:
            raise SourceError(_damage(path.name, file.tell(), unpacked, str(error))) from error


def _zstd_blocks(path: Path, block_bytes: int) -> Iterator[bytes]:
    unpacked = 0
    # Arrow's stream, unlike zstandard's own, refuses a file that ends inside a frame.
    with path.open("rb") as file, pa.CompressedInputStream(pa.PythonFile(file, "r"), "zstd") as stream:
        try:
            while block := stream.read(block_bytes):
                unpacked += len(block)
                yield block
        except OSError as error:
            raise SourceError(_damage(path.name, file.tell(), unpacked, str(error))) from error


def _zip_blocks(path: Path, block_bytes: int) -> Iterator[bytes]:
    with open_zip(path, path.name) as archive, path.open("rb") as file:
        member = _only_member(archive, path.name)
        where = f"{path.name}: member {member.filename!r}"
        crc = unpacked = 0
        file.seek(_data_start(file, member, path.name))
        try:
            for block in _inflated(file, member, block_bytes):
                crc = isal_zlib.crc32(block, crc)
                unpacked += len(block)
                yield block
        except (_InflateError, EOFError) as error:
            raise SourceError(_damage(where, file.tell(), unpacked, str(error))) from error
        if (unpacked, crc) != (member.file_size, member.CRC):
            fault = f"{unpacked:,} bytes with CRC {crc:08x} where the directory says {member.file_size:,} with CRC "
            raise SourceError(_damage(where, file.tell(), unpacked, fault + f"{member.CRC:08x}"))


def _inflated(file: BinaryIO, member: zipfile.ZipInfo, block_bytes: int) -> Iterator[bytes]:
    left = member.compress_size
    # About what unpacks to a block, so that little is handed back unconsumed and copied.
    step = max(block_bytes // 4, 1 << 10)
    if member.compress_type == zipfile.ZIP_STORED:
        while left:
            block = file.read(min(left, block_bytes))
            if not block:
                raise EOFError(f"the file ends {left:,} bytes early")
            left -= len(block)
            yield block
        return
    inflater = isal_zlib.decompressobj(-isal_zlib.MAX_WBITS)
    packed = b""
    while not inflater.eof:
        if not packed:
            packed = file.read(min(left, step))
            left -= len(packed)
        block = inflater.decompress(packed, block_bytes)
        if not block and not packed:
            raise EOFError("the deflate stream has no end")
        packed = inflater.unconsumed_tail
        if block:
            yield block


def _only_member(archive: zipfile.ZipFile, name: str) -> zipfile.ZipInfo:
    members = row_members(archive)
    if len(members) != 1:
        held = ", ".join(repr(info.filename) for info in archive.infolist()[:5]) or "nothing"
        raise SourceError(f"{name}: holds {held}, but not one file of rows ({', '.join(ROW_SUFFIXES)})")
    member = members[0]
    if member.flag_bits & _ENCRYPTED:
        raise SourceError(f"{name}: member {member.filename!r} is encrypted; store it without a password")
    if member.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        raise SourceError(
            f"{name}: member {member.filename!r} is compressed by method {member.compress_type}; "
            "only deflate is read: unpack it and keep what is in it, or pack it again"
        )
    return member


def _data_start(file: BinaryIO, member: zipfile.ZipInfo, name: str) -> int:
    """Where a member's compressed bytes begin: its local header has lengths of its own."""
    # Python takes a wrong place of the directory for bytes before the archive, which can put a member before byte 0.
    file.seek(max(member.header_offset, 0))
    header = file.read(_LOCAL_HEADER.size) if member.header_offset >= 0 else b""
    if len(header) < _LOCAL_HEADER.size or not header.startswith(_LOCAL_SIGNATURE):
        raise SourceError(
            f"{name}: no member begins at byte {member.header_offset:,}, where the directory has "
            f"{member.filename!r}: the archive is damaged; fetch it again"
        )
    *_, name_length, extra_length = _LOCAL_HEADER.unpack(header)
    return member.header_offset + _LOCAL_HEADER.size + name_length + extra_length


def _local_header(member: zipfile.ZipInfo) -> bytes:
    """The header of a zip's only member, sizes in the zip64 field whether they need it or not (APPNOTE 4.3.7)."""
    name = _plain_name(member)
    fields = (_VERSION_ZIP64, *_flags_to_crc(member), _IN_ZIP64, _IN_ZIP64, len(name), len(_sizes(member)))
    return struct.pack("<4s5H3L2H", _LOCAL_SIGNATURE, *fields) + name + _sizes(member)


def _central_directory(member: zipfile.ZipInfo, offset: int) -> bytes:
    """What ends a zip whose only member begins at byte 0 and ends at `offset` (APPNOTE 4.3.12 to 4.3.16)."""
    name, sizes = _plain_name(member), _sizes(member)
    versions = (_VERSION_ZIP64, _VERSION_ZIP64)
    fields = (*versions, *_flags_to_crc(member), _IN_ZIP64, _IN_ZIP64, len(name), len(sizes), 0, 0, 0, 0, 0)
    entry = struct.pack("<4s6H3L5H2L", b"PK\x01\x02", *fields) + name + sizes
    end64 = struct.pack("<4sQ2H2L4Q", b"PK\x06\x06", 44, *versions, 0, 0, 1, 1, len(entry), offset)
    locator = struct.pack("<4sLQL", b"PK\x06\x07", 0, offset + len(entry), 1)
    return entry + end64 + locator + struct.pack("<4s4H2LH", b"PK\x05\x06", 0, 0, 1, 1, len(entry), _IN_ZIP64, 0)


def _plain_name(member: zipfile.ZipInfo) -> bytes:
    return PurePosixPath(member.filename.replace("\\", "/")).name.encode()


def _flags_to_crc(member: zipfile.ZipInfo) -> tuple[int, int, int, int, int]:
    year, month, day, hour, minute, second = member.date_time
    dos_time = hour << 11 | minute << 5 | second // 2
    dos_date = (year - 1980) << 9 | month << 5 | day
    flags = _NAME_IS_UTF8 | member.flag_bits & _ENCRYPTED
    return flags, member.compress_type, dos_time, dos_date, member.CRC


def _sizes(member: zipfile.ZipInfo) -> bytes:
    return struct.pack("<2H2Q", 1, 16, member.file_size, member.compress_size)


def _damage(where: str, byte: int, unpacked: int, fault: str) -> str:
    return f"{where} is damaged near byte {byte:,}, after {unpacked:,} bytes of rows: {fault}; fetch it again"
