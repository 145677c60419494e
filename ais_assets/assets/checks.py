"""Asset checks: what must hold across stages. Each partition's own balance is enforced where it is stored."""

from collections import Counter

from dagster import (
    AssetCheckResult,
    AssetChecksDefinition,
    AssetCheckSeverity,
    AssetsDefinition,
    MetadataValue,
    TableRecord,
    asset_check,
)

from ais_assets import schema
from ais_assets.assets.day_checks import day_checks
from ais_assets.assets.window_checks import same_windows_check
from ais_assets.io.lake import Lake
from ais_assets.publishing.accounts import accounts, counted_in_tracks, handovers
from ais_assets.resources.lake import LakeResource
from ais_assets.settings import WINDOW_FORMATS, Settings
from ais_assets.transforms.doubtful_hulls import doubtful_hulls


def asset_checks(settings: Settings, assets: dict[str, AssetsDefinition]) -> list[AssetChecksDefinition]:
    """All checks for these settings."""

    @asset_check(asset=assets["vessels"], name="hulls_are_told_apart")
    def hulls_are_told_apart(lake: LakeResource) -> AssetCheckResult:
        """Names what vessels of different splits still have in common, though they are not taken for one ship."""
        found = doubtful_hulls(lake.open().dataset("vessels").to_table())
        counts = Counter(hull.evidence for hull in found)
        metadata: dict[str, MetadataValue] = {kind: MetadataValue.int(count) for kind, count in counts.items()}
        if found:
            rows = [
                TableRecord(
                    {
                        **hull._asdict(),
                        "splits": ", ".join(hull.splits),
                        "some": ", ".join(map(str, hull.some)),
                    }
                )
                for hull in found[:_SHOWN]
            ]
            metadata["in several splits"] = MetadataValue.table(rows)
        return AssetCheckResult(
            passed=not found,
            severity=AssetCheckSeverity.WARN,
            description="vessels of different splits may be one ship: "
            + ", ".join(f"{count} by {kind}" for kind, count in counts.items())
            if found
            else "no vessels of different splits have an identity in common",
            metadata=metadata,
        )

    @asset_check(asset=assets["training_dataset"], name="nothing_lost_between_stages", blocking=True)
    def nothing_lost_between_stages(lake: LakeResource) -> AssetCheckResult:
        """Rows out of each stage are rows into the next, from the archives to the training samples."""
        place, with_mds = lake.open(), "mds" in settings.window_formats
        samples = sum(shard["samples"] for shard in place.json("mds_index")["shards"]) if with_mds else None
        found = handovers(place, settings, samples)
        compared = {
            f"{of.given} to {of.taken}": f"{of.rows_given:,} {'≠' if of.lost else '='} {of.rows_taken:,}"
            for of in found
        }
        lost = [f"{name}: {rows}" for (name, rows), of in zip(compared.items(), found, strict=True) if of.lost]
        return AssetCheckResult(
            passed=not lost,
            description="; ".join(lost) or f"all rows are accounted for{_left_out(settings)}",
            metadata=compared,
        )

    @asset_check(asset=assets["training_dataset"], name="no_hull_in_two_splits", blocking=True)
    def no_hull_in_two_splits(lake: LakeResource) -> AssetCheckResult:
        """No hull has windows in two of training, validation and test, as delivered; tracks, where no Parquet is to be.

        Held-out time is of all vessels.
        """
        shared = hulls_in_two_splits(lake.open(), settings)
        return AssetCheckResult(
            passed=not shared,
            description=f"{len(shared)} hulls are in more than one split: {shared[:_MMSIS_SHOWN]}"
            if shared
            else "no hull is in more than one split",
            metadata={"hulls in more than one": shared[:_MMSIS_SHOWN]},
        )

    @asset_check(asset=assets["training_dataset"], name="every_window_that_tracks_hold", blocking=True)
    def every_window_that_tracks_hold(lake: LakeResource) -> AssetCheckResult:
        """Windows = the sum over tracks of ⌊(positions − window) / stride⌋ + 1, counted anew from the tracks.

        Likewise the positions that are in windows, and those in none by reason.
        """
        place = lake.open()
        found = accounts(place, settings)["window_piles"]
        expected = counted_in_tracks(place, settings)
        differing = [
            f"the tracks hold {count:,} {name.replace('_', ' ')}, window_piles found {there:,}"
            for name, count in expected.items()
            if count != (there := found.rows_in if name == "windows" else found.notes[name])
        ]
        return AssetCheckResult(
            passed=not differing,
            description="; ".join(differing) or f"all {expected['windows']:,} windows that the tracks hold were found",
            metadata=expected,
        )

    return [
        *day_checks(settings, assets),
        hulls_are_told_apart,
        nothing_lost_between_stages,
        no_hull_in_two_splits,
        *([every_window_that_tracks_hold] if settings.window_formats else []),
        *([same_windows_check(settings, assets["training_dataset"])] if len(settings.window_formats) > 1 else []),
    ]


_SHOWN = 50
"""Doubts in the UI."""
_MMSIS_SHOWN = 100


def hulls_in_two_splits(lake: Lake, settings: Settings) -> list[int]:
    """Hulls in more than one split: with windows, of which only the MMSI is read, or tracks; by their least MMSI."""
    if "parquet" in settings.window_formats:
        delivered = {"train": lake.dataset("materialized_windows", settings.pile_keys)}
        delivered |= {split: lake.dataset(split) for split in settings.splits_apart if split in schema.SPLITS}
        of_split = " union ".join(f"select mmsi, '{split}' as split from {split}" for split in delivered)
    else:
        delivered = {"tracks": lake.dataset("track_shards", settings.shard_keys)}
        of_split = "select distinct mmsi, split from tracks"
    query = (
        f"select coalesce(v.hull, d.mmsi) as hull from ({of_split}) d left join vessels v on d.mmsi = v.mmsi "
        "group by all having count(distinct d.split) > 1 order by all"
    )
    return [hull for (hull,) in lake.sql_over({**delivered, "vessels": lake.dataset("vessels")}, query).fetchall()]


def _left_out(settings: Settings) -> str:
    """Formats of windows that are none of the dataset's, for a sentence's end; nothing where there are none."""
    left_out = [name for name in WINDOW_FORMATS if name not in settings.window_formats]
    return f"; not asked for: windows as {' and '.join(left_out)}" if left_out else ""
