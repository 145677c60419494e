"""The lake: every asset's partitions by name, for the stages, for Dagster and for training code."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any, Final, Literal, Self, Unpack, overload

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as ds

from ais_assets import schema
from ais_assets.io.catalog import Asset, assets
from ais_assets.io.entries import AT_ONCE, Entries, Entry, side_by_side
from ais_assets.io.geoparquet import POSITION_COLUMNS, OtherTracksError, lines_of, points_of
from ais_assets.io.kept_tracks import keep_published_tracks
from ais_assets.io.layout import CUTTING_KEY, PLACES, Cut, Kind, place_of
from ais_assets.io.parquet import PartitionFile, describe, write_parquet
from ais_assets.io.partition_dataset import PartitionDataset, Watch
from ais_assets.io.releases import ListedRelease, listed_releases
from ais_assets.io.views import columns_in_degrees_and_knots, in_degrees_and_knots
from ais_assets.ledger import Ledger
from ais_assets.loader.given import MDSOptions, TrackOptions, WindowFileOptions
from ais_assets.loader.options import check_names
from ais_assets.settings.cutting import Cutting
from ais_assets.store.objects import Opened, Store, open_store
from ais_assets.store.pinned import ReplacedError
from ais_assets.store.ranges import Tail
from ais_assets.store.s3_access import PATIENCE_SECONDS, S3Access, S3Client
from ais_assets.store.sealed_parquet import DamagedFileError, SealedFile, read_footer
from ais_assets.stream import REJECTS, RecordStream, sql_connection

if TYPE_CHECKING:
    import duckdb

    from ais_assets.io.streaming_loader import AISMDSDataset, TrackWindowDataset, ValidationDataset
    from ais_assets.settings import Settings


class PartitionMissingError(LookupError):
    """A partition is not in the lake; the message says which and what to materialize."""


class OtherReleaseError(ValueError):
    """What was to be read together was not published together; the message says what to do."""


class MixedSettingsError(ValueError):
    """Partitions of a dataset were made with different settings; the message says which and what mends it."""


MADE_FROM: Final = "made_from"
"""The fact that is the fingerprints of what a partition was made from: of each asset, by partition."""
MADE_WITH: Final = "made_with"
"""The fact that is the settings, by name, and the code version that a partition was made with."""


@dataclass(frozen=True)
class Folder:
    """A partition that is a folder of files, complete on local disk and not yet in the lake.

    Attributes:
        path: the local folder; its files are moved.
        digest: hexadecimal, a function of the content alone.
        ledger: the stage's account.
        facts: what else describes it, as JSON values.
        last: the file that readers take as the sign that the folder is complete, published after the rest.
    """

    path: Path
    digest: str
    ledger: Ledger
    facts: dict[str, Any] = field(default_factory=dict)
    last: str | None = None


@dataclass(frozen=True)
class Published:
    """One partition as it now lies in the lake."""

    uri: str
    size: int
    rows: int
    ledger: Ledger
    facts: Mapping[str, Any]
    schema: pa.Schema | None
    fingerprint: str


class Lake:
    """All datasets at one address.

    Args:
        uri: a folder or s3://bucket/prefix.
        s3_client: a boto3 S3 client; default: one from the standard AWS settings.
        s3_access: how S3 is reached where that is not enough; of `s3_client`, how it was made.
        s3_patience_seconds: how long an outage of S3 is waited out.
        zstd_level: compression of what is written.

    >>> lake = Lake("s3://bucket/prefix")                                       # doctest: +SKIP
    >>> lake.dataset("track_shards").to_table(filter=ds.field("mmsi") == 219000734)  # doctest: +SKIP
    >>> lake.sql("select mmsi, max(sog) from clean_records where lat > 55 group by mmsi")  # doctest: +SKIP
    >>> for batch in lake.loader(local="mds-cache", batch_size=64): ...         # doctest: +SKIP
    """

    def __init__(
        self,
        uri: str | Path,
        *,
        s3_client: S3Client | None = None,
        s3_access: S3Access | None = None,
        s3_patience_seconds: float = PATIENCE_SECONDS,
        zstd_level: int = 1,
    ) -> None:
        self.store: Store = open_store(uri, s3_client, s3_access, s3_patience_seconds)
        self._level = zstd_level

    @classmethod
    def from_settings(cls, settings: Settings) -> Self:
        """The lake that the settings name. Nothing is read or written yet."""
        return cls(
            settings.lake,
            s3_access=S3Access.of(settings),
            s3_patience_seconds=settings.s3_patience_seconds,
            zstd_level=settings.zstd_level,
        )

    def __repr__(self) -> str:
        return f"Lake({self.store.uri!r})"

    @property
    def uri(self) -> str:
        """The lake's address."""
        return self.store.uri

    def uri_of(self, asset: str, partition: str | None = None) -> str:
        """The address of a partition's object."""
        return f"{self.store.uri}/{place_of(asset).key(partition)}"

    def partitions(self, asset: str) -> list[str]:
        """Keys of the partitions that are there, sorted. Raises ValueError for an unpartitioned asset."""
        return sorted(self.versions(asset))

    def versions(self, asset: str) -> dict[str, str]:
        """By key of each partition that is there, what changes whenever its object does; of one listing.

        Raises ValueError for an unpartitioned asset.
        """
        place = place_of(asset)
        if place.single is not None:
            raise ValueError(f"{asset} has no partitions")
        reserved = {other.single for other in PLACES.values() if other.folder == place.folder and other.single}
        listed = {PurePosixPath(each.key).name: each.version for each in self.store.listed(place.folder)}
        found = {
            name.removesuffix(place.suffix): version
            for name, version in listed.items()
            if name.endswith(place.suffix) and name not in reserved | RESERVED_NAMES
        }
        # Another name, such as `0000 (1)` of a copy made by hand, is no partition's.
        return {key: version for key, version in found.items() if _PARTITION.fullmatch(key)}

    def entries(self, asset: str, partitions: Iterable[str] | None = None) -> dict[str, Entry]:
        """What partitions (default: all that are there) say of themselves, by key: in few requests, side by side.

        Raises PartitionMissingError where one asked for is not there, DamagedFileError as `entries_of` does.
        """
        there = self.versions(asset)
        wanted = list(there if partitions is None else partitions)
        _require(self, asset, wanted, there)
        return self.entries_of(asset, {key: there[key] for key in wanted})

    def entries_of(self, asset: str, versions: Mapping[str, str], *, damaged_too: bool = False) -> dict[str, Entry]:
        """The same, of a listing that is at hand.

        Raises DamagedFileError for the first that is damaged, unless these are wanted, too.
        """
        place = place_of(asset)
        of_keys = {place.key(partition): partition for partition in versions}
        entries = Entries(self.store, asset, lambda key: self._entry(asset, of_keys[key]))
        try:
            found = entries.of({key: versions[partition] for key, partition in of_keys.items()})
        except FileNotFoundError as error:
            raise PartitionMissingError(f"{error} was removed while {asset} was read: run this again") from error
        damage = next((entry.damage for entry in found.values() if entry.damage is not None), None)
        if damage is not None and not damaged_too:
            raise DamagedFileError(damage)
        return {of_keys[key]: entry for key, entry in found.items()}

    def ledgers(self, asset: str, partitions: Iterable[str]) -> dict[str, Ledger]:
        """The accounts of the stage that wrote these partitions, by key."""
        return {key: entry.ledger for key, entry in self.entries(asset, partitions).items()}

    def _entry(self, asset: str, partition: str) -> Entry:
        opened = self.store.open(place_of(asset).key(partition))
        with opened.source as source:
            try:
                return self._said(asset, partition, source, opened.version)
            except DamagedFileError as error:
                nothing = json.loads(Ledger().to_json())
                return Entry(opened.version, source.size(), 0, nothing, {}, "damaged", damage=str(error))

    def _said(self, asset: str, partition: str, source: pa.NativeFile, version: str) -> Entry:
        if place_of(asset).kind is not Kind.FOLDER:
            size = source.size()
            with SealedFile(source, self.uri_of(asset, partition), _again(asset, partition)) as file:
                found = describe(file)
            return Entry(version, size, found.rows, json.loads(found.ledger.to_json()), found.facts, found.fingerprint)
        manifest = self._manifest_of(asset, partition, source.read())
        return Entry(
            version=version,
            size=sum(manifest["files"].values()),
            rows=manifest["ledger"]["rows_out"],
            account=manifest["ledger"],
            facts=manifest["facts"],
            fingerprint=manifest.get("fingerprint", manifest["folder"]),
            folder=manifest["folder"],
        )

    def _manifest_of(self, asset: str, partition: str, data: bytes) -> dict[str, Any]:
        """A manifest from its bytes. Raises DamagedFileError where it is none."""
        where, cure = f"{self.uri}/{place_of(asset).key(partition)}", _again(asset, partition)
        manifest = _object_of(data, where, cure)
        for name, kind in (("folder", str), ("files", dict), ("facts", dict), ("ledger", dict)):
            if not isinstance(manifest.get(name), kind):
                raise DamagedFileError(f"{where} is damaged (it has no {name}): {cure}")
        counts = [manifest["ledger"].get("rows_out"), *manifest["files"].values()]
        if not all(isinstance(count, int) for count in counts):
            raise DamagedFileError(f"{where} is damaged (rows or bytes are no whole numbers): {cure}")
        return manifest

    def cutting(self) -> Cutting | None:
        """How the last run had the datasets cut into partitions; None: there was none yet, and all there is counts."""
        try:
            return Cutting.from_json(self.store.read(CUTTING_KEY))
        except FileNotFoundError:
            return None
        except (ValueError, KeyError, TypeError) as error:
            raise ValueError(
                f"{self.uri}/{CUTTING_KEY} is damaged ({error!r}): the next `ais build` mends it"
            ) from error

    def cut_by(self, cutting: Cutting) -> None:
        """To be called before partitions are made: readers leave alone what others are there of former settings."""
        wanted = cutting.to_json()
        if not self.store.exists(CUTTING_KEY) or self.store.read(CUTTING_KEY) != wanted:
            self.store.publish_bytes(wanted, CUTTING_KEY)

    def has(self, asset: str, partition: str | None = None) -> bool:
        """Whether the partition (or the unpartitioned asset) is there."""
        return self.store.exists(place_of(asset).key(partition))

    def require(self, asset: str, partitions: Sequence[str]) -> None:
        """Raises PartitionMissingError, naming them, unless all these partitions are there."""
        _require(self, asset, partitions, self.versions(asset))

    def write(self, asset: str, partition: str | None, stream: RecordStream) -> Published:
        """Writes a stream as one Parquet object: whole, or not at all.

        Where its facts hold REJECTS, that sample becomes the partition of "rejects" just before.
        """
        key = place_of(asset).key(partition)
        with self.store.staging() as folder:
            local = folder / "partition.parquet"
            written = write_parquet(stream, local, asset=asset, partition=partition, level=self._level)
            size = local.stat().st_size
            if REJECTS in stream.facts:
                self.write(REJECTS, partition, _reject_stream(stream.facts))
            keep_published_tracks(self.store, key, lambda: self.describe(asset, partition).fingerprint)
            self.store.publish(local, key)
        uri = f"{self.uri}/{key}"
        return Published(uri, size, written.rows, written.ledger, stream.facts, written.schema, written.fingerprint)

    def write_folder(self, asset: str, partition: str, folder: Folder) -> Published:
        """Publishes a folder under a name of its own and then the manifest that makes it current.

        A former folder of the partition stays, for those who are reading it.
        """
        place = place_of(asset)
        key = place.key(partition)
        name = f"{partition}-{folder.digest[:12]}"
        files = sorted(path.relative_to(folder.path).as_posix() for path in folder.path.rglob("*") if path.is_file())
        if folder.last is not None:
            files = [file for file in files if file != folder.last] + [folder.last]
        sizes = {file: (folder.path / file).stat().st_size for file in files}
        for file in files:
            self.store.publish(folder.path / file, f"{place.folder}/{name}/{file}")
        # The file's name and place may differ for the same content, as where it is fetched from another mirror.
        said = {fact: folder.facts[fact] for fact in (MADE_FROM, MADE_WITH) if fact in folder.facts}
        fingerprint = hashlib.sha256(_json({"content": folder.digest, **said})).hexdigest()[:16]
        manifest = {
            "folder": name,
            "fingerprint": fingerprint,
            "files": sizes,
            "ledger": json.loads(folder.ledger.to_json()),
            "facts": folder.facts,
        }
        folder.ledger.balance(f"{asset}[{partition}]")
        self.store.publish_bytes(_json(manifest), key)
        return Published(
            f"{self.uri}/{place.folder}/{name}",
            sum(sizes.values()),
            folder.ledger.rows_out,
            folder.ledger,
            folder.facts,
            None,
            fingerprint,
        )

    def write_json(self, asset: str, value: object) -> Published:
        """Publishes an unpartitioned asset that is one JSON value."""
        key = place_of(asset).key(None)
        data = _json(value)
        self.store.publish_bytes(data, key)
        return Published(f"{self.uri}/{key}", len(data), 1, Ledger(), {}, None, hashlib.sha256(data).hexdigest()[:16])

    def json(self, asset: str) -> Any:
        """The value of an asset that is one JSON object. Raises DamagedFileError where it is none."""
        where = f"{self.uri}/{place_of(asset).key(None)}"
        return _object_of(self._read(asset, None), where, _again(asset, None))

    def manifest(self, asset: str, partition: str) -> dict[str, Any]:
        """What a folder asset's partition is: its folder, files and sizes, account and facts.

        Raises DamagedFileError where that is not what it says.
        """
        return self._manifest_of(asset, partition, self._read(asset, partition))

    def folder_uri(self, asset: str, partition: str) -> str:
        """The address of a folder asset's current folder."""
        return f"{self.uri}/{self.folder_key(asset, partition)}"

    def folder_key(self, asset: str, partition: str) -> str:
        """The same, relative to the lake."""
        return f"{place_of(asset).folder}/{self.manifest(asset, partition)['folder']}"

    @contextmanager
    def local_file(self, asset: str, partition: str, file: str) -> Iterator[Path]:
        """One file of a folder partition as a local file, for as long as the context lasts."""
        with TemporaryDirectory(prefix="ais-") as folder:
            yield self.store.fetch(f"{self.folder_key(asset, partition)}/{file}", Path(folder))

    @contextmanager
    def open(self, asset: str, partition: str | None = None) -> Iterator[SealedFile]:
        """A partition's Parquet file, for reading it by row group. Raises DamagedFileError as `SealedFile` does."""
        where, cure = self.uri_of(asset, partition), _again(asset, partition)
        with self._source(asset, partition) as source, SealedFile(source, where, cure) as file:
            yield file

    def opened(self, asset: str, partition: str | None, tail: Tail | None = None) -> tuple[SealedFile, Opened]:
        """The same, to be closed by whoever asks; with `tail`, of the version that it is known of."""
        try:
            opened = self.store.open(place_of(asset).key(partition), tail)
        except FileNotFoundError:
            raise self._missing(asset, partition) from None
        return SealedFile(opened.source, self.uri_of(asset, partition), _again(asset, partition)), opened

    @contextmanager
    def _source(self, asset: str, partition: str | None) -> Iterator[pa.NativeFile]:
        try:
            source = self.store.open(place_of(asset).key(partition)).source
        except FileNotFoundError:
            raise self._missing(asset, partition) from None
        with source:
            yield source

    def row_groups(
        self, asset: str, partition: str | None = None, columns: Sequence[str] | None = None
    ) -> Iterator[pa.Table]:
        """A partition's rows, a row group at a time; of its columns only `columns` (default: all)."""
        file, opened = self.opened(asset, partition)
        names = list(file.schema_arrow.names if columns is None else columns)
        held = 0
        with opened.source, file:
            for group in range(file.num_row_groups):
                if group == held:
                    held = _hold(file, opened, group, names)
                yield file.read_row_group(group, columns=names)

    def describe(self, asset: str, partition: str | None = None) -> PartitionFile:
        """What a partition's file says of itself: rows, schema, account, facts. Reads the footer only."""
        with self.open(asset, partition) as file:
            return describe(file)

    def ledger(self, asset: str, partition: str | None = None) -> Ledger:
        """The account of the stage that wrote a partition."""
        if place_of(asset).kind is Kind.FOLDER:
            return Ledger.from_dict(self.manifest(asset, partition or "")["ledger"])
        return self.describe(asset, partition).ledger

    def dataset(self, asset: str, partitions: Sequence[str] | None = None) -> ds.Dataset:
        """A lazy dataset over some partitions of a Parquet asset, in partition order, as stored.

        By default over all that one set of settings made, the last run's: days out of its range, and shards and piles
        that there were more of, are left out.

        Latitudes and longitudes are micro-degrees, SOG and COG tenths, as their columns' names say; `sql` and `table`
        give degrees and knots.

        It is of now: while rows are read, a partition that was published anew meanwhile is a ReplacedError.

        Raises PartitionMissingError when a partition asked for, or every one, is missing, DamagedFileError for a
        damaged footer, and while rows are read for a damaged page; through DuckDB its own error with that text.
        """
        place = place_of(asset)
        if place.kind is not Kind.PARQUET:
            raise ValueError(f"{asset} is not stored as Parquet; use manifest(), json() or loader()")
        found = self._found(asset, partitions)
        keys = [place.key(partition) for partition in found]
        versions = self.store.versions(keys)
        with ThreadPoolExecutor(AT_ONCE, thread_name_prefix="footers") as pool:
            # Arrow's datasets parse footers unseen.
            list(pool.map(lambda partition: self._verify_footer(asset, partition), found))

        def require_unchanged() -> None:
            for key, before, now in zip(keys, versions, self.store.versions(keys), strict=True):
                if before != now:
                    raise ReplacedError(f"{self.uri}/{key}")

        def explain(error: Exception) -> None:
            if isinstance(error, ReplacedError):
                return
            require_unchanged()
            for partition in found:
                self.verify(asset, partition)

        files = ds.dataset([self.store.path(key) for key in keys], filesystem=self.store.filesystem(), format=_VERIFIED)
        return PartitionDataset(files, Watch(explain, require_unchanged), self.store.filesystem)

    def verify(self, asset: str, partition: str | None = None) -> None:
        """Reads a partition's file from end to end. Raises DamagedFileError where a byte is not what was written."""
        with self.open(asset, partition) as file:
            file.verified_digest()

    def _verify_footer(self, asset: str, partition: str | None) -> None:
        with self._source(asset, partition) as source:
            read_footer(source, self.uri_of(asset, partition), _again(asset, partition))

    def table(self, asset: str, partitions: Sequence[str] | None = None) -> pa.Table:
        """The rows themselves in memory, `lat`, `lon`, `sog` and `cog` in degrees and knots; default as `dataset`."""
        found = self._found(asset, partitions)
        parts = side_by_side(self.store, lambda partition: list(self.row_groups(asset, partition)), found)
        tables = [table for part in parts for table in part]
        nothing = self.describe(asset, found[0]).schema.empty_table()
        return in_degrees_and_knots(pa.concat_tables([nothing, *tables]))

    def _found(self, asset: str, partitions: Sequence[str] | None) -> Sequence[str | None]:
        """The partitions asked for, or all of the last run's settings.

        Raises PartitionMissingError where one of them, or every one, is missing, MixedSettingsError where not all were
        made with one number of shards or piles.
        """
        if place_of(asset).single is not None:
            found: Sequence[str | None] = [None] if self.has(asset) else []
        elif partitions is None:
            found = self._of_one_cutting(asset)
        else:
            self.require(asset, partitions)
            found = partitions
        if not found:
            raise self._missing(asset, None)
        return found

    def _of_one_cutting(self, asset: str) -> list[str]:
        place, cutting = place_of(asset), self.cutting()
        found = self.partitions(asset)
        if cutting is None:
            return found
        named = set(place.named_by(cutting))
        found = [key for key in found if key in named]
        setting = None if place.cut is None else _CUT_BY.get(place.cut)
        if setting is None:
            return found
        wanted = getattr(cutting, setting)
        others = {
            key: entry.facts[MADE_WITH][setting]
            for key, entry in self.entries(asset, found).items()
            if entry.facts.get(MADE_WITH, {}).get(setting, wanted) != wanted
        }
        if others:
            key, other = next(iter(others.items()))
            raise MixedSettingsError(
                f"{len(others)} of {len(found)} partitions of {asset} are not of the last run's AIS_{setting.upper()}="
                f"{wanted}: {asset}[{key}] was made with {other}. `ais build` makes them anew"
            )
        return found

    def positions_of(self, mmsi: int, *, shards: int | None = None) -> pa.Table:
        """All positions of one vessel's tracks, by track and time, as stored (`schema.TRACK_POSITIONS`).

        Reads the row groups that she may be in, of the one shard that is hers. `shards` is the number of these; by
        default the last run's. Raises PartitionMissingError where there are no tracks.
        """
        (shard,) = self._shards_of([mmsi], shards)
        with self.open("track_shards", shard) as file:
            place = file.schema_arrow.get_field_index("mmsi")
            groups = []
            for group in range(file.num_row_groups):
                of = file.metadata.row_group(group).column(place).statistics
                if of is None or not of.has_min_max or of.min <= mmsi <= of.max:
                    groups.append(file.read_row_group(group))
            positions = pa.concat_tables([file.schema_arrow.empty_table(), *groups])
        # The footer's metadata are the file's, not a part's.
        return positions.filter(pc.equal(positions["mmsi"], mmsi)).replace_schema_metadata()  # pyright: ignore[reportAttributeAccessIssue]

    def _shards_of(self, vessels: Iterable[int], shards: int | None = None) -> list[str]:
        """The track shard of each vessel, of so many. Raises PartitionMissingError where there are no tracks."""
        from ais_assets.transforms.split import shard_of  # noqa: PLC0415 - loads numba, which a look at a lake needs not

        cutting = self.cutting()
        number = shards or (len(self.partitions("track_shards")) if cutting is None else cutting.shards)
        if not number:
            raise self._missing("track_shards", None)
        return [f"{shard:04d}" for shard in shard_of(np.array([*vessels], np.int32), number).tolist()]

    def track_lines(self, vessels: Iterable[int] | None = None, *, shards: Sequence[str] | None = None) -> pa.Table:
        """The rows of `tracks`, each with its line on the map as `geometry` (WKB, WGS 84) and its box as `bbox`.

        For GeoPandas as it is (`geopandas.GeoDataFrame.from_arrow`), and GeoParquet 1.1 once
        `pyarrow.parquet.write_table` has written it. A track across ±180° is cut there.

        Args:
            vessels: MMSIs whose tracks are wanted, read from their shards alone; those without are passed over.
            shards: instead, partitions of `track_shards` of which all are wanted; default: every one, in memory.

        Raises PartitionMissingError where there are none, OtherTracksError where `tracks` was not made of these shards.
        """
        if vessels is None:
            found = [key or "" for key in self._found("track_shards", shards)]
            return pa.concat_tables([self._lines_of_shard(shard) for shard in found])
        wanted = _of_vessels(vessels, shards)
        of_shards = [self.table("tracks", [shard]) for shard in sorted({*self._shards_of(wanted)})]
        rows = pa.concat_tables([schema.TRACKS.empty_table(), *of_shards]).sort_by("track")
        hers = rows.filter(pc.is_in(rows["mmsi"], pa.array(wanted, pa.int32())))  # pyright: ignore[reportAttributeAccessIssue]
        return lines_of(hers, self._positions_of_each(wanted).select(POSITION_COLUMNS))

    def track_points(self, vessels: Iterable[int] | None = None, *, shards: Sequence[str] | None = None) -> pa.Table:
        """Positions of tracks in degrees and knots, each with its point as `geometry`; all else as `track_lines`.

        MovingPandas makes its trajectories of that GeoDataFrame, with `traj_id_col="track"` and `t="t"`; it wants
        times without a zone.
        """
        if vessels is not None:
            return points_of(self._positions_of_each(_of_vessels(vessels, shards)))
        groups = (
            group for shard in self._found("track_shards", shards) for group in self.row_groups("track_shards", shard)
        )
        nothing = points_of(schema.TRACK_POSITIONS.empty_table())
        return pa.concat_tables([nothing, *(points_of(group) for group in groups)])

    def _lines_of_shard(self, shard: str) -> pa.Table:
        nothing = schema.TRACK_POSITIONS.empty_table().select(POSITION_COLUMNS)
        positions = pa.concat_tables([nothing, *self.row_groups("track_shards", shard, POSITION_COLUMNS)])
        try:
            return lines_of(self.table("tracks", [shard]), positions)
        except OtherTracksError as error:
            raise OtherTracksError(f"{shard}: {error}") from error

    def _positions_of_each(self, vessels: Sequence[int]) -> pa.Table:
        nothing = schema.TRACK_POSITIONS.empty_table()
        return pa.concat_tables([nothing, *(self.positions_of(mmsi) for mmsi in vessels)])

    def windows(
        self,
        mmsi: int,
        *,
        seq_len: int | None = None,
        max_horizon: int | None = None,
        stride: int | None = None,
    ) -> pa.Table:
        """All windows of one vessel, cut from her tracks: `schema.windows_schema`, by track and start.

        Of whatever split she is; in degrees, knots and seconds, the same bits as the windows that are trained on.

        Args:
            mmsi: whose.
            seq_len, max_horizon, stride: as `TrackWindowDataset` has them; None: as they were published.
        """
        from ais_assets.transforms.vessel_windows import windows_of  # noqa: PLC0415 - loads numba, as above

        given = {"seq_len": seq_len, "max_horizon": max_horizon, "stride": stride}
        of = {name: given[name] or published for name, published in self._geometry().items()}
        return windows_of(self.positions_of(mmsi), of["seq_len"] + of["max_horizon"], of["stride"])

    def _geometry(self) -> dict[str, int]:
        """seq_len, max_horizon and stride as they were published, or those of the contract."""
        published = self.json("training_dataset")["settings"] if self.has("training_dataset") else {}
        known = {"seq_len": schema.SEQ_LEN, "max_horizon": schema.MAX_HORIZON, "stride": schema.STRIDE}
        return {name: published.get(name, value) for name, value in known.items()}

    def sql(self, query: str) -> duckdb.DuckDBPyRelation:
        """Runs SQL over the assets by their names; any that the query names must be in the lake.

        Positions have `lat`, `lon`, `sog` and `cog` in degrees and knots.
        """
        words = set(re.findall(r"\w+", _SQL_TEXT.sub("", query)))
        named = [asset for asset, place in PLACES.items() if place.kind is Kind.PARQUET and asset in words]
        return self.sql_over({asset: self.dataset(asset) for asset in named}, query)

    def sql_over(self, tables: Mapping[str, ds.Dataset], query: str) -> duckdb.DuckDBPyRelation:
        """Runs SQL over these datasets, by the names given."""
        connection = sql_connection()
        for name, dataset in tables.items():
            connection.register(f"stored {name}", dataset)
            columns = columns_in_degrees_and_knots(dataset.schema)
            connection.execute(f'create view "{name}" as select {columns} from "stored {name}"')
        relation = connection.sql(query)
        if relation is None:
            raise ValueError(f"{query!r} is no query that gives rows")
        return relation

    @overload
    def loader(
        self, local: str | Path, format: Literal["mds"] = "mds", **options: Unpack[MDSOptions]
    ) -> AISMDSDataset: ...

    @overload
    def loader(
        self, local: str | Path, format: Literal["tracks"], **options: Unpack[TrackOptions]
    ) -> TrackWindowDataset: ...

    def loader(
        self, local: str | Path, format: Literal["mds", "tracks"] = "mds", **options: Any
    ) -> AISMDSDataset | TrackWindowDataset:
        """Training batches, with a cache in the folder `local`.

        `format` says from what: this lake's MDS shards, or its tracks, from which any windows can be cut. `options` are
        those of `AISMDSDataset` or `TrackWindowDataset`. Raises TypeError for any other, naming the nearest.
        """
        from ais_assets.io.streaming_loader import AISMDSDataset, TrackWindowDataset  # noqa: PLC0415 - load torch

        options = {"s3": self.store.s3_access(), **options}
        if format == "mds":
            return AISMDSDataset(remote=f"{self.uri}/{place_of('mds_shards').folder}", local=str(local), **options)
        if format != "tracks":
            raise ValueError(f"format is {format!r}; it must be 'mds' or 'tracks'")
        check_names("TrackWindowDataset", options, (*TrackOptions.__required_keys__, *TrackOptions.__optional_keys__))
        return TrackWindowDataset(self.uri, local, **options)

    def validation_loader(
        self, batch_size: int = 64, *, release: str | None = None, **options: Unpack[WindowFileOptions]
    ) -> ValidationDataset:
        """The validation vessels' windows as batches, in the file's order, with the interface of `loader`.

        There is one such file, which the next build replaces. With `release` it is made sure that it is of that one:
        raises OtherReleaseError where it is not; `loader(format="tracks", split="validation")` cuts them then.
        """
        return self._file_loader("validation", batch_size, release, options)

    def holdout_loader(
        self, batch_size: int = 64, *, release: str | None = None, **options: Unpack[WindowFileOptions]
    ) -> ValidationDataset:
        """The windows of held-out time as batches, as `validation_loader`; none without AIS_HOLDOUT_FROM."""
        return self._file_loader("holdout", batch_size, release, options)

    def test_loader(
        self, batch_size: int = 64, *, release: str | None = None, **options: Unpack[WindowFileOptions]
    ) -> ValidationDataset:
        """The windows of vessels kept for the last test, as `validation_loader`; none without AIS_TEST_FRACTION.

        No model should have been chosen by them.
        """
        return self._file_loader("test", batch_size, release, options)

    def assets(self) -> list[Asset]:
        """Every asset that a lake may have: what it is, its partitions, and its columns with types and units."""
        return assets(sum(self._geometry()[name] for name in ("seq_len", "max_horizon")))

    def releases(self) -> list[ListedRelease]:
        """What was published in this lake, newest first, and what can still be read: `loader(release=…)`."""
        return listed_releases(self.store)

    def window_len(self) -> int:
        """Positions a window in this lake's validation file has."""
        features = self.describe("validation").schema.field("features").type
        return features.list_size // schema.FEATURE_COUNT

    def object_version(self, asset: str, partition: str) -> str:
        """Changes whenever the partition is published anew."""
        return self.store.version(place_of(asset).key(partition))

    def identity(self) -> str:
        """A short name for the lake's address, for folders of caches."""
        return hashlib.sha256(self.uri.encode()).hexdigest()[:12]

    def _file_loader(
        self, asset: str, batch_size: int, wanted: str | None, options: Mapping[str, Any]
    ) -> ValidationDataset:
        from ais_assets.io.streaming_loader import ValidationDataset  # noqa: PLC0415 - loads torch

        check_names("ValidationDataset", options, ("batch_size", "release", *WindowFileOptions.__annotations__))
        if not self.has(asset):
            raise self._missing(asset, None)
        key = place_of(asset).key(None)
        # What is found out of the file, and what is read of it, is of one version.
        files = self.store.pinned_file(key)
        release = self._release_of(asset, wanted)
        if wanted is not None and release != wanted:
            raise OtherReleaseError(
                f"{self.uri_of(asset)} is not of release {wanted}, or that one was pruned (`ais releases` shows which "
                f"there are): loader(format='tracks', split={asset!r}, release={wanted!r}) cuts windows from its tracks"
            )
        if options.get("normalize") == "statistics":
            options = {**options, "normalize": self._statistics(release)}
        dataset = ValidationDataset(self.store.path(key), filesystem=files, batch_size=batch_size, **options)
        dataset.release = release
        return dataset

    def _release_of(self, asset: str, wanted: str | None) -> str | None:
        """The release (None: the current one), if it was published with this asset as it lies there; else None."""
        place, fingerprint = place_of("training_dataset"), self.describe(asset).fingerprint
        for key in (place.key(None), *([place.key_of_release(wanted)] if wanted else [])):
            with suppress(FileNotFoundError):
                index = json.loads(self.store.read(key))
                published = index.get(MADE_FROM, {}).get(asset, {}).get("")
                if published == fingerprint and wanted in (None, index["release"]):
                    return index["release"]
        return None

    def _statistics(self, release: str | None) -> dict[str, Any]:
        """The statistics of a release; None: of none. Raises OtherReleaseError where there are only another one's."""
        place = place_of("mds_index")
        own = "" if release is None else place.key_of_release(release)
        index_key = own if own and self.store.exists(own) else place.key(None)
        folder = index_key.rpartition("/")[0]
        try:
            found = json.loads(self.store.read(f"{folder}/statistics.json"))
            index = hashlib.sha256(self.store.read(index_key)).hexdigest()
            if (found.get("release"), found.get("index")) != (release, index):
                raise OtherReleaseError(
                    f"{self.uri}/{folder}/statistics.json is of release {found.get('release')}, what is to be read of "
                    f"{release or 'none'}: the dataset is being published, or that was cut off, or it was published "
                    "without mds since; materialize training_dataset, or normalize='ranges'"
                )
            return found
        except FileNotFoundError:
            raise PartitionMissingError(
                f"{self.uri}/{folder} has no statistics.json: materialize training_dataset with mds in "
                "AIS_WINDOW_FORMATS, or normalize='ranges'"
            ) from None

    def _read(self, asset: str, partition: str | None) -> bytes:
        try:
            return self.store.read(place_of(asset).key(partition))
        except FileNotFoundError:
            raise self._missing(asset, partition) from None

    def _missing(self, asset: str, partition: str | None) -> PartitionMissingError:
        return PartitionMissingError(f"{_named(asset, partition)} is not in {self.uri}: materialize it first")


_HELD_BYTES: Final = 1 << 24
"""Of row groups that follow each other, read from S3 at once."""
_PARTITION = re.compile(r"[0-9A-Za-z][0-9A-Za-z._-]*")
_VERIFIED: Final = ds.ParquetFileFormat(
    default_fragment_scan_options=ds.ParquetFragmentScanOptions(pre_buffer=True, page_checksum_verification=True)
)
"""Parquet of which every page's checksum is verified, whoever scans it: DuckDB, too, reads the lake through Arrow."""

_CUT_BY: Final = {Cut.SHARD: "shards", Cut.PILE: "piles"}
"""The setting whose change makes other partitions of the same names."""

_SQL_TEXT = re.compile(r"'[^']*'")
"""A literal in SQL, which names no table; a quote within it is doubled."""

RESERVED_NAMES = frozenset({"statistics.json"})
"""Objects that lie beside partitions without being one."""


def _require(lake: Lake, asset: str, partitions: Collection[str], there: Collection[str]) -> None:
    missing = sorted(set(partitions) - set(there))
    if missing:
        shown = ", ".join(missing[:8]) + (", …" if len(missing) > 8 else "")
        raise PartitionMissingError(
            f"{asset} has {len(partitions) - len(missing)} of the {len(partitions)} partitions needed in "
            f"{lake.uri}; missing: {shown}. Materialize them first."
        )


def _of_vessels(vessels: Iterable[int], shards: Sequence[str] | None) -> list[int]:
    if shards is not None:
        raise ValueError("vessels are in shards of their own: give vessels or shards")
    return sorted({*vessels})


def _named(asset: str, partition: str | None) -> str:
    return f"{asset}[{partition}]" if partition else asset


def _hold(file: SealedFile, opened: Opened, group: int, columns: Sequence[str]) -> int:
    """Has what the next row groups hold of some columns read at once, where reads cost requests; the group behind them.

    What lies between is read, too; it is not to be more than what is wanted.
    """
    start, end = file.bytes_of(group, columns)
    for following in range(group + 1, file.num_row_groups):
        begin, finish = file.bytes_of(following, columns)
        if finish - start > _HELD_BYTES or begin - end > finish - begin:
            break
        group, end = following, finish
    opened.hold(start, end)
    return group + 1


def _again(asset: str, partition: str | None) -> str:
    return f"materialize {_named(asset, partition)} again"


def _reject_stream(facts: Mapping[str, Any]) -> RecordStream:
    rows = sorted(facts[REJECTS], key=lambda row: row["line"])
    table = pa.Table.from_pylist(rows, schema.REJECTS)
    return RecordStream(
        schema.REJECTS, iter([table]), Ledger(table.num_rows, table.num_rows), {"files": facts.get("files")}
    )


def _object_of(data: bytes, where: str, cure: str) -> dict[str, Any]:
    try:
        value = json.loads(data)
    except ValueError as error:
        raise DamagedFileError(f"{where} is damaged ({error}): {cure}") from error
    if not isinstance(value, dict):
        raise DamagedFileError(f"{where} is damaged (it is no JSON object): {cure}")
    return value


def _json(value: object) -> bytes:
    return (json.dumps(value, sort_keys=True, indent=1) + "\n").encode()
