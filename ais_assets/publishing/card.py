"""The dataset's card: what the samples are, where they came from, what they are good for, and how to read them.

It answers the questions of Datasheets for Datasets (Gebru et al., Communications of the ACM 64, 2021) as far as data
can know: what is in it, how it was collected and cleaned, what it may be used for, under whose terms, and its limits.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, timedelta
from itertools import pairwise
from typing import Any, Final

from ais_assets import schema
from ais_assets.io.layout import FIGURES_FOLDER
from ais_assets.ledger import Ledger
from ais_assets.publishing.dataset import PublishedMds, TrainingDataset
from ais_assets.publishing.days import Days
from ais_assets.publishing.figure_data import SplitCounts, TrackFacts, VesselFacts
from ais_assets.publishing.figures.maps import Box
from ais_assets.publishing.figures.picture import Picture, words
from ais_assets.publishing.page import (
    Block,
    Code,
    Folded,
    Heading,
    Image,
    Inline,
    Items,
    Link,
    Paragraph,
    Rows,
    Snippet,
    Strong,
    Words,
    to_html,
    to_markdown,
)
from ais_assets.publishing.rules import meaning
from ais_assets.publishing.terms import Terms
from ais_assets.settings import OF_THE_MACHINE, WINDOW_FORMATS, Settings
from ais_assets.settings.identities import Identities
from ais_assets.settings.settings import in_force
from ais_assets.transforms.durations import QUANTILES

_SHOWN_DAYS: Final = 31
_SHOWN_ARCHIVES: Final = 12
_SAMPLES_OF_SIZE: Final = (
    (10**3, "n<1K"),
    (10**4, "1K<n<10K"),
    (10**5, "10K<n<100K"),
    (10**6, "100K<n<1M"),
    (10**7, "1M<n<10M"),
    (10**8, "10M<n<100M"),
    (10**9, "100M<n<1B"),
    (10**10, "1B<n<10B"),
)
"""Hugging Face's names of sizes, by what they are below of."""
_ABSENT: Final = {
    "parquet": "windows as Parquet, with the files of the splits apart, and the baseline",
    "mds": "windows as MDS shards, with the statistics of windows",
}
"""What a dataset is without, by the format that is not asked for."""


USES: Final = (
    "For research and development: forecasting ships' tracks, finding unusual ones, representation learning on "
    "movement, and measuring data pipelines."
)
NO_USES: Final = (
    "Not for navigation or collision avoidance, not as evidence against a ship or a person, and not for following "
    "individuals."
)
BIASES: Final = (
    "Who is heard, and how often, depends on stations and on the class of transponder: large ships near coasts are "
    "heard best, small craft need no transponder, and a model learns that, too."
)
IMPUTATION: Final = (
    "Speed and course that were not received are filled in, and marked in track_shards (sog_held, cog_held); the "
    "windows' features do not carry the marks."
)
LIMITS: Final = (
    "AIS says what transponders send: switched off, mistyped, jammed and forged reports are in the source. Cleaning "
    "drops what cannot be; a plausible lie stays.",
    BIASES,
    "Many windows are of ships that hardly move; weigh or choose them by speed where that matters.",
    "A window is a number of positions, not a time: it lasts minutes for one ship and hours for another. Compare "
    "forecasts at horizons of time.",
    IMPUTATION,
)
_LAW: Final = "Rights of persons under the law that applies to you, such as the GDPR, are yours to heed."
_HANDED_ON: Final = (
    "Flag, type, sizes and times are the source's. This does not hold of raw_archives and raw_records, which have what "
    "the source says and are not to be handed on. A track alone can tell a ship to whoever has AIS of that time, or "
    "sees where she lies."
)
PRIVACY: Final[Mapping[Identities, str]] = {
    "keep": "Ships are named: the MMSI is in every file, and vessels has names and call signs. Of a pleasure craft "
    "these can lead to her owner, a person, whose whereabouts her track then is. Identities are neither hashed nor "
    f"left out (AIS_IDENTITIES=keep). {_LAW}",
    "hash": "Identities are hashed (AIS_IDENTITIES=hash): numbers under a secret that is not in this dataset stand for "
    "MMSIs, and hashes under it for names, call signs and IMO numbers; whoever has the secret can lead numbers back. "
    f"{_HANDED_ON} {_LAW}",
    "drop": "Identities are left out (AIS_IDENTITIES=drop): there are no names, call signs and IMO numbers, and "
    "numbers under a secret that is not in this dataset stand for MMSIs, so that ships are told apart; once the secret "
    f"is thrown away, nobody can lead them back. {_HANDED_ON} {_LAW}",
}
"""By what AIS_IDENTITIES says."""


@dataclass(frozen=True)
class Archive:
    """A file of the source, as it was landed."""

    day: str
    file: str
    size: int
    sha256: str


@dataclass(frozen=True)
class CardFacts:
    """All that a card is made of.

    Attributes:
        dataset: as it is published.
        settings: of the deployment.
        funnel: the account of each stage, by what it counts, in order.
        days: of the range, by what there is of them.
        empty: days that were published and have no clean record.
        unpublished: days that the source never had.
        not_made: days that are not in this dataset for other reasons.
        terms: of the source's data.
        archives: the source's files.
        code: which code made it.
        tracks: what the table of tracks says; None where it is not of these tracks.
        vessels: who they are.
        box: where their positions are; None without any.
        pictures: by name.
        baseline: the report of `dead_reckoning`; None where there is none of these windows.
    """

    dataset: TrainingDataset
    settings: Settings
    funnel: Mapping[str, Ledger]
    days: Days
    terms: Terms
    code: str
    empty: Sequence[str] = ()
    unpublished: Sequence[str] = ()
    not_made: Sequence[str] = ()
    archives: Sequence[Archive] = ()
    tracks: TrackFacts | None = None
    vessels: VesselFacts = field(default_factory=VesselFacts)
    box: Box | None = None
    pictures: Mapping[str, Picture] = field(default_factory=dict)
    baseline: Mapping[str, Any] | None = None

    @property
    def simulated(self) -> bool:
        """Whether no ship of it exists."""
        return self.settings.source == "simulated"

    @property
    def title(self) -> str:
        """A line that says what it is, and whether it is of real ships."""
        return "AIS trajectory windows, simulated" if self.simulated else "AIS trajectory windows of real ships"

    @property
    def training_windows(self) -> int:
        """Windows to train on: on disk, or that the tracks hold."""
        if self.dataset.mds is not None:
            return self.dataset.mds.samples
        windows = self.funnel.get("windows that the tracks hold")
        if windows is not None:
            return windows.notes.get("windows_training", 0)
        return 0 if self.tracks is None else self.tracks.splits.get("train", SplitCounts()).windows

    def picture_file(self, name: str) -> str:
        """Where a picture is, relative to the root of the dataset."""
        return f"{FIGURES_FOLDER}/{self.dataset.release}/{name}.png"


def card_markdown(facts: CardFacts, root: str = ".", *, pictures: bool = True) -> str:
    """The card as Markdown; `root` is the root of the dataset as seen from it."""
    return to_markdown(_card(facts), root, pictures=pictures)


def card_page(facts: CardFacts) -> str:
    """The card for the root of the dataset: below the header by which Hugging Face's hub knows licence and files."""
    return f"{hub_header(facts)}\n{card_markdown(facts)}"


def card_html(facts: CardFacts) -> str:
    """The card as one HTML file that needs no other, and no network."""
    return to_html(facts.title, _card(facts))


def hub_header(facts: CardFacts) -> str:
    """The YAML header of Hugging Face's hub: licence, size, tags, and which files a configuration reads.

    JSON is YAML, so that no value of the source's can mean anything else in it.
    """
    header: dict[str, Any] = {
        "pretty_name": facts.title,
        "license": facts.terms.hub_licence,
        **({"license_name": facts.terms.licence} if facts.terms.hub_licence == "other" else {}),
        **({"license_link": facts.terms.link} if facts.terms.hub_licence == "other" and facts.terms.link else {}),
        "size_categories": [_size_category(facts.training_windows)],
        "task_categories": ["time-series-forecasting"],
        "tags": ["AIS", "vessel trajectories", "maritime", "geospatial", *(["synthetic"] if facts.simulated else [])],
        "configs": hub_configs(facts.dataset),
    }
    lines = [f"{name}: {json.dumps(value, ensure_ascii=False)}" for name, value in header.items()]
    return "\n".join(["---", *lines, "---"])


def hub_configs(dataset: TrainingDataset) -> list[dict[str, Any]]:
    """What `datasets.load_dataset` can open, by name: windows, tracks, positions of tracks, clean records, vessels.

    What is not split is called train, as the hub calls what has but one part. A split without windows is left out, as
    `datasets` does not read empty files.
    """
    configs = []
    if dataset.windows_apart:
        there = [split for split, windows in dataset.windows_apart.items() if windows]
        apart = [{"split": split, "path": f"materialized/{split}.parquet"} for split in there]
        files = [{"split": "train", "path": "materialized/windows/*.parquet"}, *apart]
        configs.append({"config_name": "windows", "default": True, "data_files": files})
    for name, path in (
        ("tracks", "tracks/*.parquet"),
        ("track_positions", "track_shards/*.parquet"),
        ("records", "clean_records/*.parquet"),
        ("vessels", "vessels/vessels.parquet"),
    ):
        configs.append({"config_name": name, "data_files": [{"split": "train", "path": path}]})
    return configs


def _size_category(samples: int) -> str:
    return next((name for most, name in _SAMPLES_OF_SIZE if samples < most), "n>1T")


def _card(facts: CardFacts) -> list[Block]:
    return [
        *_what(facts),
        *_sample(facts),
        *_independent(facts),
        *_where(facts),
        *_who(facts),
        *_when(facts),
        *_how_often(facts),
        *_rows(facts),
        *_protocol(facts),
        *_statistics(facts),
        *_baseline(facts),
        *_uses(facts),
        *_privacy(facts),
        *_terms(facts),
        *_making(facts),
        *_reading(facts),
        *_contact(facts),
    ]


def _picture(facts: CardFacts, name: str) -> list[Block]:
    """The picture of that name, if it was drawn."""
    return [Image(facts.pictures[name], facts.picture_file(name))] if name in facts.pictures else []


def _what(facts: CardFacts) -> list[Block]:
    settings, dataset = facts.settings, facts.dataset
    first: Inline = (
        Strong("Simulated: no ship, voyage or position in it is real.")
        if facts.simulated
        else Strong(f"Real ships, as heard by the stations of {facts.terms.publisher}.")
    )
    rows: list[tuple[str, Words]] = [
        ("release", Code(dataset.release)),
        ("source", [Code(settings.source), f", {settings.first_day} to {settings.last_day}: {facts.days}"]),
        ("training windows", f"{facts.training_windows:,} of {settings.window_len} positions"),
        ("positions in tracks", f"{dataset.positions:,}"),
    ]
    if facts.box is not None:
        rows.append(("area", str(facts.box)))
    rows += [("licence", _licence(facts.terms)), ("made by", f"ais_assets {facts.code}")]
    return [
        Heading(facts.title, 1),
        Paragraph([first, " Windows of tracks of ships, to train models that forecast where ships go."]),
        Rows(("", ""), [(Strong(name), value) for name, value in rows]),
        Items(_formats(facts)),
        *_picture(facts, "traffic_density"),
    ]


def _formats(facts: CardFacts) -> list[Words]:
    """What there is of the dataset, an item each, and what was left out."""
    dataset, settings = facts.dataset, facts.settings
    items: list[Words] = [
        [f"{dataset.positions:,} positions in ", Code("track_shards"), ", from which windows are cut while training."]
    ]
    if dataset.mds is not None:
        mds = dataset.mds
        items.append(
            [
                f"{mds.samples:,} training windows in {mds.shards:,} MDS shards ({mds.size:,} bytes) in ",
                *(Code("mds"), ", whose ", Code("statistics.json"), " and this page belong to the "),
                *(Code("index.json"), " there whose sha256 is ", Code(mds.statistics["index"]), "."),
            ]
        )
    if dataset.windows_apart:
        apart: list[Inline] = []
        for split, windows in dataset.windows_apart.items():
            apart += [f", {windows:,} {split} windows in ", Code(f"materialized/{split}.parquet")]
        items.append(["As Parquet: training windows in ", Code("materialized/windows"), *apart, "."])
    absent = [_ABSENT[name] for name in WINDOW_FORMATS if name not in settings.window_formats]
    if absent:
        items.append(f"Left out, as AIS_WINDOW_FORMATS has it: {'; '.join(absent)}.")
    return items


def _sample(facts: CardFacts) -> list[Block]:
    settings = facts.settings
    columns = [
        (str(place), Code(feature.name), feature.unit, f"{feature.low:g} to {feature.high:g}", feature.description)
        for place, feature in enumerate(schema.FEATURES)
    ]
    return [
        Heading("What a sample is"),
        Paragraph(
            f"{settings.window_len} consecutive positions of one track ({settings.seq_len} to see, "
            f"{settings.max_horizon} to forecast), a new one every {settings.stride} positions; a silence over "
            f"{settings.max_gap_seconds:,} s ends a track."
        ),
        *_picture(facts, "sample_windows"),
        Paragraph(
            [
                Code("features"),
                f": {settings.window_len} × {schema.FEATURE_COUNT} float32, little-endian, position by position:",
            ]
        ),
        Rows(("column", "name", "unit", "range", ""), columns, right=(0,)),
        Paragraph(
            [
                *("Beside it ", Code("mmsi"), ", ", Code("track"), " (mmsi × 2^32 + Unix time of the track's first "),
                *("position) and ", Code("start"), " (Unix time of the window's first position)."),
            ]
        ),
    ]


def _independent(facts: CardFacts) -> list[Block]:
    """How much of it is data of its own, which is less than there are windows."""
    settings = facts.settings
    overlap = max(0, settings.window_len - settings.stride)
    positions = next((account for name, account in facts.funnel.items() if name == "positions of tracks"), None)
    blocks: list[Block] = [
        Heading("How much independent data"),
        Paragraph(
            f"Neighbouring windows of a track share {overlap} of their {settings.window_len} positions, so windows are "
            "no independent samples: as many windows without a position in common would be the effective number below. "
            "And windows of one vessel are alike; what generalises to other ships is counted in vessels. Give "
            "confidence intervals by vessel."
        ),
    ]
    if facts.tracks is not None:
        rows = [
            (
                split,
                f"{of.vessels:,}",
                f"{of.tracks:,}",
                f"{of.positions:,}",
                f"{of.windows:,}",
                f"{of.independent:,.0f}",
                f"{of.windows / of.independent:.1f}" if of.independent else "–",
            )
            for split, of in facts.tracks.splits.items()
        ]
        names = ("split of vessels", "vessels", "tracks", "positions", "windows", "effective number", "windows over it")
        blocks.append(Rows(names, rows, right=range(1, len(names))))
        if settings.holdout_from is not None:
            blocks.append(
                Paragraph(f"Windows from {settings.holdout_from} on, of every vessel, are among these but held out.")
            )
    elif positions is not None:
        effective = positions.rows_out / settings.window_len
        blocks.append(Paragraph(f"Over all splits the effective number is {effective:,.0f}."))
    return [*blocks, *_picture(facts, "lengths_and_durations")]


def _where(facts: CardFacts) -> list[Block]:
    if facts.box is None:
        return []
    return [
        Heading("Where"),
        Paragraph(
            f"Positions lie within {facts.box} (WGS 84); where they are dense, the first map shows. Ships are heard as "
            "far as stations reach, so an empty sea on the map may be one that nobody listens to."
        ),
    ]


def _who(facts: CardFacts) -> list[Block]:
    vessels = facts.vessels
    if not vessels.types:
        return []
    classes: dict[str, int] = {}
    for of in vessels.types.values():
        for kind, count in of.items():
            classes[kind] = classes.get(kind, 0) + count
    told = ", ".join(f"{kind} {count:,}" for kind, count in sorted(classes.items(), key=lambda of: (-of[1], of[0])))
    return [
        Heading("Who"),
        Paragraph(
            f"{sum(classes.values()):,} vessels (MMSI) with any record; class of transponder: {told}. Types are in the "
            "source's own words, as the crews typed them; small craft need no transponder, so leisure boats and small "
            "fishing boats are rarer here than at sea."
        ),
        *_picture(facts, "types_and_flags"),
    ]


def _when(facts: CardFacts) -> list[Block]:
    settings = facts.settings
    blocks: list[Block] = [
        Heading("When"),
        Paragraph(f"{settings.first_day} to {settings.last_day}, UTC: {facts.days}."),
    ]
    items: list[Words] = [
        f"{what}: {_days_shown(days)}"
        for what, days in (
            ("never published by the source", facts.unpublished),
            ("published, without a clean position", facts.empty),
            ("not in this dataset", facts.not_made),
        )
        if days
    ]
    if items:
        blocks.append(Items(items))
    return [*blocks, *_picture(facts, "volume_by_day"), *_picture(facts, "hours_by_day")]


def _days_shown(days: Sequence[str]) -> str:
    """Days by name, runs of them as a range; of many the first."""
    runs: list[list[str]] = []
    for day in sorted(days):
        if runs and date.fromisoformat(day) - date.fromisoformat(runs[-1][-1]) == timedelta(days=1):
            runs[-1].append(day)
        else:
            runs.append([day])
    shown = [run[0] if len(run) == 1 else f"{run[0]} to {run[-1]}" for run in runs[:_SHOWN_DAYS]]
    more = sum(len(run) for run in runs[_SHOWN_DAYS:])
    return ", ".join(shown) + (f" and {more:,} more" if more else "")


def _how_often(facts: CardFacts) -> list[Block]:
    intervals = facts.dataset.tracks_dt_seconds
    edges, counts = intervals["edges"], intervals["counts"]
    names = ["none: begins a track", *(f"{above + 1:,} to {most:,}" for above, most in pairwise(edges))]
    every = max(1, sum(counts))
    rows = [(name, f"{count:,}", f"{count / every:.2%}") for name, count in zip(names, counts, strict=True)]
    return [
        Heading("How often ships are heard"),
        Paragraph("The time since the track's previous position, over all tracks:"),
        Rows(("seconds", "positions", "share"), rows, right=(1, 2)),
        *_picture(facts, "reporting_intervals"),
    ]


def _rows(facts: CardFacts) -> list[Block]:
    rows = [
        (
            what,
            f"{account.rows_in:,}",
            f"{account.rows_out:,}",
            ", ".join(f"{rule} {rows:,}" for rule, rows in account.dropped.items() if rows) or "none",
        )
        for what, account in facts.funnel.items()
    ]
    dropped = {rule: rows for account in facts.funnel.values() for rule, rows in account.dropped.items() if rows}
    rules = [(Code(rule), meaning(rule)) for rule in dropped]
    return [
        Heading("Where the rows went"),
        Paragraph(
            "Every row of the source's files is a position of a track or was dropped by one rule; the sums agree."
        ),
        Rows(("what", "in", "out", "dropped by rule"), rows, right=(1, 2)),
        *_picture(facts, "funnel"),
        *([Rows(("rule", "what it means"), rules)] if rules else []),
        *_picture(facts, "dropped_by_day"),
    ]


def _protocol(facts: CardFacts) -> list[Block]:
    """How splits were made, and what became of looking for what they share."""
    settings = facts.settings
    fractions = {"validation": settings.validation_fraction, "test": settings.test_fraction}
    kept = " and ".join(f"{fraction:.3g} of the hulls for {split}" for split, fraction in fractions.items() if fraction)
    protocol: list[Words] = [
        f"Kept from training: {kept}, drawn by a hash with seed {settings.seed}."
        if kept
        else "All hulls are trained on.",
        "A hull, the vessels (MMSI) that share a verified IMO number, is in one split only, before windows are cut.",
    ]
    if settings.test_fraction:
        protocol.append("Choose models by validation; test is for the end.")
    if settings.holdout_from is not None:
        protocol.append(
            f"Time from {settings.holdout_from} on is held out: windows in it, of all vessels, are the split "
            '"holdout"; no other window reaches into it.'
        )
    audit: list[Words] = []
    if facts.tracks is not None:
        shared = facts.tracks.in_two_splits
        named = f": {', '.join(str(mmsi) for mmsi in shared[:10])}" if shared else ""
        audit.append(f"vessels (MMSI) with tracks in more than one split: {len(shared):,}{named}")
    if facts.vessels.types:
        audit.append(f"hulls in more than one split: {facts.vessels.hulls_in_two_splits:,}")
    audit.append(
        "A ship that changed her MMSI and showed no IMO number would count as two hulls; the check "
        "hulls_are_told_apart names what suggests so."
    )
    order: list[Block] = (
        [
            Paragraph(
                f"Windows on disk are in one global, uniformly random order (seed {settings.seed}, {settings.piles} "
                "piles): equal input and settings give the same order, byte by byte."
            ),
            *_picture(facts, "shuffle_evidence"),
        ]
        if settings.window_formats
        else []
    )
    return [
        Heading("Splits and order"),
        Items(protocol),
        Paragraph("What an audit of this release found:"),
        Items(audit),
        *order,
    ]


def _statistics(facts: CardFacts) -> list[Block]:
    mds = facts.dataset.mds
    blocks = _picture(facts, "feature_distributions") if mds is None else _of_windows(mds, facts)
    return [Heading("Statistics of the training windows"), *blocks] if blocks else []


def _of_windows(mds: PublishedMds, facts: CardFacts) -> list[Block]:
    features = [
        (Code(name), f"{of['count']:,}", *(f"{of[what]:.6g}" for what in ("min", "max", "mean", "std")))
        for name, of in mds.statistics["features"].items()
    ]
    durations = [
        (
            name,
            f"{of['positions']:,}",
            *(_duration(seconds) for seconds in (of["min"], *of["quantiles"].values(), of["max"])),
        )
        for name, of in mds.statistics["duration_seconds"].items()
    ]
    spread = ("", "positions", "min", *(f"{share:.0%}" for share in QUANTILES), "max")
    return [
        Rows(("feature", "values", "min", "max", "mean", "std"), features, right=range(1, 6)),
        *_picture(facts, "feature_distributions"),
        Heading("How long a window lasts", 3),
        Paragraph(
            "From the first of its positions to the last, of the part to see and of the whole, in "
            "hours:minutes:seconds, over all training windows; quantiles are at most 0.8 % too long. It follows from "
            "how often ships are heard."
        ),
        Rows(spread, durations, right=range(1, len(spread))),
    ]


def _baseline(facts: CardFacts) -> list[Block]:
    report = facts.baseline
    if report is None:
        return []
    rows = [
        (
            words(method),
            f"{float(minutes):g} min",
            f"{of['windows']:,}",
            f"{of['vessels']:,}",
            f"{of['mean']:.3g}",
            "–" if of["interval"] is None else f"{of['interval'][0]:.3g} to {of['interval'][1]:.3g}",
            f"{of['median']:.3g}",
            f"{of['p90']:.3g}",
        )
        for method, kinds in report.items()
        if isinstance(kinds, Mapping) and "moving" in kinds
        for minutes, of in sorted(kinds["moving"].items(), key=lambda of: float(of[0]))
        if of["mean"] is not None
    ]
    names = ("method", "ahead", "windows", "vessels", "mean", "95 % by vessel", "median", "p90")
    return [
        Heading("Baseline"),
        Paragraph(
            "What a model must beat: errors in nautical miles on the validation windows, of ships under way, at "
            "horizons of time. Horizons in a silence of over 15 minutes are not scored. All kinds of ships are in "
            "reports/dead_reckoning.json."
        ),
        Rows(names, rows, right=range(1, len(names))),
        *_picture(facts, "error_by_horizon"),
    ]


def _uses(facts: CardFacts) -> list[Block]:
    return [
        Heading("Intended use and limits"),
        Paragraph(f"{USES} {NO_USES}"),
        Items(limits(facts.simulated)),
    ]


def limits(simulated: bool) -> list[str]:
    """What the data cannot do."""
    made_up = (
        "It is simulated: good for trying out and for measuring speed; no result on it says anything of real ships."
    )
    return [*([made_up] if simulated else []), *LIMITS]


def _privacy(facts: CardFacts) -> list[Block]:
    return [Heading("Privacy"), Paragraph(privacy(facts.settings))]


def privacy(settings: Settings) -> str:
    """What it says of persons."""
    if settings.source == "simulated" and settings.identities == "keep":
        return "MMSIs and names are made up; any likeness is chance."
    return PRIVACY[settings.identities]


def _terms(facts: CardFacts) -> list[Block]:
    terms = facts.terms
    rows: list[tuple[Words, Words]] = [
        (Strong("publisher"), terms.publisher),
        (Strong("licence"), _licence(terms)),
        (Strong("to be said with it"), terms.attribution or "nothing that is known"),
    ]
    if terms.home:
        rows.append((Strong("published at"), Link(terms.home, terms.home)))
    note = "" if facts.simulated else " What was made of it here is under the source's terms, too."
    maps = "Land on maps: GSHHG shorelines (Wessel and Smith, 1996; LGPL)."
    return [
        Heading("Source, licence, attribution"),
        Rows(("", ""), rows),
        Paragraph(f"{maps}{note}"),
    ]


def _licence(terms: Terms) -> Inline:
    return Link(terms.licence, terms.link) if terms.link else terms.licence


def _making(facts: CardFacts) -> list[Block]:
    chosen = [
        (Code(variable.name), Code(variable.value) if variable.value else "none", variable.meaning)
        for variable in in_force(facts.settings)
        if variable.name.removeprefix("AIS_").lower() not in OF_THE_MACHINE
    ]
    archives = [(Code(of.day), Code(of.file), f"{of.size:,}", Code(of.sha256)) for of in facts.archives]
    names = ("day", "file", "bytes", "sha256")
    listed: list[Block] = [Rows(names, archives, right=(2,))] if archives else []
    if len(archives) > _SHOWN_ARCHIVES:
        listed = [Folded(f"The source's {len(archives):,} files and their digests", listed)]
    elif archives:
        listed = [Heading("The source's files", 3), *listed]
    return [
        Heading("How it was made"),
        Paragraph(
            [
                "Release ",
                Code(facts.dataset.release),
                ": a digest of all that this was made from, from the archives on, and of the settings; equal input and "
                f"settings give an equal one. Made by ais_assets {facts.code}.",
            ]
        ),
        Folded("Settings that it was made with", [Rows(("setting", "value", "what it means"), chosen)]),
        *listed,
    ]


def _reading(facts: CardFacts) -> list[Block]:
    window, features = facts.settings.window_len, schema.FEATURE_COUNT
    blocks: list[Block] = [
        Heading("Reading it"),
        Paragraph(["Here ", Code("dataset"), " is its root, a folder or an s3:// address in which track_shards lies."]),
        Snippet(
            f"""from ais_assets.io.streaming_loader import TrackWindowDataset

for batch in TrackWindowDataset(remote="dataset", local="tracks-cache", batch_size=64):
    ...  # (64, {window}, {features}) float32 torch.Tensor"""
        ),
    ]
    if facts.dataset.mds is not None:
        blocks += [
            Paragraph("or the windows on disk:"),
            Snippet(
                f"""from ais_assets.io.streaming_loader import AISMDSDataset

for batch in AISMDSDataset(remote="dataset/mds", local="mds-cache", batch_size=64):
    ...  # (64, {window}, {features}) float32 torch.Tensor"""
            ),
            Paragraph("or these with mosaicml-streaming alone:"),
            Snippet(
                f"""import numpy as np
from streaming import StreamingDataset

for sample in StreamingDataset(remote="dataset/mds", local="mds-cache", shuffle=True, batch_size=64):
    features = np.frombuffer(sample["features"], dtype=np.float32).reshape({window}, {features})"""
            ),
        ]
    if "parquet" in facts.settings.window_formats:
        blocks += [
            Paragraph("or with Hugging Face's datasets:"),
            Snippet(
                """from datasets import load_dataset

windows = load_dataset("dataset", "windows", split="train", streaming=True)"""
            ),
        ]
    stored = ", ".join(f"{of.column} is {name} × {of.steps:,}" for name, of in schema.STORED_AS.items())
    blocks.append(
        Paragraph(
            [
                "Any table, by any reader of Parquet: records and positions are stored as whole numbers, so that they "
                f"are exact ({stored}); divide, or let ",
                Code("ais_assets.io.lake.Lake"),
                " do so. Windows and the table of tracks are in degrees, knots, seconds and nautical miles. ",
                *(Code("croissant.json"), " describes the tables for machines (Croissant)."),
            ]
        )
    )
    return blocks


def _contact(facts: CardFacts) -> list[Block]:
    contact = facts.settings.contact
    year = facts.settings.last_day.year
    attribution = f" {facts.terms.attribution}" if facts.terms.attribution else ""
    return [
        Heading("Contact and citation"),
        Paragraph(
            contact if contact else "Whoever handed you this dataset; AIS_CONTACT, which was not set, would name them."
        ),
        Paragraph(
            f"Cite as: {facts.title}, {facts.settings.first_day} to {facts.settings.last_day}, release "
            f"{facts.dataset.release}, made by ais_assets {facts.code} ({year}).{attribution}"
        ),
    ]


def _duration(seconds: int) -> str:
    """Hours, minutes and seconds: 2:34:30."""
    return f"{seconds // 3_600}:{seconds // 60 % 60:02}:{seconds % 60:02}"
