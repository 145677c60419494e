"""Windows: the two-pass global shuffle by reference, and the windows themselves."""

import hashlib
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime

import pyarrow as pa
from dagster import AssetDep, AssetExecutionContext, AssetsDefinition, asset

from ais_assets import partition_keys, partitions, schema
from ais_assets.assets.ownership import OWNERS
from ais_assets.io.lake import Lake
from ais_assets.io.managers import Partitions, each_partition, unpartitioned
from ais_assets.io.packed import PackedPositions, read_packed
from ais_assets.io.parquet import describe
from ais_assets.resources.lake import LakeResource
from ais_assets.settings import Settings
from ais_assets.stream import RecordStream
from ais_assets.transforms.shuffle import pile_windows, row_group_of, sweep_piles, throw_windows

GROUP = "windows"
GIGABYTE = 1_000_000_000
FLOAT_BYTES = 4


def window_assets(settings: Settings, track_shards: AssetsDefinition) -> list[AssetsDefinition]:
    """`window_piles`, `validation`, `holdout` and `materialized_windows` for these settings."""
    shard_keys = partition_keys.shard_keys(settings)

    @asset(
        partitions_def=partitions.shards(settings),
        deps=[track_shards],
        group_name=GROUP,
        owners=OWNERS,
        kinds={"parquet"},
        code_version="1",
        io_manager_key="parquet",
        backfill_policy=partitions.per_run(settings),
    )
    def window_piles(context: AssetExecutionContext, lake: LakeResource) -> Partitions:
        """Pass 1 of the global shuffle: a reference to every window, thrown into a random pile, iid."""
        place = lake.open()
        return each_partition(context, lambda shard: _thrown(place, shard, settings))

    references = AssetDep(window_piles, partition_mapping=partitions.EVERY)
    positions = AssetDep(track_shards, partition_mapping=partitions.EVERY)

    @asset(
        deps=[references, positions],
        group_name=GROUP,
        owners=OWNERS,
        kinds={"parquet"},
        code_version="1",
        io_manager_key="parquet",
    )
    def validation(context: AssetExecutionContext, lake: LakeResource) -> Partitions:
        """The validation vessels' windows, shuffled; no vessel of theirs is in the training windows."""
        gather = WindowGather(lake.open(), shard_keys, settings)
        return unpartitioned(next(gather.piles([schema.VALIDATION_PILE], context)))

    @asset(
        deps=[references, positions],
        group_name=GROUP,
        owners=OWNERS,
        kinds={"parquet"},
        code_version="1",
        io_manager_key="parquet",
    )
    def holdout(context: AssetExecutionContext, lake: LakeResource) -> Partitions:
        """All vessels' windows from AIS_HOLDOUT_FROM on, shuffled; empty without it. No other has that time in it."""
        gather = WindowGather(lake.open(), shard_keys, settings)
        return unpartitioned(next(gather.piles([schema.HOLDOUT_PILE], context)))

    @asset(
        partitions_def=partitions.piles(settings),
        deps=[references, positions],
        group_name=GROUP,
        owners=OWNERS,
        kinds={"parquet", "numba"},
        code_version="1",
        io_manager_key="parquet",
        backfill_policy=partitions.per_run(settings),
    )
    def materialized_windows(context: AssetExecutionContext, lake: LakeResource) -> Partitions:
        """Pass 2: a pile's references shuffled, then the windows gathered from the tracks."""
        gather = WindowGather(lake.open(), shard_keys, settings)
        piles = gather.piles([int(pile) for pile in context.partition_keys], context)
        return each_partition(context, lambda _: next(piles))

    return [window_piles, validation, holdout, materialized_windows]


def _holdout_from(settings: Settings) -> int | None:
    """When held-out time begins, Unix time in milliseconds."""
    if settings.holdout_from is None:
        return None
    midnight = datetime.combine(settings.holdout_from, datetime.min.time(), tzinfo=UTC)
    return 1_000 * int(midnight.timestamp())


def _thrown(lake: Lake, shard: str, settings: Settings) -> RecordStream:
    stream = throw_windows(
        lake.row_groups("track_shards", shard),
        shard=int(shard),
        piles=settings.piles,
        window_len=settings.window_len,
        stride=settings.stride,
        seed=settings.seed,
        holdout_from=_holdout_from(settings),
    )
    # Row numbers mean something in this very track file only; pass 2 compares.
    stream.facts["tracks"] = lake.describe("track_shards", shard).fingerprint
    return stream


class WindowGather:
    """Every shard's references and packed positions, checked to belong together."""

    def __init__(self, lake: Lake, shards: Sequence[str], settings: Settings) -> None:
        lake.require("track_shards", shards)
        lake.require("window_piles", shards)
        self._lake = lake
        self._shards = shards
        self._settings = settings
        self._tracks = self._checked()

    def piles(self, piles: Sequence[int], context: AssetExecutionContext) -> Iterator[RecordStream]:
        """Each pile's windows in their final order, one pile after the other.

        From packed positions in the cache, or with AIS_GATHER_GIGABYTES by sweeping over the tracks; both
        make the same bytes.
        """
        gigabytes = self._settings.gather_gigabytes
        streams = self._mapped(piles) if gigabytes is None else self._swept(piles, gigabytes, context)
        for stream in streams:
            stream.facts["tracks"] = self._tracks
            yield stream

    def _mapped(self, piles: Sequence[int]) -> Iterator[RecordStream]:
        positions = PackedPositions(self._settings.cache, self._lake).open(self._shards)
        window_len, seed = self._settings.window_len, self._settings.seed
        for pile in piles:
            yield pile_windows(self._references(pile), positions, window_len=window_len, seed=seed, pile=pile)

    def _swept(self, piles: Sequence[int], gigabytes: float, context: AssetExecutionContext) -> Iterator[RecordStream]:
        window_gigabytes = self._settings.window_len * schema.FEATURE_COUNT * FLOAT_BYTES / GIGABYTE
        swept = sweep_piles(
            piles,
            self._references,
            lambda number: read_packed(self._lake, self._shards[number]),
            window_len=self._settings.window_len,
            seed=self._settings.seed,
            most_windows=max(1, int(gigabytes / window_gigabytes)),
        )
        for pile in swept:
            if pile.sweeps > 1:
                context.log.warning(
                    f"pile {pile.pile} has {pile.windows:,} windows, {pile.windows * window_gigabytes:.3g} GB, more "
                    f"than AIS_GATHER_GIGABYTES={gigabytes:g}: the tracks are read {pile.sweeps} times for it. "
                    "More piles (AIS_PILES) or more memory would spare that"
                )
            yield pile.stream

    def _references(self, pile: int) -> list[pa.Table]:
        tables = []
        for shard in self._shards:
            with self._lake.open("window_piles", shard) as file:
                group = row_group_of(pile, self._settings.piles)
                # Without held-out time there is no row group of it.
                none = group == file.num_row_groups and pile == schema.HOLDOUT_PILE
                tables.append(schema.WINDOW_REFERENCES.empty_table() if none else file.read_row_group(group))
        return tables

    def _checked(self) -> str:
        """A digest of all track files. Raises ValueError where references were made for other tracks or settings."""
        wanted = {
            "piles": self._settings.piles,
            "window_len": self._settings.window_len,
            "stride": self._settings.stride,
            "seed": self._settings.seed,
            "holdout_from": _holdout_from(self._settings),
        }
        digest = hashlib.sha256()
        for shard in self._shards:
            with self._lake.open("window_piles", shard) as file:
                facts = describe(file, self._lake.uri_of("window_piles", shard)).facts
            differing = {name: facts.get(name) for name, value in wanted.items() if facts.get(name) != value}
            if differing:
                raise ValueError(
                    f"window_piles[{shard}] was made with {differing}, the settings now say "
                    f"{ {name: wanted[name] for name in differing} }: materialize window_piles again"
                )
            if facts["tracks"] != self._lake.describe("track_shards", shard).fingerprint:
                raise ValueError(
                    f"track_shards[{shard}] was materialized anew since window_piles[{shard}] was: "
                    "materialize window_piles again"
                )
            digest.update(facts["tracks"].encode())
        return digest.hexdigest()[:16]
