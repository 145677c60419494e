"""The interface of a source: which file holds a day, and how its rows become typed records."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from typing import ClassVar

import pyarrow as pa

from ais_assets import schema
from ais_assets.stream import REJECTS, RecordStream

_MOST_REJECTS = 100


class SourceError(ValueError):
    """An archive cannot be had or read. The message says which file, where in it, and what to do."""


def bomb(where: str, max_bytes: int) -> SourceError:
    """What to raise for an archive that unpacks to more than it may."""
    return SourceError(
        f"{where}: unpacks to more than {max_bytes:,} bytes; "
        "if that is no decompression bomb, raise AIS_MAX_ARCHIVE_GIGABYTES"
    )


@dataclass(frozen=True)
class LandedArchive:
    """A file that a day reads, on this machine.

    Attributes:
        path: the local file.
        uri: where it came from, without credentials; with `#member` for one member of a zip of several.
        of_day: whether its name says that it has records of the day; otherwise it is one of a day nearby.
        days: first and last of the days that read it; None: every day does.
    """

    path: Path
    uri: str
    of_day: bool = True
    days: tuple[date, date] | None = field(default=None, compare=False)


class Source(ABC):
    """A raw format: where its days are and how to read them. One subclass a format, one file a subclass."""

    name: str
    one_record_a_line: ClassVar[bool] = True
    """Whether no line of its files holds several records."""

    @abstractmethod
    def land(self, day: date, into: Path) -> list[LandedArchive]:
        """Brings every file that may hold records of `day` into the folder `into`, byte for byte as published.

        A member of an archive of several is taken out without recompressing it. None of the files is `of_day` when
        the place holds archives of other days but none of this one, or the server answers 404: the source has not
        published it, or not yet. Raises SourceError when the place does not exist, cannot be reached,
        holds none of this source's files at all, or says that the archive was withdrawn for good.
        """

    @abstractmethod
    def published(self, day: date) -> bool:
        """Whether `land` would find an archive that may hold `day`, by a listing or a request for one byte.

        Raises SourceError as `land` does.
        """

    @abstractmethod
    def read(self, archive: Path, day: date | None) -> RecordStream:
        """The day's records in an archive (`schema.RAW_RECORDS`), None: all of them, in file order, a table of some 1
        M at a time.

        Every row of the file that is of the day (`file_days`) ends as a record or as a counted reject: ledger.rows_in
        counts them, the note other_day the file's other rows, ledger.dropped the rejects by reason, and
        facts["rejects"] holds a sample of them as
        {"line": int, "reason": str, "text": str}. Raises SourceError when the archive is damaged, has no
        known header, or holds no row at all.
        """

    def head(self, archive: Path) -> bytes | None:
        """What stands in a file before its first record: lines of comments and the header's.

        None where a record cannot be read from its own line: of files that have no lines, or whose lines belong
        together. Raises SourceError as `read` does.
        """
        del archive

    def read_all(self, archives: Sequence[Path], day: date) -> RecordStream:
        """The same of all files of a day, one after the other, with one account."""
        if len(archives) == 1:
            return self.read(archives[0], day)
        stream = RecordStream(schema.RAW_RECORDS, iter(()), facts={REJECTS: []})
        stream.tables = self._one_after_the_other(archives, day, stream)
        return stream

    def _one_after_the_other(self, archives: Sequence[Path], day: date, stream: RecordStream) -> Iterator[pa.Table]:
        for archive in archives:
            part = self.read(archive, day)
            yield from part.tables
            stream.ledger.add(part.ledger)
            room = _MOST_REJECTS - len(stream.facts[REJECTS])
            for reject in part.facts[REJECTS][:room]:
                stream.facts[REJECTS].append({**reject, "text": f"{archive.name}: {reject['text']}"})
