"""Parquet files of which every byte is under a checksum that is verified when it is read.

The format has a checksum (CRC-32) for each page and none for its footer, of which one flipped bit can turn a column
into another. So the footer carries a seal: in its key-value metadata, the sha256 of the footer as it is with zeros in
the seal's place. Beside it stands a sha256 of all bytes before the footer, for whoever has the whole file in hand. The
files are plain Parquet, whose other readers see two more strings in the metadata.

https://parquet.apache.org/docs/file-format/data-pages/checksumming/
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Final, TypeVar

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from ais_assets.store.pinned import StoreError

PAGES_KEY: Final = b"ais.pages"
"""In the footer: sha256 of all that is before the footer, hexadecimal."""
SEAL_KEY: Final = b"ais.seal"
"""In the footer: sha256 of the footer itself, hexadecimal, made while this was NO_SEAL."""
NO_SEAL: Final = "0" * 64

_MAGIC: Final = b"PAR1"
_END: Final = 8
"""Bytes behind the footer: its length and the magic number."""
_TAIL: Final = 1 << 16
"""Bytes read at first, which hold nearly every footer: one request where it is one that costs."""
_PIECE: Final = 1 << 23
"""Bytes that are hashed at a time: few requests, and little memory."""
_VALUE_HEADER: Final = 2
"""Bytes between a key and its value of 64 characters in Thrift's compact protocol: the field's, and the length."""


class DamagedFileError(ValueError):
    """A file is not what was written, or was never one of ours; the message says which file and what to do."""


def seal(path: Path) -> None:
    """Puts the seal into a file that was written with NO_SEAL as its SEAL_KEY; raises ValueError for any other."""
    with path.open("r+b") as file:
        file.seek(-_END, 2)
        length = int.from_bytes(file.read(4), "little")
        start = file.seek(-_END - length, 2)
        footer = file.read(length)
        place = _place_of_seal(footer)
        if footer[place : place + len(NO_SEAL)] != NO_SEAL.encode():
            raise ValueError(f"{path} has a seal already")
        file.seek(start + place)
        file.write(hashlib.sha256(footer).hexdigest().encode())


def read_footer(source: pa.NativeFile, where: str, cure: str) -> pq.FileMetaData:
    """A file's footer, whose seal is whole.

    Args:
        source: the open file.
        where: its address, for messages.
        cure: what to do about a damaged one, for messages.

    Raises:
        DamagedFileError: it has no footer, or one that is not as it was written.
        OSError: it cannot be read.
    """
    size = source.size()
    tail = source.read_at(min(size, _TAIL), max(0, size - _TAIL))
    length = int.from_bytes(tail[-_END:-4], "little")
    if len(tail) < _END or tail[-4:] != _MAGIC or length > size - _END:
        raise DamagedFileError(f"{where} is no whole Parquet file (no footer at its end): {cure}")
    if length > len(tail) - _END:
        tail = source.read_at(length + _END, size - length - _END)
    footer = tail[-_END - length : -_END]
    try:
        place = _place_of_seal(footer)
    except ValueError as error:
        raise DamagedFileError(f"{where} is damaged or no file of this lake ({error}): {cure}") from error
    found = footer[place : place + len(NO_SEAL)]
    unsealed = footer[:place] + NO_SEAL.encode() + footer[place + len(NO_SEAL) :]
    if hashlib.sha256(unsealed).hexdigest().encode() != found:
        raise DamagedFileError(f"{where} is damaged (its footer is not what was written): {cure}")
    return pq.read_metadata(pa.BufferReader(_MAGIC + footer + tail[-_END:]))


def _place_of_seal(footer: bytes) -> int:
    place = footer.rfind(SEAL_KEY)
    if place < 0:
        raise ValueError(f"no {SEAL_KEY.decode()} in its footer")
    return place + len(SEAL_KEY) + _VALUE_HEADER


_Rows = TypeVar("_Rows", pa.Table, pa.RecordBatch)


def _with_its_names(rows: _Rows) -> _Rows:
    """The rows, where every code has a name: pages' own headers are under no checksum, and a bit in that of a
    dictionary's page leaves it empty. Raises ArrowInvalid.
    """
    for field, column in zip(rows.schema, rows.itercolumns(), strict=True):
        if pa.types.is_dictionary(field.type):
            # Arrow's own full validation says the same at 7 ns a row.
            for chunk in column.chunks if isinstance(column, pa.ChunkedArray) else (column,):
                code = pc.max(chunk.indices).as_py()  # pyright: ignore[reportAttributeAccessIssue]
                if code is not None and code >= len(chunk.dictionary):
                    raise pa.ArrowInvalid(f"{field.name} has a code {code}, and {len(chunk.dictionary)} names")
    return rows


class SealedFile(pq.ParquetFile):
    """A sealed Parquet file: pyarrow's, with the footer verified before it is parsed and each page before it is used.

    Args:
        source: the open file.
        where: its address, for messages.
        cure: what to do about a damaged one, for messages.

    Raises:
        DamagedFileError: here or at any read, where a byte is not what was written; OSError where S3 or the disk
            gives none.
    """

    def __init__(self, source: pa.NativeFile, where: str, cure: str) -> None:
        metadata = read_footer(source, where, cure)
        super().__init__(source, metadata=metadata, pre_buffer=True, page_checksum_verification=True)
        self._source = source
        self._where = where
        self._cure = cure

    def verified_digest(self) -> str:
        """Reads the file from end to end, a piece at a time, and compares it with the digests in its footer.

        Returns its sha256. Raises DamagedFileError where a byte is not what was written.
        """
        size = self._source.size()
        pages = size - _END - int.from_bytes(self._source.read_at(4, size - _END), "little")
        digest = hashlib.sha256()
        for begin in range(0, pages, _PIECE):
            digest.update(self._source.read_at(min(_PIECE, pages - begin), begin))
        if digest.hexdigest().encode() != (self.metadata.metadata or {}).get(PAGES_KEY):
            raise DamagedFileError(f"{self._where} is damaged (its pages are not what was written): {self._cure}")
        digest.update(self._source.read_at(size - pages, pages))
        return digest.hexdigest()

    def read_row_group(
        self,
        i: int,
        columns: Sequence[str] | None = None,
        use_threads: bool = True,
        use_pandas_metadata: bool = False,
    ) -> pa.Table:
        """As pyarrow's."""
        try:
            return _with_its_names(super().read_row_group(i, columns, use_threads, use_pandas_metadata))
        except StoreError:
            raise
        except (OSError, pa.ArrowException) as error:
            raise self._explained(error, f" in row group {i}") from error

    def bytes_of(self, group: int, columns: Sequence[str]) -> tuple[int, int]:
        """From where to where in the file a row group's pages of these columns are, with what may lie between."""
        of_group = self.metadata.row_group(group)
        chunks = [of_group.column(number) for number in range(of_group.num_columns)]
        wanted = [chunk for chunk in chunks if chunk.path_in_schema.partition(".")[0] in columns]
        starts = [
            chunk.data_page_offset
            if chunk.dictionary_page_offset is None
            else min(chunk.dictionary_page_offset, chunk.data_page_offset)
            for chunk in wanted
        ]
        ends = [start + chunk.total_compressed_size for start, chunk in zip(starts, wanted, strict=True)]
        return min(starts, default=0), max(ends, default=0)

    def iter_batches(self, *args: Any, **options: Any) -> Iterator[pa.RecordBatch]:
        """As pyarrow's."""
        batches = super().iter_batches(*args, **options)
        while True:
            try:
                batch = _with_its_names(next(batches))
            except StopIteration:
                return
            except StoreError:
                raise
            except (OSError, pa.ArrowException) as error:
                raise self._explained(error, "") from error
            yield batch

    def read(self, *args: Any, **options: Any) -> pa.Table:
        """As pyarrow's."""
        try:
            return _with_its_names(super().read(*args, **options))
        except StoreError:
            raise
        except (OSError, pa.ArrowException) as error:
            raise self._explained(error, "") from error

    def _explained(self, error: Exception, place: str) -> Exception:
        if isinstance(error, StoreError):
            return error
        why = " ".join(str(error).split())
        if "AWS Error" in why:
            return OSError(f"{self._where} cannot be read: {why}")
        return DamagedFileError(f"{self._where} is damaged{place} ({why}): {self._cure}")
