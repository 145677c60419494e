"""Asset checks: what must hold across stages. Each partition's own balance is enforced where it is stored."""

from collections.abc import Sequence

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

from ais_assets import schema
from ais_assets.assets.figures import figures
from ais_assets.assets.window_checks import same_windows_check
from ais_assets.io.lake import Lake
from ais_assets.publishing.accounts import accounts, counted_in_tracks, differing_days, handovers
from ais_assets.publishing.figure_data import daily_counts, recent_days
from ais_assets.resources.lake import LakeResource
from ais_assets.settings import WINDOW_FORMATS, Settings
from ais_assets.transforms.quality import WARNED_DAYS, Departure, departures, newest
from ais_assets.transforms.reports.row_rules import OTHER_DAY


def asset_checks(settings: Settings, assets: dict[str, AssetsDefinition]) -> list[AssetChecksDefinition]:
    """All checks for these settings."""

    @asset_check(asset=assets["raw_archives"], name="every_day_published")
    def every_day_published(context: AssetCheckExecutionContext, lake: LakeResource) -> AssetCheckResult:
        """Names the days of the run that the source never published; of every day when nothing but this runs."""
        place = lake.open()
        landed = _days_of_run(context, place, "raw_archives", settings)
        absent = [day for day in landed if not place.manifest("raw_archives", day)["facts"]["published"]]
        return AssetCheckResult(
            passed=not absent or settings.allow_lost_days,
            severity=AssetCheckSeverity.WARN,
            description=f"{len(absent)} of {len(landed)} days were never published: {_shown(absent)}"
            if absent
            else f"all {len(landed)} days are published",
            metadata={"days landed": len(landed), "days never published": absent},
        )

    @asset_check(asset=assets["raw_records"], name="most_rows_parse")
    def most_rows_parse(context: AssetCheckExecutionContext, lake: LakeResource) -> AssetCheckResult:
        """Names days of which more than AIS_MOST_LOST_SHARE of the rows were rejected."""
        place = lake.open()
        ledgers = {
            day: place.ledger("raw_records", day) for day in _days_of_run(context, place, "raw_records", settings)
        }
        shares = {day: of_day.rows_dropped / of_day.rows_in for day, of_day in ledgers.items() if of_day.rows_in}
        return _little_lost("rows rejected", shares, settings.most_lost_share)

    @asset_check(asset=assets["clean_records"], name="most_records_are_of_their_day")
    def most_records_are_of_their_day(context: AssetCheckExecutionContext, lake: LakeResource) -> AssetCheckResult:
        """Names days of which more than AIS_MOST_LOST_SHARE of the records are of another day."""
        place = lake.open()
        days = _days_of_run(context, place, "clean_records", settings)
        ledgers = {day: place.ledger("clean_records", day) for day in days}
        shares = {
            day: of_day.dropped.get(OTHER_DAY, 0) / of_day.rows_in for day, of_day in ledgers.items() if of_day.rows_in
        }
        return _little_lost("records of another day", shares, settings.most_lost_share)

    @asset_check(asset=assets["clean_records"], name="every_typed_record_is_accounted_for", blocking=True)
    def every_typed_record_is_accounted_for(
        context: AssetCheckExecutionContext, lake: LakeResource
    ) -> AssetCheckResult:
        """Clean rows in = typed rows out, of each day of the run; of every day when nothing but this runs."""
        place = lake.open()
        days = _days_of_run(context, place, "clean_records", settings)
        differing = differing_days(place, days)
        return AssetCheckResult(
            passed=not differing,
            description=f"typed records are not those seen by cleaning on {_shown(list(differing))}"
            if differing
            else f"cleaning has seen all typed records of {len(days)} days",
            metadata={"days": len(days), "differing": differing},
        )

    @asset_check(asset=assets["daily_quality"], name="like_the_days_before")
    def like_the_days_before(lake: LakeResource) -> AssetCheckResult:
        """Names the measures of days that depart from the month behind them; `quality.departures` has the rule.

        Warns of the newest week only, so that an odd day is no warning for good; older ones stay in the table. Figures
        show the last days of the lake, which Dagster's own plots, of the 120 days before today, may not reach.
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
        metadata |= _trends(place, days, settings)
        departing = sorted({departure.day.isoformat() for departure in new})
        return AssetCheckResult(
            passed=not new,
            severity=AssetCheckSeverity.WARN,
            description=f"unlike the days before: {_shown(departing)}"
            if departing
            else f"the newest days are like those before, of {len(days)}",
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
        shared = shared_hulls(lake.open(), settings)
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
        every_day_published,
        most_rows_parse,
        most_records_are_of_their_day,
        every_typed_record_is_accounted_for,
        like_the_days_before,
        nothing_lost_between_stages,
        no_hull_in_two_splits,
        *([every_window_that_tracks_hold] if settings.window_formats else []),
        *([same_windows_check(settings, assets["training_dataset"])] if len(settings.window_formats) > 1 else []),
    ]


def _days_of_run(context: AssetCheckExecutionContext, lake: Lake, asset: str, settings: Settings) -> list[str]:
    """The run's days that are there: other runs may not have come to theirs. All of them when only checks run."""
    of_run = context.has_partition_key or context.has_partition_key_range
    wanted = set(context.partition_keys if of_run else settings.day_keys)
    return [day for day in lake.partitions(asset) if day in wanted]


def _little_lost(what: str, shares: dict[str, float], most: float) -> AssetCheckResult:
    """Warns of the days that have a larger share of something than they may."""
    over = [day for day, share in shares.items() if share > most]
    largest = max(shares.values(), default=0.0)
    return AssetCheckResult(
        passed=not over,
        severity=AssetCheckSeverity.WARN,
        description=f"{what}: {', '.join(f'{day} {shares[day]:.0%}' for day in over[:_DAYS_SHOWN])}"
        + (f" and {len(over) - _DAYS_SHOWN} more days" if len(over) > _DAYS_SHOWN else "")
        if over
        else f"{what}: at most {largest:.0%} of a day",
        metadata={"days": len(shares), "largest share": largest, "days over it": over},
    )


def _shown(days: Sequence[str]) -> str:
    """The first of them by name."""
    more = f" and {len(days) - _DAYS_SHOWN} more" if len(days) > _DAYS_SHOWN else ""
    return ", ".join(days[:_DAYS_SHOWN]) + more


def _trends(lake: Lake, days: Sequence[str], settings: Settings) -> dict[str, MetadataValue]:
    """Figures of the last of these days, beside each other."""
    from ais_assets.publishing.describing import pictures_of_days  # noqa: PLC0415 - loads matplotlib

    return figures(pictures_of_days(daily_counts(lake, recent_days(settings, days, _DAYS_DRAWN))))


_DAYS_SHOWN = 10
_DAYS_DRAWN = 400
"""The last ones of the lake: a year and some more."""
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


def shared_hulls(lake: Lake, settings: Settings) -> list[int]:
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
