"""Describes a dataset as it is published: gathers what the card says, draws the figures, and stores them beside it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from ais_assets.io.lake import Lake
from ais_assets.io.layout import place_of
from ais_assets.io.provenance import WHOLE, read_record
from ais_assets.ledger import Ledger
from ais_assets.loader.tracks.track_index import TRACKS_FOLDER
from ais_assets.publishing.accounts import funnel, tracked_days
from ais_assets.publishing.card import (
    Archive,
    CardFacts,
    card_html,
    card_markdown,
    card_page,
)
from ais_assets.publishing.code_version import code_version
from ais_assets.publishing.croissant import croissant
from ais_assets.publishing.dataset import TrainingDataset
from ais_assets.publishing.days import days_of
from ais_assets.publishing.figure_data import (
    DailyCounts,
    Positions,
    TrackFacts,
    VesselFacts,
    daily_counts,
    positions_of_day,
    positions_of_tracks,
    range_of_time,
    sample_windows,
    stored_order,
    track_facts,
    vessel_facts,
)
from ais_assets.publishing.figures.days import dropped_by_day, hours_by_day, volume_by_day
from ais_assets.publishing.figures.forecast import error_by_horizon
from ais_assets.publishing.figures.funnel import funnel as funnel_picture
from ais_assets.publishing.figures.maps import box_of, traffic_density
from ais_assets.publishing.figures.maps import sample_windows as sample_picture
from ais_assets.publishing.figures.picture import Picture
from ais_assets.publishing.figures.spans import lengths_and_durations, reporting_intervals
from ais_assets.publishing.figures.vessels import types_and_flags
from ais_assets.publishing.figures.windows import feature_distributions, shuffle_evidence
from ais_assets.publishing.publication import CARD_FILE, CROISSANT_FILE, PAGE_FILE, Publication
from ais_assets.publishing.terms import terms_of
from ais_assets.settings import Settings

BASELINE: Final = "dead_reckoning"


def describe_dataset(
    lake: Lake, settings: Settings, dataset: TrainingDataset, stages: Mapping[str, Ledger]
) -> CardFacts:
    """All that the card says, with its pictures drawn.

    Args:
        lake: where everything is.
        settings: of the deployment.
        dataset: as it is about to be published.
        stages: the account of each stage.
    """
    tracked = tracked_days(lake, settings)
    positions = positions_of_tracks(lake, settings)
    tracks, vessels, days = track_facts(lake, settings), vessel_facts(lake), daily_counts(lake, settings.days, tracked)
    steps = funnel(lake, settings, stages)
    report = baseline_report(lake, settings)
    named = _days_by_state(lake, settings, tracked)
    pictures = [
        *_of_positions(positions, tracks, settings),
        *pictures_of_days(days),
        *pictures_of_vessels(vessels),
        *_of_windows(lake, settings),
        reporting_intervals(dataset.tracks_dt_seconds["edges"], dataset.tracks_dt_seconds["counts"]),
        funnel_picture(steps),
        *([error_by_horizon(report)] if report is not None else []),
    ]
    return CardFacts(
        dataset=dataset,
        settings=settings,
        funnel=steps,
        days=days_of(lake, settings, tracked),
        terms=terms_of(settings),
        code=code_version(),
        empty=named.empty,
        unpublished=named.unpublished,
        not_made=named.not_made,
        archives=list(_archives(lake, tracked)),
        tracks=tracks,
        vessels=vessels,
        box=box_of(positions.lat, positions.lon) if len(positions.lat) else None,
        pictures={picture.name: picture for picture in pictures},
        baseline=report,
    )


def publish_description(publication: Publication, facts: CardFacts) -> None:
    """Stores pictures, card and what describes the tables to machines; nothing of it is the commit point.

    Raises OvertakenError as `Publication.replace` does.
    """
    for name, picture in facts.pictures.items():
        publication.lake.store.publish_bytes(picture.png, facts.picture_file(name))
    publication.replace(card_html(facts).encode(), PAGE_FILE)
    publication.replace(card_page(facts).encode(), CARD_FILE)
    beside = card_markdown(facts, "..").encode()
    publication.replace(beside, f"{TRACKS_FOLDER}/{CARD_FILE}")
    publication.replace(croissant(facts), CROISSANT_FILE)
    if facts.dataset.mds is not None:
        publication.replace(beside, f"{place_of('mds_shards').folder}/{CARD_FILE}")


def map_of_day(lake: Lake, day: str) -> Iterator[Picture]:
    """Where ships were heard on a day, by its clean records; none of a day without."""
    lat, lon, every = positions_of_day(lake, day)
    if len(lat):
        yield traffic_density(lat, lon, of=day, every=every)


def pictures_of_days(days: DailyCounts) -> Iterator[Picture]:
    """How much there is of each day, what was dropped, and in which hours ships were heard."""
    if not days.days:
        return
    yield volume_by_day(days.days, days.rows, days.positions, days.vessels)
    yield dropped_by_day(days.days, days.dropped, days.rows)
    yield hours_by_day(days.days, days.by_hour)


def pictures_of_vessels(vessels: VesselFacts) -> Iterator[Picture]:
    """Who the vessels are."""
    if vessels.types:
        yield types_and_flags(vessels.types, vessels.flags)


def baseline_report(lake: Lake, settings: Settings) -> Mapping[str, Any] | None:
    """The report of the baselines; None where there is none of the validation windows that are there."""
    if "parquet" not in settings.window_formats or not lake.has(BASELINE) or not lake.has("validation"):
        return None
    made_from = (read_record(lake, BASELINE, WHOLE).made_from or {}).get("validation", {})
    if made_from.get(WHOLE) != read_record(lake, "validation", WHOLE).fingerprint:
        return None
    return lake.json(BASELINE)


def _of_positions(positions: Positions, tracks: TrackFacts | None, settings: Settings) -> Iterator[Picture]:
    of = f"{settings.first_day} to {settings.last_day}"
    yield traffic_density(positions.lat, positions.lon, of=of, every=positions.every)
    if tracks is not None:
        yield lengths_and_durations(
            tracks.hours, tracks.miles, positions.window_hours, positions.window_miles, every=positions.every
        )
    yield feature_distributions(positions.by_split(), every=positions.every)


def _of_windows(lake: Lake, settings: Settings) -> Iterator[Picture]:
    samples = sample_windows(lake, settings)
    yield sample_picture(samples.features, samples.labels, seq_len=settings.seq_len, of=samples.chosen)
    if "parquet" in settings.window_formats:
        order = stored_order(lake, settings)
        yield shuffle_evidence(order.starts, order.vessels, *range_of_time(settings))


@dataclass(frozen=True)
class _Named:
    empty: list[str]
    unpublished: list[str]
    not_made: list[str]


def _days_by_state(lake: Lake, settings: Settings, tracked: Sequence[str]) -> _Named:
    """The days of the range of which there is nothing, by name."""
    landed = set(lake.partitions("raw_archives"))
    named = _Named([], [], [])
    for day in settings.day_keys:
        if day in landed and not lake.manifest("raw_archives", day)["facts"].get("published", True):
            named.unpublished.append(day)
        elif day not in tracked:
            named.not_made.append(day)
        elif not lake.ledger("clean_records", day).rows_out:
            named.empty.append(day)
    return named


def _archives(lake: Lake, days: Sequence[str]) -> Iterator[Archive]:
    for day in days:
        if lake.has("raw_archives", day):
            for file in lake.manifest("raw_archives", day)["facts"].get("files", []):
                yield Archive(day, file["file"], file["bytes"], file["sha256"])
