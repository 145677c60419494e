"""Windows: the two-pass global shuffle by reference, and the windows themselves."""

from collections.abc import Iterator, Sequence

import pyarrow as pa
from dagster import AssetExecutionContext, AssetsDefinition

from ais_assets import schema
from ais_assets.assets.stage import Making, stage
from ais_assets.io.lake import Lake
from ais_assets.io.packed import PackedPositions, PackedShard, read_packed
from ais_assets.io.references import holdout_from, references_by_shard, require_same, shuffle_digest
from ais_assets.io.row_groups import GroupOfEach
from ais_assets.resources.io_managers import Partitions
from ais_assets.resources.lake import LakeResource
from ais_assets.settings import Settings
from ais_assets.stream import RecordStream
from ais_assets.transforms.shuffle import pile_windows, piles_in_order, sweep_piles, throw_windows

GROUP = "windows"
GIGABYTE = 1_000_000_000
FLOAT_BYTES = 4


def window_assets(settings: Settings) -> list[AssetsDefinition]:
    """`window_piles`, `materialized_windows` and the splits apart: `validation`, `holdout` and `test`."""

    @stage(settings, group=GROUP, kinds={"parquet"})
    def window_piles(context: AssetExecutionContext, lake: LakeResource) -> Partitions:
        """Pass 1 of the global shuffle: a reference to every window, thrown into a random pile, iid."""
        place = lake.open()
        return Making(context, place, settings).each(
            lambda shard: thrown_windows(place, shard, settings), compares=True
        )

    @stage(settings, group=GROUP, kinds={"parquet"})
    def validation(context: AssetExecutionContext, lake: LakeResource) -> Partitions:
        """The validation vessels' windows, shuffled; no vessel of theirs is in the training windows."""
        return split_apart(context, lake.open(), schema.VALIDATION_PILE, settings)

    @stage(settings, group=GROUP, kinds={"parquet"})
    def holdout(context: AssetExecutionContext, lake: LakeResource) -> Partitions:
        """All vessels' windows from AIS_HOLDOUT_FROM on, shuffled; empty without it. No other has that time in it."""
        return split_apart(context, lake.open(), schema.HOLDOUT_PILE, settings)

    @stage(settings, group=GROUP, kinds={"parquet"})
    def test(context: AssetExecutionContext, lake: LakeResource) -> Partitions:
        """The windows of vessels that neither training nor the choice of a model has seen, shuffled: for the end."""
        return split_apart(context, lake.open(), schema.TEST_PILE, settings)

    @stage(settings, group=GROUP, kinds={"parquet", "numba"})
    def materialized_windows(context: AssetExecutionContext, lake: LakeResource) -> Partitions:
        """Pass 2: a pile's references shuffled, then the windows gathered from the tracks."""
        place = lake.open()
        piles = WindowGather(place, settings).piles([int(pile) for pile in context.partition_keys], context)
        return Making(context, place, settings).each(lambda _: next(piles), compares=True)

    return [window_piles, validation, holdout, materialized_windows, test]


def split_apart(context: AssetExecutionContext, lake: Lake, pile: int, settings: Settings) -> Partitions:
    """The windows of a split that has a file of its own."""
    windows = WindowGather(lake, settings).piles([pile], context)
    return Making(context, lake, settings).whole(lambda: next(windows), compares=True)


def thrown_windows(lake: Lake, shard: str, settings: Settings) -> RecordStream:
    """References to every window of the shard's tracks, by the pile that each was thrown into.

    Raises ValueError when the tracks were materialized anew while they were being read.
    """
    tracks = lake.describe("track_shards", shard).fingerprint
    return throw_windows(
        _positions(lake, shard, tracks),
        shard=int(shard),
        piles=settings.piles,
        window_len=settings.window_len,
        stride=settings.stride,
        seed=settings.seed,
        holdout_from=holdout_from(settings),
        with_test=settings.test_fraction > 0,
    )


def _positions(lake: Lake, shard: str, fingerprint: str) -> Iterator[pa.Table]:
    yield from lake.row_groups("track_shards", shard)
    _require_tracks(lake, shard, fingerprint)


def _require_tracks(lake: Lake, shard: str, fingerprint: str) -> None:
    """To be called once a track file was read: if it is there now, it is what was read."""
    require_same(lake.describe("track_shards", shard).fingerprint, fingerprint, f"track_shards[{shard}]")


class WindowGather:
    """Every shard's references and packed positions, checked to belong together."""

    def __init__(self, lake: Lake, settings: Settings) -> None:
        self._lake = lake
        self._settings = settings
        self._shards = references_by_shard(lake, settings)
        self._digest = shuffle_digest(self._shards)
        self._groups = GroupOfEach(lake, "window_piles")

    def piles(self, piles: Sequence[int], context: AssetExecutionContext) -> Iterator[RecordStream]:
        """Each pile's windows in their final order, one pile after the other.

        From packed positions in the cache, or with AIS_GATHER_GIGABYTES by sweeping over the tracks; both
        make the same bytes.
        """
        gigabytes = self._settings.gather_gigabytes
        streams = self._mapped(piles) if gigabytes is None else self._swept(piles, gigabytes, context)
        for stream in streams:
            stream.facts["window_piles"] = self._digest
            yield stream

    def _mapped(self, piles: Sequence[int]) -> Iterator[RecordStream]:
        positions = PackedPositions(self._settings.cache, self._lake).open([of.shard for of in self._shards])
        now = self._lake.entries("track_shards", [of.shard for of in self._shards])
        for of in self._shards:
            require_same(now[of.shard].fingerprint, of.tracks, f"track_shards[{of.shard}]")
        window_len, seed = self._settings.window_len, self._settings.seed
        for pile in piles:
            yield pile_windows(self._references(pile), positions, window_len=window_len, seed=seed, pile=pile)

    def _swept(self, piles: Sequence[int], gigabytes: float, context: AssetExecutionContext) -> Iterator[RecordStream]:
        window_gigabytes = self._settings.window_len * schema.FEATURE_COUNT * FLOAT_BYTES / GIGABYTE
        swept = sweep_piles(
            piles,
            self._references,
            self._packed,
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

    def _packed(self, number: int) -> PackedShard:
        of = self._shards[number]
        packed = read_packed(self._lake, of.shard)
        _require_tracks(self._lake, of.shard, of.tracks)
        return packed

    def _references(self, pile: int) -> list[pa.Table]:
        groups = piles_in_order(
            self._settings.piles,
            with_holdout=self._settings.holdout_from is not None,
            with_test=self._settings.test_fraction > 0,
        )
        if pile not in groups:
            # Without held-out time there is no row group of it.
            return [schema.WINDOW_REFERENCES.empty_table() for _ in self._shards]
        shards = {of.shard: of.references for of in self._shards}
        tables = []
        for shard, (_, table) in zip(shards, self._groups.of(shards, groups.index(pile)), strict=True):
            if table is None:
                raise ValueError(f"window_piles[{shard}] has no pile {pile}: materialize window_piles again")
            tables.append(table)
        return tables
