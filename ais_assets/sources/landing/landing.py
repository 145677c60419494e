"""Finding and fetching the archive of a day: from a folder, an S3 bucket or a web address."""

from __future__ import annotations

import shutil
import urllib.parse
from dataclasses import replace
from datetime import date
from functools import cached_property
from pathlib import Path
from typing import ClassVar

from ais_assets.sources.landing.download import check_size
from ais_assets.sources.landing.patience import NotThereError, Patience
from ais_assets.sources.landing.places import FolderPlace, ListedPlace, Place
from ais_assets.sources.landing.s3 import S3Place
from ais_assets.sources.landing.unfinished import unfinished
from ais_assets.sources.landing.web import WebPlace
from ais_assets.sources.rows.archive import (
    Month,
    copy_member,
    day_in_name,
    member_of_day,
    month_in_name,
    open_zip,
    verify,
)
from ais_assets.sources.source import LandedArchive, Source, SourceError
from ais_assets.store.s3_access import S3Access

_MAGICS = {b"PK\x03\x04": ".zip", b"\x1f\x8b": ".gz", b"\x28\xb5\x2f\xfd": ".zst", b"PAR1": ".parquet"}
_LONGEST_MAGIC = 4
_ASKING_SECONDS = 20.0
"""Whether a day is there is asked by a sensor, whose tick Dagster ends after a minute."""


class FileSource(Source):
    """A source of files whose names carry their day, or their month.

    A format says which kinds of file it has and reads them; finding them is done here.

    Attributes:
        uri: a folder, file:///folder, s3://bucket/prefix, or a web address with {day}, {month} or {year} in it
            (2024-03-01, 2024-03, 2024; `{day:%Y%m%d}` for another form). A web address without {day} names
            archives of a month.
        max_bytes: an archive larger than this, packed or unpacked, is refused.
        unfinished: folder of this machine where files that are being fetched are kept, so that a later run goes on
            with them; None: each run begins anew.
        examples: names of its files, for messages.
        suffixes: of files of one day, in order of preference.
        monthly_suffixes: of files of one month.
    """

    examples: ClassVar[tuple[str, ...]]
    suffixes: ClassVar[tuple[str, ...]]
    monthly_suffixes: ClassVar[tuple[str, ...]] = ()

    def __init__(
        self,
        uri: str,
        *,
        max_bytes: int,
        s3: S3Access | None = None,
        patience: Patience | None = None,
        unfinished: Path | None = None,
    ) -> None:
        self.uri = uri
        self.max_bytes = max_bytes
        self._s3 = s3 or S3Access()
        self._patience = patience or Patience()
        self._unfinished = unfinished

    def period(self, name: str) -> date | Month | None:
        """The day or the month that the file `name` holds; None where it is none of this source's."""
        lower = name.lower()
        if name.startswith("."):
            return None
        day = day_in_name(name)
        if day is not None:
            return day if lower.endswith(self.suffixes) else None
        return month_in_name(name) if lower.endswith(self.monthly_suffixes) else None

    def land(self, day: date, into: Path) -> LandedArchive | None:
        place = self._landing_place
        if isinstance(place, WebPlace):
            key, monthly = place.key(day), place.monthly
        else:
            key = self._listed(place, day)
            monthly = key is not None and isinstance(self.period(key), Month)
        if key is None:
            return None
        try:
            if monthly:
                return self._land_member(place, key, day, into)
            return self._land_whole(place, key, day, into)
        except NotThereError as error:
            if isinstance(place, WebPlace):
                return None
            raise SourceError(f"{place.shown(key)}: vanished while it was being fetched; try again") from error
        except OSError as error:
            raise SourceError(
                f"{place.shown(key)}: cannot be brought to {into} ({error}); "
                "see that the disk has room and that both may be read and written, then try again"
            ) from error

    def published(self, day: date) -> bool:
        place = self._asking_place
        if isinstance(place, WebPlace):
            return place.has(place.key(day))
        return self._listed(place, day) is not None

    @cached_property
    def _landing_place(self) -> ListedPlace | WebPlace:
        return self._place(self._patience)

    @cached_property
    def _asking_place(self) -> ListedPlace | WebPlace:
        seconds = min(self._patience.total_seconds, _ASKING_SECONDS)
        return self._place(replace(self._patience, total_seconds=seconds))

    def _place(self, patience: Patience) -> ListedPlace | WebPlace:
        scheme, separator, _ = self.uri.partition("://")
        if not separator:
            return FolderPlace(Path(self.uri))
        if scheme == "file":
            return FolderPlace(Path(urllib.parse.unquote(urllib.parse.urlsplit(self.uri).path)))
        if scheme == "s3":
            return S3Place(self.uri, self._s3, patience)
        if scheme in ("http", "https"):
            return WebPlace(self.uri, patience)
        raise SourceError(f"AIS_SOURCE_URI has the scheme {scheme!r}; known are s3, http(s), file and a plain folder")

    def _listed(self, place: ListedPlace, day: date) -> str | None:
        """The name of the file of `day`, or of its month; None where the place has others only."""
        names = place.names
        periods = {name: period for name in names if (period := self.period(name)) is not None}
        if not periods:
            other = f"{len(names):,} other files, such as {names[0]!r}" if names else "no files"
            raise SourceError(
                f"{place.uri}: holds {other}, but none of source {self.name!r}; "
                f"expected names such as {', '.join(self.examples)}. Correct AIS_SOURCE_URI or AIS_SOURCE"
            )
        for wanted in (day, Month(day.year, day.month)):
            found = [name for name, period in periods.items() if period == wanted]
            if found:
                return self._best(found, place, day)
        return None

    def _best(self, names: list[str], place: Place, day: date) -> str:
        """Of several forms of one file the first kind in `suffixes`. Raises SourceError for several files."""
        kinds = (*self.suffixes, *self.monthly_suffixes)
        kind = {name: next(k for k, suffix in enumerate(kinds) if name.lower().endswith(suffix)) for name in names}
        stems = {name[: -len(kinds[kind[name]])] for name in names}
        if len(stems) > 1:
            raise SourceError(
                f"{place.uri}: several files carry {day} in their names ({', '.join(sorted(names))}); keep one"
            )
        return min(names, key=kind.__getitem__)

    def _land_whole(self, place: Place, key: str, day: date, into: Path) -> LandedArchive:
        shown = place.shown(key)
        kept = None if isinstance(place, FolderPlace) else self._unfinished
        with unfinished(kept, day, shown, _landing(into, day)) as landing:
            place.fetch(key, landing, self.max_bytes)
            name = self._file_name(place.file_name(key), day, landing)
            return self._verified(landing, into / name, day, shown)

    def _land_member(self, place: Place, key: str, day: date, into: Path) -> LandedArchive | None:
        """Takes one day out of a month's zip. Its file is named after the source: no name from inside is used."""
        shown = place.shown(key)
        landing = _landing(into, day)
        part = landing.with_name(f"{landing.name}-member")
        with (
            unfinished(None, day, shown, landing),
            place.open(key, landing, self.max_bytes) as file,
            open_zip(file, shown) as archive,
        ):
            member = member_of_day(archive, day, shown)
            if member is None:
                return None
            uri = f"{shown}#{member.filename}"
            check_size(max(member.compress_size, member.file_size), self.max_bytes, uri)
            try:
                copy_member(archive, member, part, shown)
                return self._verified(part, into / f"{self.name}-{day.isoformat()}.zip", day, uri)
            finally:
                part.unlink(missing_ok=True)

    def _verified(self, landed: Path, final: Path, day: date, uri: str) -> LandedArchive:
        """The file under its name, which says what to read it as, once it has been read to its end."""
        shutil.move(landed, final)
        try:
            verify(final, day, uri, self.max_bytes)
        except SourceError:
            final.unlink()
            raise
        return LandedArchive(final, uri)

    def _file_name(self, published: str, day: date, landed: Path) -> str:
        if published.lower().endswith(self.suffixes) and not published.startswith("."):
            return published
        # A web address such as https://host/download?day=… says nothing of what it sends.
        with landed.open("rb") as file:
            start = file.read(_LONGEST_MAGIC)
        packing = next((packing for magic, packing in _MAGICS.items() if start.startswith(magic)), None)
        packings = tuple(_MAGICS.values())
        kinds = [kind for kind in self.suffixes if (kind.endswith(packing) if packing else not kind.endswith(packings))]
        if not kinds:
            raise SourceError(
                f"{published or 'the file'} of {day} is a {packing} file, which source {self.name!r} does not have; "
                f"it has {', '.join(self.suffixes)}. Correct AIS_SOURCE_URI or AIS_SOURCE"
            )
        return f"{self.name}-{day.isoformat()}{kinds[0]}"


def _landing(into: Path, day: date) -> Path:
    return into / f".landing-{day.isoformat()}"
