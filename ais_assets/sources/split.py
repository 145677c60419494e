"""Files that each span many days, cut once into a file a day: a ship a file, a voyage a file, a zone and month a file.

Rows are copied byte for byte (of Parquet value for value) in the order of the files, so that what reads the originals
reads the days. This does without DuckDB, whose partitioned writer refuses text that is not UTF-8, as feeds have it, and
writes CSV anew with quotes of its own: what is wrong with a row could no longer be judged by its bytes.
"""

from __future__ import annotations

import csv
import fcntl
import json
import os
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from datetime import date, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final

import pyarrow as pa
import pyarrow.parquet as pq
from isal import igzip

from ais_assets.ledger import Ledger
from ais_assets.sources.landing.landing import FileSource
from ais_assets.sources.rows.archive import copy_member, open_zip, packing_of, row_members
from ais_assets.sources.rows.day_rows import DayRows, Undated
from ais_assets.sources.source import SourceError

UNDATED_FILE: Final = "rows-without-a-time.tsv"
"""Names every row that is of no day: file, line, reason, beginning. No source takes it for one of its files."""
_ACCOUNT_FILE: Final = ".split.json"
_EPOCH = date(1970, 1, 1)
_GZIP_LEVEL = 1
_BYTES_A_PART = 256  # what an entry of the buffers takes beside its rows, generously


@dataclass
class Cut:
    """What became of the files.

    Attributes:
        read_with: the settings that say how.
        made_from: each file's name, size and time of change.
        ledger: rows in, out, and without a readable time by reason.
        files: rows in by file.
        days: rows out by day.
    """

    read_with: dict[str, Any]
    made_from: list[dict[str, Any]]
    ledger: Ledger = field(default_factory=Ledger)
    files: dict[str, int] = field(default_factory=dict)
    days: dict[str, int] = field(default_factory=dict)


def split(
    source: FileSource, files: Sequence[Path], into: Path, *, memory_bytes: int, read_with: dict[str, Any]
) -> tuple[Cut, bool]:
    """Cuts files into one of each UTC day in the folder `into`, which appears whole or not at all.

    A folder that these very files were cut into before is left as it is; one of another cut is replaced.

    Args:
        source: what reads a file, with its zone and columns.
        files: files, and folders of which all files of the source are taken.
        into: a folder that is not there, is empty, or was made by this.
        memory_bytes: rows held before they are written; less means smaller steps, never fewer rows.
        read_with: the settings that `source` was made with; the same files by others are another cut.

    Returns:
        the account, and whether anything had to be done.

    Raises:
        SourceError: `into` holds other files, a file cannot be read, or another cut is under way.
        LedgerError: the account does not add up.
    """
    inputs = list(_inputs(source, files))
    made_from = [_identity(file) for file in inputs]
    _restore(into)
    former = _former(into)
    if former is not None and (former.made_from, former.read_with) == (made_from, read_with):
        return former, False
    with _staging(into) as folder:
        cut = Cut(read_with, made_from)
        _cut(source, inputs, folder, cut, memory_bytes)
        (folder / _ACCOUNT_FILE).write_text(json.dumps(asdict(cut), indent=1))
        _publish(folder, into)
    return cut, True


def _inputs(source: FileSource, files: Sequence[Path]) -> Iterator[Path]:
    for file in files:
        if not file.is_dir():
            yield file
            continue
        inside = sorted(path for path in file.iterdir() if path.is_file() and source.kind(path.name) is not None)
        if not inside:
            raise SourceError(f"{file}: holds no file of source {source.name!r} ({', '.join(source.examples)})")
        yield from inside


def _identity(file: Path) -> dict[str, Any]:
    stat = file.stat()
    return {"file": str(file.absolute()), "bytes": stat.st_size, "changed": stat.st_mtime_ns}


def _former(into: Path) -> Cut | None:
    """The account of what was cut into the folder before."""
    if not into.exists():
        return None
    if not into.is_dir():
        raise SourceError(f"{into}: is a file; --into needs a folder")
    account = into / _ACCOUNT_FILE
    if account.exists():
        said = json.loads(account.read_text())
        return Cut(**{**said, "ledger": Ledger.from_dict(said["ledger"])})
    others = sorted(path.name for path in into.iterdir())
    if others:
        raise SourceError(
            f"{into}: holds {len(others):,} files that no cut made, such as {others[0]!r}; name an empty folder"
        )
    return None


@contextmanager
def _staging(into: Path) -> Iterator[Path]:
    """A folder beside `into`, this process's own; what a killed one left in it is gone."""
    folder = into.with_name(f".{into.name}.splitting")
    folder.mkdir(parents=True, exist_ok=True)
    # The kernel drops the lock of a process that dies.
    lock = os.open(folder, os.O_RDONLY)
    try:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise SourceError(f"{into}: another cut into it is under way; wait for it, or stop it") from None
        for left in folder.iterdir():
            left.unlink()
        yield folder
    finally:
        os.close(lock)
        shutil.rmtree(folder, ignore_errors=True)


def _publish(folder: Path, into: Path) -> None:
    old = _old(into)
    if into.exists():
        into.rename(old)
    folder.rename(into)
    shutil.rmtree(old, ignore_errors=True)


def _restore(into: Path) -> None:
    """Puts back what a process killed between the two renamings took away."""
    if _old(into).exists() and not into.exists():
        _old(into).rename(into)


def _old(into: Path) -> Path:
    return into.with_name(f".{into.name}.old")


def _cut(source: FileSource, files: Sequence[Path], folder: Path, cut: Cut, memory_bytes: int) -> None:
    days = _DayFiles(source, folder, memory_bytes)
    with (folder / UNDATED_FILE).open("w", encoding="utf-8", newline="") as undated:
        names = csv.writer(undated, delimiter="\t", lineterminator="\n")
        names.writerow(["file", "line", "reason", "text"])
        for file in files:
            with _members(file) as members:
                for member, shown in members:
                    before = cut.ledger.rows_in
                    for found in source.rows_by_day(member, cut.ledger):
                        if isinstance(found, Undated):
                            names.writerow([shown, *found])
                            cut.ledger.rows_in += 1
                            cut.ledger.drop(found.reason, 1)
                        else:
                            cut.ledger.rows_in += found.number
                            cut.ledger.rows_out += days.add(found)
                    cut.files[shown] = cut.files.get(shown, 0) + cut.ledger.rows_in - before
    days.flush()
    cut.days = {day.isoformat(): rows for day, rows in sorted(days.rows.items())}
    cut.ledger.balance(f"ais split into {folder.name}")
    if sum(cut.days.values()) != cut.ledger.rows_out:
        raise SourceError(f"{folder}: {cut.ledger.rows_out:,} rows were read and {sum(cut.days.values()):,} written")


@contextmanager
def _members(file: Path) -> Iterator[Iterator[tuple[Path, str]]]:
    """A file, or the members of a zip of several, each as a zip of its own while it is read; and what to call them."""
    if packing_of(file) != ".zip":
        yield iter([(file, file.name)])
        return
    with open_zip(file, str(file)) as archive, TemporaryDirectory(prefix="ais-split-") as folder:

        def one_by_one() -> Iterator[tuple[Path, str]]:
            for number, member in enumerate(row_members(archive)):
                path = Path(folder) / f"{number}.zip"
                copy_member(archive, member, path, str(file))
                yield path, f"{file.name}#{member.filename}"
                path.unlink()

        if len(row_members(archive)) == 1:
            yield iter([(file, file.name)])
        else:
            yield one_by_one()


class _DayFiles:
    """The files of the days under construction: rows are held up to a bound, then each day's are added to its file.

    Args:
        source: names them.
        folder: where they are.
        memory_bytes: the bound.

    Attributes:
        rows: by day.
    """

    def __init__(self, source: FileSource, folder: Path, memory_bytes: int) -> None:
        self.rows: dict[date, int] = {}
        self._name = source.name
        self._suffix = next(suffix for suffix in reversed(source.suffixes) if suffix.endswith(".gz"))
        self._folder = folder
        self._memory_bytes = memory_bytes
        self._heads: list[bytes | pa.Schema] = []
        self._texts: dict[tuple[date, int], bytearray] = {}
        self._tables: dict[tuple[date, int], list[pa.RecordBatch]] = {}
        self._held = 0
        self._parts = 0

    def add(self, found: DayRows) -> int:
        """Takes rows of a day; returns how many."""
        day = _EPOCH + timedelta(days=found.day)
        self.rows[day] = self.rows.get(day, 0) + found.number
        if isinstance(found.rows, bytes):
            self._texts.setdefault((day, self._number(found.head)), bytearray()).extend(found.rows)
            self._held += len(found.rows)
        else:
            # As alike: what programs note of a table's own rows, such as pandas of its index, apart.
            key = day, self._number(found.rows.schema)
            self._tables.setdefault(key, []).append(found.rows)
            self._held += found.rows.nbytes + _BYTES_A_PART
        if self._held >= self._memory_bytes:
            self.flush()
        return found.number

    def _number(self, head: bytes | pa.Schema) -> int:
        """Which of the headers so far it is: rows of others go to files of their own."""
        if head not in self._heads:
            self._heads.append(head)
        return self._heads.index(head)

    def flush(self) -> None:
        """Writes what is held."""
        for (day, number), rows in self._texts.items():
            path = self._folder / f"{self._name}-{day}{f'-{number + 1:02d}' if number else ''}{self._suffix}"
            head = self._heads[number]
            begun = b"" if path.exists() or not isinstance(head, bytes) else head
            with path.open("ab") as file:
                # Members of a gzip file are read one after the other (RFC 1952, 2.2).
                file.write(igzip.compress(begun + rows, _GZIP_LEVEL, mtime=0))
        for (day, number), batches in self._tables.items():
            path = self._folder / f"{self._name}-{day}-{number + 1:02d}-{self._parts:04d}.parquet"
            pq.write_table(pa.Table.from_batches(batches), path, compression="zstd")
        self._parts += bool(self._tables)
        self._texts, self._tables, self._held = {}, {}, 0
