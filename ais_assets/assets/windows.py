"""Windows: the two-pass global shuffle by reference, and the windows themselves."""

import hashlib
from collections.abc import Sequence

import pyarrow as pa
from dagster import AssetDep, AssetExecutionContext, AssetsDefinition, asset

from ais_assets import partition_keys, partitions, schema
from ais_assets.assets.ownership import OWNERS
from ais_assets.io.lake import Lake
from ais_assets.io.managers import Partitions, each_partition, unpartitioned
from ais_assets.io.packed import PackedPositions
from ais_assets.io.parquet import describe
from ais_assets.resources.lake import LakeResource
from ais_assets.settings import Settings
from ais_assets.stream import RecordStream
from ais_assets.transforms.shuffle import pile_windows, throw_windows

GROUP = "windows"


def window_assets(settings: Settings, track_shards: AssetsDefinition) -> list[AssetsDefinition]:
    """`window_piles`, `validation` and `materialized_windows` for these settings."""
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
    def validation(lake: LakeResource) -> Partitions:
        """The validation vessels' windows, shuffled; no vessel of theirs is in the training windows."""
        gather = WindowGather(lake.open(), shard_keys, settings)
        return unpartitioned(gather.pile(schema.VALIDATION_PILE))

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
        return each_partition(context, lambda pile: gather.pile(int(pile)))

    return [window_piles, validation, materialized_windows]


def _thrown(lake: Lake, shard: str, settings: Settings) -> RecordStream:
    stream = throw_windows(
        lake.row_groups("track_shards", shard),
        shard=int(shard),
        piles=settings.piles,
        window_len=settings.window_len,
        stride=settings.stride,
        seed=settings.seed,
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
        self._positions = PackedPositions(settings.cache, lake).open(shards)

    def pile(self, pile: int) -> RecordStream:
        """A pile's windows in their final order."""
        stream = pile_windows(
            self._references(pile),
            self._positions,
            window_len=self._settings.window_len,
            seed=self._settings.seed,
            pile=pile,
        )
        stream.facts["tracks"] = self._tracks
        return stream

    def _references(self, pile: int) -> list[pa.Table]:
        tables = []
        for shard in self._shards:
            with self._lake.open("window_piles", shard) as file:
                tables.append(file.read_row_group(pile - schema.VALIDATION_PILE))
        return tables

    def _checked(self) -> str:
        """A digest of all track files. Raises ValueError where references were made for other tracks or settings."""
        wanted = {
            "piles": self._settings.piles,
            "window_len": self._settings.window_len,
            "stride": self._settings.stride,
            "seed": self._settings.seed,
        }
        digest = hashlib.sha256()
        for shard in self._shards:
            with self._lake.open("window_piles", shard) as file:
                facts = describe(file, self._lake.uri_of("window_piles", shard)).facts
            differing = {name: facts[name] for name, value in wanted.items() if facts[name] != value}
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
