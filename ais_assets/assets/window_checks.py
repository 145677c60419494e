"""Whether the formats that windows are stored in hold the same windows."""

from collections.abc import Iterator

import pyarrow as pa
from dagster import AssetCheckResult, AssetChecksDefinition, AssetsDefinition, asset_check

from ais_assets.io.lake import Lake
from ais_assets.io.mds import INDEX_FILE, read_shard, shard_entries
from ais_assets.resources.lake import LakeResource
from ais_assets.settings import Settings
from ais_assets.transforms.windows import features_of


def same_windows_check(settings: Settings, training_dataset: AssetsDefinition) -> AssetChecksDefinition:
    """The check, for these settings."""

    @asset_check(asset=training_dataset, name="same_windows_in_both_formats")
    def same_windows_in_both_formats(lake: LakeResource) -> AssetCheckResult:
        """Every pile's windows as MDS and as Parquet, by the CRC-32 of all; a shard of one pile sample by sample."""
        place = lake.open()
        differing = differing_piles(place, settings.pile_keys)
        compared, unlike = compared_samples(place, settings)
        return AssetCheckResult(
            passed=not differing and not unlike,
            description=f"of {settings.piles} piles {differing or 'none'} differ in what they were made of; "
            f"of {compared:,} samples read back {unlike:,} differ",
            metadata={"piles that differ": differing, "samples read back": compared, "samples that differ": unlike},
        )

    return same_windows_in_both_formats


def differing_piles(lake: Lake, piles: list[str]) -> list[str]:
    """Piles of which MDS and Parquet were given other windows, or in another order."""
    shards, windows = lake.entries("mds_shards", piles), lake.entries("materialized_windows", piles)
    return [pile for pile in piles if shards[pile].facts["features_crc32"] != windows[pile].facts["features_crc32"]]


def compared_samples(lake: Lake, settings: Settings) -> tuple[int, int]:
    """The first shard of the first pile that has windows, against Parquet: samples compared, and those that differ."""
    for pile in settings.pile_keys:
        with lake.local_file("mds_shards", pile, INDEX_FILE) as path:
            entries = shard_entries(path.read_bytes(), str(path))
        if not entries:
            continue
        with lake.local_file("mds_shards", pile, entries[0]["zip_data"]["basename"]) as path:
            samples = read_shard(path.parent, entries[0], settings.window_len)
        rows = _first_windows(lake, pile, samples.num_rows)
        windows = zip(*(_by_sample(table) for table in (samples, rows)), strict=True)
        return samples.num_rows, sum(ours != theirs for ours, theirs in windows)
    return 0, 0


def _first_windows(lake: Lake, pile: str, count: int) -> pa.Table:
    """So many windows of a pile, of its first row groups: Arrow's `head` reads ahead, a gigabyte of a large pile."""
    groups, rows = [], 0
    for group in lake.row_groups("materialized_windows", pile):
        groups.append(group)
        rows += len(group)
        if rows >= count:
            break
    return pa.concat_tables(groups).slice(0, count)


def _by_sample(table: pa.Table) -> Iterator[tuple[int, bytes]]:
    """Each window's track and bytes."""
    for track, window in zip(table["track"].to_pylist(), features_of(table), strict=True):
        yield track, window.tobytes()
