"""Settings: every AIS_* environment variable, its default, and what it may be."""

from __future__ import annotations

import re
from datetime import date
from pathlib import Path
from typing import Annotated, Final, Literal, Self, get_args
from zoneinfo import ZoneInfo

from pydantic import Field, SecretStr, ValidationError, field_serializer, field_validator, model_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from ais_assets import schema
from ais_assets.settings.addresses import checked_place, is_plain_web_address
from ais_assets.settings.cutting import Cutting
from ais_assets.settings.identities import LEAST_SECRET, Identities, identity_key, key_fingerprint
from ais_assets.settings.region import Region, read_region
from ais_assets.settings.table_mapping import TableMapping
from ais_assets.settings.variables import ENV_FILE, PREFIX, Variable, effective, faults, variable_of, written

SourceName = Literal["dma", "json", "marinecadastre", "nmea", "norway", "simulated", "table"]
WindowFormat = Literal["parquet", "mds"]
WINDOW_FORMATS: Final[tuple[WindowFormat, ...]] = ("parquet", "mds")
"""What windows can be stored as."""

OF_THE_MACHINE: Final = frozenset(
    {
        "lake",
        "cache",
        "s3_endpoint_url",
        "s3_region",
        "s3_profile",
        "s3_encryption",
        "s3_storage_class",
        "s3_requester_pays",
        "s3_anonymous",
        "s3_patience_seconds",
        "source_uri",
        "days_per_run",
        "shards_per_run",
        "piles_per_run",
        "gather_gigabytes",
        "mds_threads",
        "published_after_days",
        "awaited_for_days",
        "max_archive_gigabytes",
        "contact",
        "failure_url",
        "identity_secret",
        "keep_releases",
        "pinned_releases",
    }
)
"""Settings that say nothing of the data, and may say where somebody keeps them."""

_ENCRYPTIONS: Final = re.compile(r"AES256|aws:kms(:(?!dsse$)[\w:/-]+)?", re.ASCII)
"""Other servers than AWS have other names of keys. aws:kms:dsse, which S3 knows as an encryption, is no key."""
_STORAGE_CLASSES: Final = re.compile(r"[\w-]+", re.ASCII)
"""Other servers than AWS have other classes."""
_TO_BE_RESTORED: Final = ("GLACIER", "DEEP_ARCHIVE")

MOST_SHARDS = 4096
MOST_PILES = 10_000


class SettingsError(ValueError):
    """A setting is wrong; the message says which, what it is and what it should be."""


class Settings(BaseSettings):
    """What a deployment can choose. Each field reads the environment variable AIS_<FIELD> (or `.env`)."""

    model_config = SettingsConfigDict(env_prefix=PREFIX, env_file=ENV_FILE, extra="ignore", frozen=True)

    lake: str = Field("data/lake", description="where every dataset lives: a folder or s3://bucket/prefix")
    cache: Path = Field(Path("data/cache"), description="local folder of all runs here: packed positions, downloads")

    s3_endpoint_url: str | None = Field(None, description="an S3 server other than AWS; default: AWS_ENDPOINT_URL")
    s3_region: str | None = Field(None, description="default: AWS_REGION or the profile's")
    s3_profile: str | None = Field(None, description="AWS profile with the credentials; default: AWS_PROFILE or AWS_*")
    s3_encryption: str | None = Field(
        None,
        description="how S3 encrypts what is written: AES256, aws:kms, or aws:kms:KEY for another key than the "
        "account's own; default: as the bucket says",
    )
    s3_storage_class: str | None = Field(
        None,
        description="S3's storage class of what is written, such as STANDARD_IA; those that S3 has to restore before "
        "they are read are refused; default: STANDARD",
    )
    s3_requester_pays: bool = Field(
        False, description="agree to pay for requests, as buckets of others want that have their readers pay"
    )
    s3_anonymous: bool = Field(
        False, description="read public buckets, of lake and source, without credentials; nothing can be written then"
    )
    s3_patience_seconds: float = Field(
        60.0, ge=0, allow_inf_nan=False, description="how long an outage of S3 is waited out before a run fails"
    )

    source: SourceName = Field("simulated", description="the raw format")
    source_uri: str | None = Field(
        None,
        description="where the source's files are: a folder, s3://bucket/prefix, or URLs with {day} or {month}, "
        "separated by spaces, of which each is tried; default: where dma and marinecadastre are published",
    )
    source_zone: str = Field("UTC", description="zone of the source's times that say none: an IANA name")
    file_zone: str = Field("UTC", description="zone by whose clocks the source's files are cut into days")
    file_margin_hours: float | None = Field(
        None,
        ge=0,
        le=48,
        description="how far records may lie outside the days that a file's name says; files so near to a day are "
        "read for it too; default: 24, and 0 of sources whose files hold just their day",
    )
    nmea_believe_tag_blocks: bool = Field(
        False, description="believe NMEA tag blocks whose checksum is wrong, of feeds where it is never right"
    )
    table_columns: Annotated[TableMapping | None, NoDecode] = Field(
        None, description="of the table source, as JSON: our columns, and the table's name, unit and form of each"
    )
    table_delimiter: str = Field(",", description="what separates the table source's columns; \\t for a tab")
    first_day: date = Field(date(2024, 3, 1), description="first day, inclusive")
    last_day: date = Field(date(2024, 3, 3), description="last day, inclusive")
    published_after_days: int = Field(3, ge=0, description="a source has a day about so many days later")
    awaited_for_days: int = Field(60, ge=0, description="a day that has not appeared by then is not asked for any more")
    max_archive_gigabytes: float = Field(64.0, gt=0, description="refuse an archive that unpacks to more than this")

    simulated_vessels: int = Field(60, ge=1, le=100_000, description="vessels of the simulated source")

    shards: int = Field(
        16,
        ge=1,
        le=MOST_SHARDS,
        description="vessel shards, 64 for a year of Danish data: a vessel's days all fall into one",
    )
    piles: int = Field(
        8, ge=1, le=MOST_PILES, description="piles of the global shuffle, each a partition of windows, 256 for a year"
    )
    days_per_run: int = Field(
        4, ge=1, description="days that one run of a backfill takes; a year over 16 workers: 12 leave each two runs"
    )
    shards_per_run: int = Field(
        2, ge=1, description="shards that one run of a backfill takes; 64 over 16 workers: 2 leave each two runs"
    )
    piles_per_run: int = Field(
        2, ge=1, description="piles that one run of a backfill takes; 256 over 16 workers: 8 leave each two runs"
    )
    seed: int = Field(17, ge=0, lt=2**63, description="keys every random stream")
    validation_fraction: float = Field(0.05, ge=0, lt=1, description="share of hulls kept for validation")
    test_fraction: float = Field(
        0.0,
        ge=0,
        lt=1,
        description="share of hulls kept for a last test, of which no model is trained or chosen; 0: none",
    )
    holdout_from: date | None = Field(
        None,
        description="first day of held-out time: windows that begin on it or later are neither trained on nor "
        "validated with but kept apart, those that reach into it left out; default: none",
    )
    seq_len: int = Field(schema.SEQ_LEN, ge=1, description="positions a model sees")
    max_horizon: int = Field(schema.MAX_HORIZON, ge=1, description="positions it may be asked to forecast")
    stride: int = Field(schema.STRIDE, ge=1, description="positions from one window's start to the next one's")
    max_gap_seconds: int = Field(
        schema.MAX_GAP_SECONDS, ge=1, le=schema.MAX_GAP_SECONDS, description="a longer silence starts a new track"
    )

    window_formats: Annotated[tuple[WindowFormat, ...], NoDecode] = Field(
        WINDOW_FORMATS,
        description="what windows are stored as, separated by commas; validation and held-out windows and the baseline "
        "come with parquet. Empty: tracks alone are published, from which windows are cut while training",
    )
    gather_gigabytes: float | None = Field(
        None,
        gt=0,
        description="windows that a run of pass 2 holds at a time, reading the tracks once for as many piles as fit; "
        "default: windows are read from packed positions, memory-mapped in AIS_CACHE",
    )
    max_speed_knots: float = Field(
        50.0, gt=0, description="an implied speed above this is no ship's; AISdb and mobiml use 50"
    )
    min_track_positions: int = Field(
        2, ge=1, description="a track with fewer positions is a stray fix and dropped as such"
    )
    thin_seconds: int = Field(
        0, ge=0, description="keep a position only when this long after the track's last one kept; 0: keep all"
    )
    stationary_seconds: int = Field(
        0, ge=0, description="drop moored and anchored stretches that last at least this long; 0: keep them"
    )
    stationary_knots: float = Field(0.5, gt=0, description="a ship lying still reports a SOG below this")
    repeat_seconds: int = Field(
        120, ge=0, description="a moving fix seen again within this time is a rebroadcast; 0: keep them"
    )
    moving_knots: float = Field(0.5, ge=0.1, description="a ship at this SOG or above is under way")
    ships_only: bool = Field(True, description="drop what base stations, aids to navigation and others sent")
    classes: Annotated[tuple[Literal["class A", "class B", "unknown"], ...], NoDecode] = Field(
        (), description="transponder classes to keep, separated by commas; default: all"
    )
    ship_types: Annotated[tuple[str, ...], NoDecode] = Field(
        (),
        description="types of ship that tracks are made of, in the source's words, separated by commas; default: all",
    )
    drop_position_at_zero: bool = Field(True, description="drop positions at exactly 0° N 0° E")
    region: Annotated[Region | None, NoDecode] = Field(
        None,
        description="where positions are kept: a box west,south,east,north in degrees, over ±180° with a west greater "
        "than its east, or a GeoJSON file of polygons; default: everywhere",
    )
    land_metres: float | None = Field(
        None,
        gt=0,
        description="count positions this far inside land (lakes and rivers are land), or further; 2000 is beyond what "
        "the mask's coasts are off; default: not looked at, which saves 0.4 GB a process",
    )
    drop_on_land: bool = Field(False, description="drop what AIS_LAND_METRES counts")

    most_lost_share: float = Field(
        0.5, gt=0, le=1, description="a day that loses more of its rows, rejected or of another day, is warned of"
    )
    allow_lost_days: bool = Field(
        False, description="whether a day may lose every row, or never be published, without that being a fault"
    )
    least_hours: int = Field(
        12, ge=0, le=24, description="a day with positions in fewer of its hours is warned of, whatever those before"
    )
    quality_days: int = Field(30, ge=7, description="days before each one that say what is usual")
    quality_deviations: float = Field(
        5.0, gt=0, description="a day's measure further from usual than so many robust standard deviations is named"
    )

    identities: Identities = Field(
        "keep",
        description="who ships are in all that is made of raw_records: keep; hash: MMSIs, names, call signs and IMO "
        "numbers are replaced by what stands for them under AIS_IDENTITY_SECRET; drop: MMSIs are, the others left out",
    )
    identity_secret: SecretStr | None = Field(
        None,
        description="what these are replaced by, 16 characters or more; it is nowhere stored, and whoever has it can "
        "lead numbers back",
    )

    keep_releases: int = Field(
        1, ge=1, description="releases whose files `ais prune` leaves, the newest and with them the current one"
    )
    pinned_releases: Annotated[tuple[str, ...], NoDecode] = Field(
        (), description="ids of further releases whose files it leaves, separated by commas; `ais releases` lists them"
    )

    failure_url: SecretStr | None = Field(
        None,
        description="http(s)://… where failed runs are told, each as a JSON object that Slack and others take; it is a "
        "secret, nowhere stored or shown; default: nowhere",
    )
    contact: str | None = Field(None, description="who answers for the dataset, as its card says: a name, an address")

    mds_size_limit: Annotated[int, Field(ge=1 << 16)] = Field(
        1 << 26, description="bytes of an MDS shard before compression; MDSWriter's default"
    )
    mds_threads: int | None = Field(
        None,
        ge=1,
        description="threads that compress a run's MDS shards; default: the cores over the runs of `ais build`, or "
        "all cores where it is not that which runs, 4 at most",
    )
    zstd_level: int = Field(1, ge=1, le=19, description="compression of every file")

    @property
    def window_len(self) -> int:
        """Positions of a window: what a model sees plus what it may forecast."""
        return self.seq_len + self.max_horizon

    @property
    def splits_apart(self) -> list[str]:
        """Splits whose windows have a Parquet file each; none where AIS_WINDOW_FORMATS leaves Parquet out."""
        if "parquet" not in self.window_formats:
            return []
        return ["validation", "holdout", *(["test"] if self.test_fraction else [])]

    @property
    def identity_key(self) -> bytes | None:
        """By which identities are replaced; None where they are kept."""
        if self.identities == "keep" or self.identity_secret is None:
            return None
        return identity_key(self.identity_secret.get_secret_value())

    @property
    def identity_fingerprint(self) -> str | None:
        """Which key that is, for records of how partitions were made."""
        return None if self.identity_key is None else key_fingerprint(self.identity_key)

    @property
    def cutting(self) -> Cutting:
        """How datasets are cut into partitions."""
        return Cutting(self.first_day, self.last_day, self.shards, self.piles)

    @property
    def days(self) -> list[date]:
        """As `Cutting.days`."""
        return self.cutting.days

    @property
    def day_keys(self) -> list[str]:
        """As `Cutting.day_keys`."""
        return self.cutting.day_keys

    @property
    def shard_keys(self) -> list[str]:
        """As `Cutting.shard_keys`."""
        return self.cutting.shard_keys

    @property
    def pile_keys(self) -> list[str]:
        """As `Cutting.pile_keys`."""
        return self.cutting.pile_keys

    @field_validator("lake", "source_uri")
    @classmethod
    def _known_place(cls, address: str | None) -> str | None:
        return None if address is None else checked_place(address)

    @field_validator("failure_url")
    @classmethod
    def _known_web_address(cls, address: SecretStr | None) -> SecretStr | None:
        if address is not None and not is_plain_web_address(address.get_secret_value()):
            raise ValueError("must be http(s)://host/path in ASCII, without user, password, blanks and #")
        return address

    @field_validator("s3_encryption")
    @classmethod
    def _known_encryption(cls, encryption: str | None) -> str | None:
        if encryption is not None and not _ENCRYPTIONS.fullmatch(encryption):
            raise ValueError("must be AES256, aws:kms or aws:kms:KEY, with the key's id, ARN or alias/NAME")
        return encryption

    @field_validator("s3_storage_class")
    @classmethod
    def _readable_class(cls, name: str | None) -> str | None:
        if name is not None and not _STORAGE_CLASSES.fullmatch(name):
            raise ValueError("must be a storage class in S3's words, such as STANDARD_IA or INTELLIGENT_TIERING")
        if name in _TO_BE_RESTORED:
            raise ValueError("cannot be read before S3 has restored it, and a lake reads what it wrote: try GLACIER_IR")
        return name

    @field_validator("cache")
    @classmethod
    def _known_folder(cls, folder: Path) -> Path:
        return Path(checked_place(str(folder)))

    @field_validator("source_zone", "file_zone")
    @classmethod
    def _known_zone(cls, name: str) -> str:
        try:
            ZoneInfo(name)
        except (KeyError, ValueError, OSError):
            raise ValueError("is no zone of the IANA's list, such as UTC or Europe/Copenhagen") from None
        return name

    @field_validator("region", mode="before")
    @classmethod
    def _region(cls, region: object) -> object:
        return read_region(region) if isinstance(region, str) else region

    @field_serializer("region")
    def _what_region_says(self, region: Region | None) -> str | None:
        return None if region is None else region.digest

    @field_validator("table_columns", mode="before")
    @classmethod
    def _mapping(cls, columns: object) -> object:
        if not isinstance(columns, str):
            return columns
        try:
            return TableMapping.model_validate_json(columns)
        except ValidationError as error:
            faults = [f"{'.'.join(map(str, p['loc']))}: {p['msg']}".lstrip(": ") for p in error.errors()]
            raise ValueError("; ".join(fault.removeprefix("Value error, ") for fault in faults)) from None

    @field_validator("classes", "ship_types", "window_formats", "pinned_releases", mode="before")
    @classmethod
    def _list(cls, names: object) -> object:
        if not isinstance(names, str):
            return names
        return tuple(name.strip() for name in names.split(",") if name.strip())

    @field_validator("table_delimiter")
    @classmethod
    def _one_character(cls, delimiter: str) -> str:
        delimiter = "\t" if delimiter == r"\t" else delimiter
        if len(delimiter) != 1 or not (delimiter == "\t" or delimiter in ",;|:~^"):
            raise ValueError("must be one of , ; | : ~ ^ or \\t")
        return delimiter

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.last_day < self.first_day:
            raise ValueError(f"AIS_LAST_DAY {self.last_day} is before AIS_FIRST_DAY {self.first_day}")
        if self.holdout_from is not None and not self.first_day < self.holdout_from <= self.last_day:
            raise ValueError(
                f"AIS_HOLDOUT_FROM {self.holdout_from} must be after AIS_FIRST_DAY {self.first_day} and not after "
                f"AIS_LAST_DAY {self.last_day}: both sides of it need days"
            )
        if self.validation_fraction + self.test_fraction >= 1:
            raise ValueError(
                f"AIS_VALIDATION_FRACTION {self.validation_fraction} and AIS_TEST_FRACTION {self.test_fraction} leave "
                "nothing to train on: together they must be less than 1"
            )
        if self.thin_seconds > self.max_gap_seconds:
            raise ValueError(
                f"AIS_THIN_SECONDS {self.thin_seconds} is above AIS_MAX_GAP_SECONDS {self.max_gap_seconds}: "
                "positions so far apart would each begin a track"
            )
        if self.identities != "keep":
            given = "" if self.identity_secret is None else self.identity_secret.get_secret_value()
            if len(given) < LEAST_SECRET:
                raise ValueError(
                    f"AIS_IDENTITIES={self.identities} needs AIS_IDENTITY_SECRET, {LEAST_SECRET} characters or more, "
                    f"such as `openssl rand -hex 32` gives; it has {len(given)}"
                )
            if self.table_columns is not None and self.table_columns.has_texts_for_mmsis:
                raise ValueError(
                    f"AIS_IDENTITIES={self.identities} is for MMSIs, and AIS_TABLE_COLUMNS says that mmsi is a text"
                )
        if self.drop_on_land and self.land_metres is None:
            raise ValueError("AIS_DROP_ON_LAND needs AIS_LAND_METRES: how far inside land")
        if self.s3_anonymous and self.s3_requester_pays:
            raise ValueError(
                "AIS_S3_ANONYMOUS and AIS_S3_REQUESTER_PAYS exclude each other: who pays has to say who that is"
            )
        if self.lake.startswith(("http://", "https://")):
            raise ValueError(f"AIS_LAKE {self.lake!r} must be a folder or s3://bucket/prefix")
        if self.source not in ("simulated", "dma", "marinecadastre") and self.source_uri is None:
            raise ValueError(f"AIS_SOURCE={self.source} needs AIS_SOURCE_URI: where its files are")
        if self.source == "table" and self.table_columns is None:
            raise ValueError("AIS_SOURCE=table needs AIS_TABLE_COLUMNS: which column is what")
        return self


_SECRETS: Final = frozenset(
    variable_of(name) for name, field in Settings.model_fields.items() if SecretStr in get_args(field.annotation)
)
"""Variables of which a refusal says nothing."""


def load_settings(**overrides: object) -> Settings:
    """Settings from the environment and `.env`, with `overrides` by field name in their place.

    Raises SettingsError that names each wrong variable, its value and what it should be; a name that begins with AIS_
    and is no setting's, with the nearest one that is.
    """
    unknown = [f"{name!r} is no setting" for name in overrides if name not in Settings.model_fields]
    unknown += faults(Settings.model_fields)
    if unknown:
        raise SettingsError("; ".join(unknown))
    try:
        return Settings(**overrides)  # pyright: ignore[reportArgumentType]
    except ValidationError as error:
        lines = []
        for problem in error.errors():
            name = variable_of("_".join(str(part) for part in problem["loc"])) if problem["loc"] else "settings"
            given = f" (it is {_shown(problem['input'])})" if problem["loc"] and name not in _SECRETS else ""
            lines.append(f"{name}: {problem['msg'].removeprefix('Value error, ')}{given}")
        raise SettingsError("; ".join(lines)) from None


def in_force(settings: Settings) -> list[Variable]:
    """Every setting as it is in force: value, where it came from, what it means. No secret is in it."""
    return effective({name: getattr(settings, name) for name in Settings.model_fields}, dict(Settings.model_fields))


def _shown(given: object) -> str:
    return repr(written(given) if isinstance(given, str) else given)
