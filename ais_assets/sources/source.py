"""The interface of a source: which file holds a day, and how its rows become typed records."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from datetime import date
from pathlib import Path

from ais_assets.stream import RecordStream


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
    """A source's file of one day, on this machine.

    Attributes:
        path: the local file.
        uri: where it came from, without credentials; with `#member` for one member of a monthly zip.
    """

    path: Path
    uri: str


class Source(ABC):
    """A raw format: where its days are and how to read them. One subclass a format, one file a subclass."""

    name: str

    @abstractmethod
    def land(self, day: date, into: Path) -> LandedArchive | None:
        """Brings the archive of `day` into the folder `into`, byte for byte as published.

        One day's member of an archive of many days is taken out without recompressing it. Returns None
        when the place holds archives of other days but none of this one, or the server answers 404: the source
        has not published it, or not yet. Raises SourceError when the place does not exist, cannot be reached,
        holds none of this source's files at all, or says that the archive was withdrawn for good.
        """

    @abstractmethod
    def published(self, day: date) -> bool:
        """Whether `land` would find an archive that may hold `day`, by a listing or a request for one byte.

        Raises SourceError as `land` does.
        """

    @abstractmethod
    def read(self, archive: Path, day: date) -> RecordStream:
        """The typed records of an archive (`schema.RAW_RECORDS`), in file order, a table of some 1 M at a time.

        Every row of the file ends as a record or as a counted reject: ledger.rows_in counts the file's data
        rows, ledger.dropped the rejects by reason, and facts["rejects"] holds a sample of them as
        {"line": int, "reason": str, "text": str}. Raises SourceError when the archive is damaged, has no
        known header, or holds no row at all.
        """
