"""What differs between two releases of a dataset."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any, Final, NamedTuple

import pyarrow as pa

from ais_assets.io.layout import place_of
from ais_assets.io.releases import Release
from ais_assets.loader.tracks.track_index import TRACKS_FOLDER, TracksIndex
from ais_assets.store.objects import Store
from ais_assets.store.sealed_parquet import SealedFile

OF_FEATURES: Final = ("mean", "std", "min", "max")


class Change(NamedTuple):
    """A value in one release and in the other; None where it has none."""

    before: Any
    after: Any


@dataclass(frozen=True)
class Difference:
    """What differs from one release to another; whatever is the same in both is in none of these.

    Attributes:
        days_added: of which only the second has clean records.
        days_removed: of which only the first has.
        days_changed: whose clean records differ.
        vessels_added: MMSIs that only the second has records of; None where the vessels of either are there no more.
        vessels_removed: MMSIs that only the first has records of.
        settings: by name.
        code: versions of the code; None where they are the same.
        windows: by split.
        splits: vessels, tracks, positions and windows by split, as "train vessels".
        rows: that stages gave.
        dropped: by stage and rule, as "clean_records: exact_duplicate".
        features: of the training windows, as "sog mean".
    """

    days_added: tuple[str, ...]
    days_removed: tuple[str, ...]
    days_changed: tuple[str, ...]
    vessels_added: tuple[int, ...] | None
    vessels_removed: tuple[int, ...] | None
    settings: Mapping[str, Change]
    code: Change | None
    windows: Mapping[str, Change]
    splits: Mapping[str, Change]
    rows: Mapping[str, Change]
    dropped: Mapping[str, Change]
    features: Mapping[str, Change]

    @property
    def is_none(self) -> bool:
        """Whether the two are of the same data, made by the same settings."""
        return not any(getattr(self, of.name) for of in fields(self) if of.name != "code")


def difference(
    before: Release, after: Release, vessels: tuple[frozenset[int] | None, frozenset[int] | None] = (None, None)
) -> Difference:
    """From one release to another; `vessels` are the MMSIs of both, as far as they are known."""
    first, second = vessels
    added = removed = None
    if first is not None and second is not None:
        added, removed = tuple(sorted(second - first)), tuple(sorted(first - second))
    return Difference(
        days_added=tuple(sorted(after.days.keys() - before.days.keys())),
        days_removed=tuple(sorted(before.days.keys() - after.days.keys())),
        days_changed=tuple(
            sorted(day for day in before.days.keys() & after.days.keys() if before.days[day] != after.days[day])
        ),
        vessels_added=added,
        vessels_removed=removed,
        settings=_changes(before.settings, after.settings),
        code=None if before.code == after.code else Change(before.code, after.code),
        windows=_changes(before.windows, after.windows),
        splits=_changes(*(_flat(of.splits, "{} {}", ("vessels", "tracks", "positions")) for of in (before, after))),
        rows=_changes(*({stage: rows["out"] for stage, rows in of.rows.items()} for of in (before, after))),
        dropped=_changes(*(_flat(of.dropped, "{}: {}") for of in (before, after))),
        features=_changes(*(_flat(of.features, "{} {}", OF_FEATURES) for of in (before, after))),
    )


def vessels_of(store: Store, release: str) -> frozenset[int] | None:
    """MMSIs that a release has records of; None where its files are there no more, or it was published without."""
    key = place_of("training_dataset").key_of_release(release)
    try:
        index = TracksIndex.parsed(store.read(key), f"{store.uri}/{key}")
        if index.vessels is None:
            return None
        file = f"{TRACKS_FOLDER}/{index.vessels.name}"
        data = pa.BufferReader(store.read(file))
    except FileNotFoundError:
        return None
    with SealedFile(data, f"{store.uri}/{file}", "publish that release again") as table:
        return frozenset(table.read(columns=["mmsi"])["mmsi"].to_pylist())


def _changes(before: Mapping[str, Any], after: Mapping[str, Any]) -> dict[str, Change]:
    names = [*before, *(name for name in after if name not in before)]
    changes = {name: Change(before.get(name), after.get(name)) for name in names}
    return {name: change for name, change in changes.items() if change.before != change.after}


def _flat(of: Mapping[str, Mapping[str, Any]], form: str, only: tuple[str, ...] | None = None) -> dict[str, Any]:
    """Values within values by both their names."""
    return {
        form.format(outer, inner): value
        for outer, values in of.items()
        for inner, value in values.items()
        if only is None or inner in only
    }
