"""Finding and fetching the files of a day: from a folder, an S3 bucket or a web address."""

from __future__ import annotations

import re
import shutil
import urllib.parse
import zipfile
from collections.abc import Iterator
from dataclasses import replace
from datetime import date
from functools import cached_property
from pathlib import Path, PurePosixPath
from typing import BinaryIO, ClassVar, Required, TypedDict

from ais_assets.ledger import Ledger
from ais_assets.sources.file_days import FileDays, span_in_name
from ais_assets.sources.landing.download import check_size
from ais_assets.sources.landing.patience import NotThereError
from ais_assets.sources.landing.places import FolderPlace, ListedPlace, Place
from ais_assets.sources.landing.s3 import S3Place
from ais_assets.sources.landing.turns import turn
from ais_assets.sources.landing.unfinished import unfinished
from ais_assets.sources.landing.web import WebPlace
from ais_assets.sources.rows.archive import copy_member, open_zip, packing_of, row_members, verify
from ais_assets.sources.rows.day_rows import DayRows, Undated
from ais_assets.sources.source import LandedArchive, Source, SourceError
from ais_assets.store.patience import Patience
from ais_assets.store.s3_access import S3Access

_ASKING_SECONDS = 20.0
"""Whether a day is there is asked by a sensor, whose tick Dagster ends after a minute."""
_MOST_ASKED = 8
"""Days that are asked for before an address is said to fit none."""
# What logrotate and the like put behind a name: ais.log.1, ais.log-20240302, ais.log-20240302-1709337600.
_ROTATED = re.compile(r"(?:[-._]\d[\dT-]*)(?=(?:\.(?:gz|zst|zip))?$)", re.IGNORECASE)


class FileOptions(TypedDict, total=False):
    """What every FileSource takes beside its address; its attributes are FileSource's."""

    max_bytes: Required[int]
    s3: S3Access | None
    patience: Patience | None
    unfinished: Path | None
    zone: str
    days: FileDays | None
    last_day: date | None


class FileSource(Source):
    """A source of files, whose names say which days they are about.

    A format says which kinds of file it has and reads them; finding them is done here.

    Attributes:
        uri: a folder, file:///folder, s3://bucket/prefix, or web addresses with {day}, {month} or {year} in them
            (2024-03-01, 2024-03, 2024; `{day:%Y%m%d}` for another form), separated by spaces, of which each is tried.
            One without {day} names archives of a month. One without any is where `layouts` begin.
        max_bytes: an archive larger than this, packed or unpacked, is refused.
        zone: the IANA's name of the zone of times that say none.
        days: how names of files stand for days.
        examples: names of its files, for messages.
        suffixes: of its files, in order of preference where one is there in several forms.
        monthly_suffixes: of archives of a month with a member a day, which are not opened for a day of a file of its
            own.
        home: where the source is published; None: nowhere that can be read without asking.
        layouts: addresses of its files from there on, those of the newest days first.
        margin_hours: how far its records may lie outside the days that a file's name says, unless a setting says.
        publisher: who publishes it; None: whoever gives the files.
        licence: under which terms.
        attribution: what must be said where its data are used.
    """

    examples: ClassVar[tuple[str, ...]]
    suffixes: ClassVar[tuple[str, ...]]
    monthly_suffixes: ClassVar[tuple[str, ...]] = ()
    home: ClassVar[str | None] = None
    layouts: ClassVar[tuple[str, ...]] = ()
    margin_hours: ClassVar[float] = 24.0
    publisher: ClassVar[str | None] = None
    licence: ClassVar[str] = "as its owner says"
    attribution: ClassVar[str | None] = None

    def __init__(
        self,
        uri: str | None,
        *,
        max_bytes: int,
        s3: S3Access | None = None,
        patience: Patience | None = None,
        unfinished: Path | None = None,
        zone: str = "UTC",
        days: FileDays | None = None,
        last_day: date | None = None,
    ) -> None:
        if uri is None and self.home is None:
            raise SourceError(f"AIS_SOURCE={self.name} needs AIS_SOURCE_URI: where its files are")
        self.uri = uri or self.home or ""
        self.max_bytes = max_bytes
        self.zone = zone
        self.days = days or FileDays()
        self._last_day = last_day
        self._s3 = s3 or S3Access()
        self._patience = patience or Patience()
        self._unfinished = unfinished

    def kind(self, name: str) -> int | None:
        """Which of `suffixes`, then `monthly_suffixes`, a file has, by number; None where it is none of this
        source's."""
        lower = name.lower()
        if name.startswith("."):
            return None
        kinds = (*self.suffixes, *self.monthly_suffixes)
        for spelt in (lower, _ROTATED.sub("", lower)):
            found = next((k for k, suffix in enumerate(kinds) if spelt.endswith(suffix)), None)
            if found is not None:
                return found
        return None

    def rows_by_day(self, archive: Path, ledger: Ledger) -> Iterator[DayRows | Undated]:
        """Every row of a file, as it stands, by the UTC day of its time; the ledger notes what are no rows.

        Raises SourceError where the file is damaged, or this source has no files to be cut.
        """
        raise SourceError(f"{archive.name}: files of source {self.name!r} are not cut into days")

    def land(self, day: date, into: Path) -> list[LandedArchive]:
        place = self._landing_place
        if isinstance(place, list):
            return self._land_from_web(place, day, into)
        return [archive for key in self._listed(place, day) for archive in self._land_file(place, key, day, into)]

    def published(self, day: date) -> bool:
        place = self._asking_place
        if not isinstance(place, list):
            return any(self._is_of_day(key, day) for key in self._listed(place, day))
        return self._first_there(place, day) is not None

    @cached_property
    def _landing_place(self) -> ListedPlace | list[WebPlace]:
        return self._place(self._patience)

    @cached_property
    def _asking_place(self) -> ListedPlace | list[WebPlace]:
        seconds = min(self._patience.total_seconds, _ASKING_SECONDS)
        return self._place(replace(self._patience, total_seconds=seconds))

    @property
    def _shown_uri(self) -> str:
        place = self._landing_place
        return place.uri if isinstance(place, Place) else " ".join(web.uri for web in place)

    def _place(self, patience: Patience) -> ListedPlace | list[WebPlace]:
        scheme, separator, _ = self.uri.partition("://")
        if not separator:
            return FolderPlace(Path(self.uri))
        if scheme == "file":
            return FolderPlace(Path(urllib.parse.unquote(urllib.parse.urlsplit(self.uri).path)))
        if scheme == "s3":
            return S3Place(self.uri, self._s3, patience)
        if scheme in ("http", "https"):
            addresses = self.uri.split()
            if len(addresses) == 1 and "{" not in self.uri and self.layouts and self.kind(self.uri) is None:
                addresses = [f"{self.uri.rstrip('/')}/{layout}" for layout in self.layouts]
            return [WebPlace(address, patience) for address in addresses]
        raise SourceError(f"AIS_SOURCE_URI has the scheme {scheme!r}; known are s3, http(s), file and a plain folder")

    def _is_of_day(self, name: str, day: date) -> bool:
        """Whether a file should have records of the day, by its name alone."""
        return self.days.reach(name, with_margin=False).meets(day)

    def _listed(self, place: ListedPlace, day: date) -> list[str]:
        """Names of the files that the day reads, sorted."""
        names = place.names
        kinds = {name: kind for name in names if (kind := self.kind(name)) is not None}
        if not kinds:
            other = f"{len(names):,} other files, such as {names[0]!r}" if names else "no files"
            raise SourceError(
                f"{place.uri}: holds {other}, but none of source {self.name!r}; "
                f"expected names such as {', '.join(self.examples)}. Correct AIS_SOURCE_URI or AIS_SOURCE"
            )
        dated = [name for name in kinds if span_in_name(name) is not None]
        # Beside files with days in their names one without is a note on them, unless it is the log that is rotated.
        taken = [name for name in kinds if name in dated or not dated or any(other.startswith(name) for other in dated)]
        meeting = [name for name in taken if self.days.reach(name).meets(day)]
        months = {
            name for name in meeting if not _is_by_day(name) and name.lower().endswith(self.monthly_suffixes or "\0")
        }
        if any(self._is_of_day(name, day) for name in meeting if name not in months and _is_by_day(name)):
            meeting = [name for name in meeting if name not in months]
        return sorted(self._one_form_each(meeting, kinds))

    def _one_form_each(self, names: list[str], kinds: dict[str, int]) -> list[str]:
        """Of files with one name but for their kind, the first kind in `suffixes`."""
        all_kinds = (*self.suffixes, *self.monthly_suffixes)
        chosen: dict[str, str] = {}
        for name in sorted(names, key=kinds.__getitem__):
            suffix = all_kinds[kinds[name]]
            chosen.setdefault(name[: -len(suffix)] if name.lower().endswith(suffix) else name, name)
        return list(chosen.values())

    def _land_from_web(self, places: list[WebPlace], day: date, into: Path) -> list[LandedArchive]:
        """The files of the days by the file zone's clocks that the day reads; of each the first address that has it."""
        landed = []
        with turn(self._unfinished, urllib.parse.urlsplit(places[0].uri).netloc, self._patience):
            for local_day in self.days.local_days(day):
                for place in places:
                    try:
                        landed += self._land_file(place, place.key(local_day), day, into, local_day)
                    except NotThereError:
                        continue
                    break
            if not any(archive.of_day for archive in landed):
                self._check_that_some_day_is_there(places, day)
        return landed

    def _first_there(self, places: list[WebPlace], day: date) -> WebPlace | None:
        return next((place for place in places if place.has(place.key(day))), None)

    def _check_that_some_day_is_there(self, places: list[WebPlace], day: date) -> None:
        """Raises SourceError where a day is not there, and none of some others of the whole range either."""
        if self._last_day is None or self._some_day_is_there:
            return
        first, count = self.days.first_day, (self._last_day - self.days.first_day).days + 1
        asked = sorted({first + (self._last_day - first) * k // (_MOST_ASKED - 1) for k in range(_MOST_ASKED)} - {day})
        if count > 1 and not any(self._first_there(places, other) for other in asked):
            raise SourceError(
                f"{self._shown_uri}: has neither {day} nor any of {len(asked)} other days from {first} to "
                f"{self._last_day}; correct AIS_SOURCE_URI, or the days"
            )
        self._some_day_is_there = True

    _some_day_is_there = False

    def _land_file(
        self, place: Place, key: str, day: date, into: Path, local_day: date | None = None
    ) -> list[LandedArchive]:
        """A file as it is, or what the day reads of a zip with several members; `local_day`: that its address says.

        Raises NotThereError where a web address has it not.
        """
        published = place.file_name(key)
        try:
            of_many_days = (
                place.monthly
                if isinstance(place, WebPlace)
                else published.lower().endswith(".zip") and not _is_by_day(published)
            )
            if of_many_days:
                return self._land_members(place, key, day, into)
            return self._land_whole(place, key, day, into, local_day)
        except NotThereError as error:
            if isinstance(place, WebPlace):
                raise
            raise SourceError(f"{place.shown(key)}: vanished while it was being fetched; try again") from error
        except OSError as error:
            raise SourceError(
                f"{place.shown(key)}: cannot be brought to {into} ({error}); "
                "see that the disk has room and that both may be read and written, then try again"
            ) from error

    def _land_whole(self, place: Place, key: str, day: date, into: Path, local_day: date | None) -> list[LandedArchive]:
        shown = place.shown(key)
        kept = None if isinstance(place, FolderPlace) else self._unfinished
        with unfinished(kept, local_day or day, shown, _landing(into, day)) as landing:
            place.fetch(key, landing, self.max_bytes)
            final = into / self._file_name(place.file_name(key), landing, day, local_day)
            shutil.move(landing, final)
        try:
            if packing_of(final) == ".zip" and _has_several_members(final, shown):
                with final.open("rb") as file:
                    landed = self._members(file, final.name, shown, day, into)
                final.unlink()
                return landed
        except SourceError:
            final.unlink()
            raise
        return [self._verified(final, day, shown)]

    def _land_members(self, place: Place, key: str, day: date, into: Path) -> list[LandedArchive]:
        """Takes what the day reads out of a zip of many days, where it is if it can be read there in parts."""
        shown = place.shown(key)
        landing = _landing(into, day)
        with unfinished(None, day, shown, landing), place.open(key, landing, self.max_bytes) as file:
            return self._members(file, place.file_name(key), shown, day, into)

    def _members(self, file: BinaryIO, published: str, shown: str, day: date, into: Path) -> list[LandedArchive]:
        """Members of a zip that the day reads, each as a zip of its own. No folder's name from inside is used."""
        landed = []
        with open_zip(file, shown) as archive:
            for name, member in self._named_members(archive, published):
                if not self.days.reach(name).meets(day):
                    continue
                uri = f"{shown}#{member.filename}"
                check_size(max(member.compress_size, member.file_size), self.max_bytes, uri)
                copy_member(archive, member, into / name, shown)
                landed.append(self._verified(into / name, day, uri))
        return landed

    def _named_members(self, archive: zipfile.ZipFile, published: str) -> Iterator[tuple[str, zipfile.ZipInfo]]:
        """Each member with the name that it lands under, which has its own days or, where it says none, its zip's."""
        members = row_members(archive)
        for number, member in enumerate(members):
            inside = PurePosixPath(member.filename.replace("\\", "/")).stem
            own = span_in_name(inside)
            days = inside if own is not None else f"{PurePosixPath(published).stem}-{inside}"
            yield f"{self.name}-{number:03d}_{days}.zip", member

    def _verified(self, final: Path, day: date, uri: str) -> LandedArchive:
        """The file under its name, which says what to read it as, once it has been read to its end."""
        try:
            verify(final, uri, self.max_bytes)
        except SourceError:
            final.unlink()
            raise
        return LandedArchive(final, uri, self._is_of_day(final.name, day), self.days.reading(final.name))

    def _file_name(self, published: str, landed: Path, day: date, local_day: date | None) -> str:
        """The name that a file lands under: as published, but for one that says neither its kind nor its day."""
        has_kind = self.kind(published) is not None
        if has_kind and (local_day is None or self._says(published, local_day)):
            return published
        kind = next((k for k in self.suffixes if published.lower().endswith(k)), None) or self._kind_inside(
            published, landed, day
        )
        return f"{self.name}-{(local_day or day).isoformat()}{kind}"

    def _says(self, name: str, local_day: date) -> bool:
        span = span_in_name(name)
        return span is not None and span.first <= local_day <= span.last

    def _kind_inside(self, published: str, landed: Path, day: date) -> str:
        """What a web address such as https://host/download?day=… says nothing of, by the first bytes."""
        packing = packing_of(landed)
        packed = (".zip", ".gz", ".zst", ".parquet")
        kinds = [kind for kind in self.suffixes if (kind.endswith(packing) if packing else not kind.endswith(packed))]
        if not kinds:
            raise SourceError(
                f"{published or 'the file'} of {day} is a {packing} file, which source {self.name!r} does not have; "
                f"it has {', '.join(self.suffixes)}. Correct AIS_SOURCE_URI or AIS_SOURCE"
            )
        return kinds[0]


def _is_by_day(name: str) -> bool:
    """Whether a file's name has a day in it, and not just a month or a year."""
    span = span_in_name(name)
    return span is not None and span.dates > 0


def _has_several_members(path: Path, shown: str) -> bool:
    with open_zip(path, shown) as archive:
        return len(row_members(archive)) > 1


def _landing(into: Path, day: date) -> Path:
    return into / f".landing-{day.isoformat()}"
