"""Asset checks: what must hold across stages. Each partition's own balance is enforced where it is stored."""

from dagster import (
    AssetCheckExecutionContext,
    AssetCheckResult,
    AssetChecksDefinition,
    AssetCheckSeverity,
    AssetsDefinition,
    MetadataValue,
    TableRecord,
    asset_check,
)

from ais_assets.assets.window_checks import same_windows_check
from ais_assets.io.lake import Lake
from ais_assets.publishing.dataset import CONSERVED, accounts, conservation, differing_days
from ais_assets.resources.lake import LakeResource
from ais_assets.settings import Settings
from ais_assets.transforms.quality import WARNED_DAYS, Departure, departures, newest


def asset_checks(settings: Settings, assets: dict[str, AssetsDefinition]) -> list[AssetChecksDefinition]:
    """All checks for these settings."""

    @asset_check(asset=assets["raw_archives"], name="every_day_published")
    def every_day_published(lake: LakeResource) -> AssetCheckResult:
        """Names the days of the range that the source never published."""
        place = lake.open()
        landed = [day for day in settings.day_keys if place.has("raw_archives", day)]
        absent = [day for day in landed if not place.manifest("raw_archives", day)["facts"]["published"]]
        return AssetCheckResult(
            passed=not absent,
            severity=AssetCheckSeverity.WARN,
            metadata={"days landed": len(landed), "days never published": absent},
        )

    @asset_check(asset=assets["clean_records"], name="every_typed_record_is_accounted_for")
    def every_typed_record_is_accounted_for(
        context: AssetCheckExecutionContext, lake: LakeResource
    ) -> AssetCheckResult:
        """Clean rows in = typed rows out, of each day of the run; of every day when nothing but this runs."""
        place = lake.open()
        # Other runs may not have come to their days yet.
        of_run = context.has_partition_key or context.has_partition_key_range
        wanted = set(context.partition_keys if of_run else settings.day_keys)
        days = [day for day in place.partitions("clean_records") if day in wanted]
        differing = differing_days(place, days)
        return AssetCheckResult(
            passed=not differing,
            description=f"of {len(days)} days, typed records are not those seen by cleaning on {differing or 'none'}",
            metadata={"days": len(days), "differing": differing},
        )

    @asset_check(asset=assets["daily_quality"], name="like_the_days_before")
    def like_the_days_before(lake: LakeResource) -> AssetCheckResult:
        """Names the measures of days that depart from the month behind them; `quality.departures` has the rule.

        Warns of the newest week only, so that an odd day is no warning for good; older ones stay in the table.
        """
        place = lake.open()
        days = sorted(set(place.partitions("daily_quality")) & set(settings.day_keys))
        quality = place.table("daily_quality", days)
        found = departures(quality, days=settings.quality_days, deviations=settings.quality_deviations)
        new = newest(found, quality)
        metadata: dict[str, MetadataValue] = {
            "days": MetadataValue.int(len(days)),
            "days that depart": MetadataValue.int(len({departure.day for departure in found})),
            f"of the newest {WARNED_DAYS} days": MetadataValue.int(len({departure.day for departure in new})),
        }
        if found:
            metadata["latest"] = MetadataValue.table([_departure_row(departure) for departure in found[:_SHOWN]])
        return AssetCheckResult(passed=not new, severity=AssetCheckSeverity.WARN, metadata=metadata)

    @asset_check(asset=assets["training_dataset"], name="nothing_lost_between_stages")
    def nothing_lost_between_stages(lake: LakeResource) -> AssetCheckResult:
        """Rows out of each stage are rows into the next, from the archives to the training samples."""
        place = lake.open()
        samples = sum(shard["samples"] for shard in place.json("training_dataset")["shards"])
        counts = conservation(place, samples, settings)
        pairs = [(f"{a} to {b}", counts[a], counts[b]) for a, b, _ in CONSERVED]
        lost = [f"{name}: {left:,} ≠ {right:,}" for name, left, right in pairs if left != right]
        return AssetCheckResult(
            passed=not lost,
            description="; ".join(lost) or "all rows are accounted for",
            metadata={
                name: f"{left:,} = {right:,}" if left == right else f"{left:,} ≠ {right:,}"
                for name, left, right in pairs
            },
        )

    @asset_check(asset=assets["training_dataset"], name="no_vessel_in_both_splits")
    def no_vessel_in_both_splits(lake: LakeResource) -> AssetCheckResult:
        """No MMSI has windows in training and in validation, as they were delivered."""
        vessels = shared_vessels(lake.open(), settings)
        return AssetCheckResult(
            passed=not vessels,
            description=f"{len(vessels)} vessels are in training and in validation: {vessels[:_MMSIS_SHOWN]}",
            metadata={"vessels in both": vessels[:_MMSIS_SHOWN]},
        )

    @asset_check(asset=assets["training_dataset"], name="every_window_that_tracks_hold")
    def every_window_that_tracks_hold(lake: LakeResource) -> AssetCheckResult:
        """Windows = the sum over tracks of ⌊(positions − window) / stride⌋ + 1, counted anew from the tracks."""
        place = lake.open()
        expected, found = expected_windows(place, settings), accounts(place, settings)["window_piles"].rows_in
        return AssetCheckResult(
            passed=expected == found,
            description=f"the tracks hold {expected:,} windows, window_piles found {found:,}",
            metadata={"expected": expected, "found": found},
        )

    return [
        every_day_published,
        every_typed_record_is_accounted_for,
        like_the_days_before,
        nothing_lost_between_stages,
        no_vessel_in_both_splits,
        every_window_that_tracks_hold,
        same_windows_check(settings, assets["training_dataset"]),
    ]


_SHOWN = 50
"""Departures in the UI."""
_MMSIS_SHOWN = 100


def _departure_row(departure: Departure) -> TableRecord:
    return TableRecord(
        {
            "day": departure.day.isoformat(),
            "measure": departure.measure,
            "value": departure.value,
            "usual": departure.usual,
            "allowed either way": departure.allowed,
        }
    )


def shared_vessels(lake: Lake, settings: Settings) -> list[int]:
    """MMSIs with windows both in a training pile and in validation; of the windows only this column is read."""
    delivered = {
        "training": lake.dataset("materialized_windows", settings.pile_keys),
        "validation": lake.dataset("validation"),
    }
    rows = lake.sql_over(
        delivered, "select mmsi from training intersect select mmsi from validation order by mmsi"
    ).fetchall()
    return [mmsi for (mmsi,) in rows]


def expected_windows(lake: Lake, settings: Settings) -> int:
    """⌊(n − window) / stride⌋ + 1 summed over tracks of n ≥ window positions, by SQL over the track shards."""
    tracks = lake.dataset("track_shards", settings.shard_keys)
    window, stride = settings.window_len, settings.stride
    (count,) = lake.sql_over(
        {"track_shards": tracks},
        f"select coalesce(sum((n - {window}) // {stride} + 1), 0)::bigint from "
        f"(select count(*) as n from track_shards group by track) where n >= {window}",
    ).fetchall()[0]
    return count
