"""The dataset's card: what the samples are, where they came from and how to read them."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise
from typing import Final

from ais_assets import schema
from ais_assets.ledger import Ledger
from ais_assets.publishing.dataset import PublishedMds, TrainingDataset
from ais_assets.publishing.days import Days
from ais_assets.settings import WINDOW_FORMATS, Settings
from ais_assets.sources import FILE_SOURCES, source_class
from ais_assets.transforms.durations import QUANTILES


def dataset_card(dataset: TrainingDataset, funnel: Mapping[str, Ledger], days: Days, settings: Settings) -> str:
    """A Markdown page that says what the samples are, where they came from and how to read them."""
    window = settings.window_len
    features = "\n".join(
        f"| {position} | `{feature.name}` | {feature.unit} | {feature.low:g} to {feature.high:g} "
        f"| {feature.description} |"
        for position, feature in enumerate(schema.FEATURES)
    )
    flow = "\n".join(
        f"| {what} | {ledger.rows_in:,} | {ledger.rows_out:,} | "
        + (", ".join(f"{rule} {rows:,}" for rule, rows in ledger.dropped.items() if rows) or "none")
        + " |"
        for what, ledger in funnel.items()
    )
    order = (
        f" Windows on disk are in one global, uniformly\nrandom order (seed {settings.seed}, {settings.piles} piles)."
        if settings.window_formats
        else ""
    )
    return f"""# AIS trajectory windows

Windows of tracks, from the source `{settings.source}`, {settings.first_day} to {settings.last_day}: {days}.
{_splits(settings)}

{_formats(dataset, settings)}

Each sample is {window} consecutive positions of one track ({settings.seq_len} to see, {settings.max_horizon} to
forecast), a new one every {settings.stride} positions; a silence over {settings.max_gap_seconds:,} s ends a
track.{order}

Release `{dataset.release}`: a digest of all that this was made from, from the archives on, and of the settings; equal
input and settings give an equal one.

`features`: {window} × {schema.FEATURE_COUNT} float32, little-endian, position by position:

| column | name | unit | range | |
|--:|---|---|---|---|
{features}

Beside it `mmsi`, `track` (mmsi × 2^32 + Unix time of the track's first position) and `start` (Unix time of the
window's first position).

{source_terms(settings)}## Where the rows went

| what | in | out | dropped by rule |
|---|--:|--:|---|
{flow}

{"" if dataset.mds is None else _statistics(dataset.mds)}## How often ships are heard

The time since the track's previous position, over all tracks:

| seconds | positions | share |
|---|--:|--:|
{_interval_rows(dataset.tracks_dt_seconds)}

## Reading it

```python
from ais_assets.io.streaming_loader import TrackWindowDataset

for batch in TrackWindowDataset(remote="{dataset.uri}", local="tracks-cache", batch_size=64):
    ...  # (64, {window}, {schema.FEATURE_COUNT}) float32 torch.Tensor
```
{"" if dataset.mds is None else _reading_mds(dataset.mds, window)}"""


def source_terms(settings: Settings) -> str:
    """Who published what this was made from, under which terms, and the words that these ask for."""
    if settings.source not in FILE_SOURCES:
        return ""
    source = source_class(settings.source)
    said = f"\n\n> {source.attribution}" if source.attribution else ""
    return f"""## Source and terms

Made from AIS data published by {source.publisher or "whoever gave the files"}, under {source.licence}. The terms hold
for these samples too.{said}

"""


def _splits(settings: Settings) -> str:
    """What may be trained on, and what is kept from it."""
    fractions = {"validation": settings.validation_fraction, "test": settings.test_fraction}
    kept = " and ".join(f"{fraction:g} of the hulls for {split}" for split, fraction in fractions.items() if fraction)
    lines = [f"Kept from training: {kept}." if kept else "All hulls are trained on."]
    lines.append("A hull, the vessels (MMSI) that share a verified IMO number, is in one split only.")
    if settings.test_fraction:
        lines.append("Choose models by validation; test is for the end.")
    if settings.holdout_from is not None:
        lines.append(
            f"Time from {settings.holdout_from} on is held out: windows in it, of all vessels, are the split "
            '"holdout"; no other window reaches into it.'
        )
    return "\n".join(lines)


def _formats(dataset: TrainingDataset, settings: Settings) -> str:
    """What there is of the dataset, an item each, and what was left out."""
    items = [f"- {dataset.positions:,} positions in `../track_shards`, from which windows are cut while training."]
    if dataset.mds is not None:
        mds = dataset.mds
        items.append(
            f"- {mds.samples:,} training windows in {mds.shards:,} MDS shards ({mds.size:,} bytes) in `../mds`, whose "
            f"`statistics.json` and this page belong to the `index.json` there whose sha256 is "
            f"`{mds.statistics['index']}`."
        )
    if dataset.windows_apart:
        apart = [
            f"{windows:,} {split} windows in `../materialized/{split}.parquet`"
            for split, windows in dataset.windows_apart.items()
        ]
        items.append(f"- Training windows as Parquet in `../materialized/windows`; {', '.join(apart)}.")
    absent = [_ABSENT[name] for name in WINDOW_FORMATS if name not in settings.window_formats]
    if absent:
        items.append(f"- Left out, as AIS_WINDOW_FORMATS has it: {'; '.join(absent)}.")
    return "\n".join(items)


_ABSENT: Final = {
    "parquet": "windows as Parquet, with the files of validation and held-out windows, and the baseline dead_reckoning",
    "mds": "windows as MDS shards, with the statistics of windows",
}
"""What a dataset is without, by the format that is not asked for."""


def _statistics(mds: PublishedMds) -> str:
    """The two sections about the training windows."""
    features = "\n".join(
        f"| `{name}` | {values['count']:,} | {values['min']:.6g} | {values['max']:.6g} | {values['mean']:.6g} "
        f"| {values['std']:.6g} |"
        for name, values in mds.statistics["features"].items()
    )
    durations = "\n".join(
        f"| {name} | {values['positions']:,} | "
        + " | ".join(_duration(seconds) for seconds in (values["min"], *values["quantiles"].values(), values["max"]))
        + " |"
        for name, values in mds.statistics["duration_seconds"].items()
    )
    return f"""## Statistics of the training windows

| feature | values | min | max | mean | std |
|---|--:|--:|--:|--:|--:|
{features}

## How long a window lasts

From the first of its positions to the last, of the part to see and of the whole, in hours:minutes:seconds, over all
training windows; quantiles are at most 0.8 % too long. It follows from how often ships are heard.

| | positions | min | {" | ".join(f"{share:.0%}" for share in QUANTILES)} | max |
|---|--:|{"--:|" * (len(QUANTILES) + 2)}
{durations}

"""


def _reading_mds(mds: PublishedMds, window: int) -> str:
    """How to read the MDS shards."""
    return f"""
or the windows on disk:

```python
from ais_assets.io.streaming_loader import AISMDSDataset

for batch in AISMDSDataset(remote="{mds.uri}", local="mds-cache", batch_size=64):
    ...  # (64, {window}, {schema.FEATURE_COUNT}) float32 torch.Tensor
```

or these with mosaicml-streaming alone:

```python
from streaming import StreamingDataset

for sample in StreamingDataset(remote="{mds.uri}", local="mds-cache", shuffle=True, batch_size=64):
    features = np.frombuffer(sample["features"], dtype=np.float32).reshape({window}, {schema.FEATURE_COUNT})
```
"""


def _interval_rows(intervals: dict[str, list[int]]) -> str:
    """A row for each bin of `track_intervals`."""
    edges, counts = intervals["edges"], intervals["counts"]
    names = ["none: begins a track", *(f"{above + 1:,} to {most:,}" for above, most in pairwise(edges))]
    every = max(1, sum(counts))
    return "\n".join(f"| {name} | {count:,} | {count / every:.2%} |" for name, count in zip(names, counts, strict=True))


def _duration(seconds: int) -> str:
    """Hours, minutes and seconds: 2:34:30."""
    return f"{seconds // 3_600}:{seconds // 60 % 60:02}:{seconds % 60:02}"
