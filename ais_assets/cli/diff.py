"""`ais diff`: what differs between two releases."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import fields
from typing import Any, Final

import click
from rich.table import Table

from ais_assets.cli.terminal import failures, open_lake, settings_or_fail, terminal
from ais_assets.io.releases import found_release
from ais_assets.publishing.release_difference import Change, Difference, difference, vessels_of

_SHOWN: Final = 12
"""Days and vessels that are named."""


@click.command("diff")
@click.argument("before")
@click.argument("after", required=False)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object instead of a table.")
def command(*, before: str, after: str | None, as_json: bool) -> None:
    """What differs from release BEFORE to release AFTER (default: the current one), by ids or their beginnings.

    Days, vessels, settings, windows and tracks by split, rows and what each rule dropped, and the statistics of each
    feature. `ais releases` lists them.
    """
    settings = settings_or_fail()
    with failures():
        lake = open_lake(settings)
        releases = lake.releases()
        first, second = (found_release(releases, of, lake.uri).release for of in (before, after))
        vessels = vessels_of(lake.store, first.release), vessels_of(lake.store, second.release)
        found = difference(first, second, vessels)
    if as_json:
        click.echo(json.dumps({"before": first.release, "after": second.release, **_as_json(found)}, indent=1))
    elif found.is_none:
        click.echo(f"{first.release} and {second.release} are of the same data and settings")
    else:
        terminal().print(difference_table(found, first.release, second.release))


def difference_table(found: Difference, before: str, after: str) -> Table:
    """What differs, for people."""
    table = Table(title=f"From {before} to {after}", title_justify="left")
    table.add_column("what")
    for column in ("before", "after", "change"):
        table.add_column(column, justify="right")
    for name, rows in _sections(found).items():
        for number, (what, change) in enumerate(rows):
            label = f"{name}: {what}" if what else name
            cells = (_cell(change.before), _cell(change.after), _change(change))
            table.add_row(label, *cells, end_section=number == len(rows) - 1)
    return table


def _sections(found: Difference) -> dict[str, list[tuple[str, Change]]]:
    sections = {
        "days": list(_names({"added": found.days_added, "removed": found.days_removed, "changed": found.days_changed})),
        "vessels": list(_names({"added": found.vessels_added, "removed": found.vessels_removed})),
        "setting": list(found.settings.items()),
        "code": [("", found.code)] if found.code else [],
        "windows": list(found.windows.items()),
        "tracks": list(found.splits.items()),
        "rows out": list(found.rows.items()),
        "dropped": list(found.dropped.items()),
        "feature": list(found.features.items()),
    }
    return {name: rows for name, rows in sections.items() if rows}


def _names(of: Mapping[str, Sequence[object] | None]) -> Iterator[tuple[str, Change]]:
    """How many names, and the first of them."""
    for what, names in of.items():
        if names:
            more = f", … ({len(names):,})" if len(names) > _SHOWN else ""
            told = ", ".join(map(str, names[:_SHOWN])) + more
            yield what, Change(told, None) if what == "removed" else Change(None, told)


def _cell(value: object) -> str:
    if value is None:
        return ""
    if isinstance(value, float):
        return f"{value:.6g}"
    return f"{value:,}" if isinstance(value, int) and not isinstance(value, bool) else str(value)


def _change(change: Change) -> str:
    """By how much a number grew."""
    values = change.before, change.after
    if any(isinstance(value, bool) or not isinstance(value, int | float) for value in values):
        return ""
    grown = change.after - change.before
    share = f" ({grown / abs(change.before):+.1%})" if change.before else ""
    return f"{grown:+,}{share}" if isinstance(grown, int) else f"{grown:+.4g}"


def _as_json(found: Difference) -> dict[str, Any]:
    """Changes as objects with `before` and `after`."""

    def told(value: Any) -> Any:
        if isinstance(value, Change):
            return value._asdict()
        return {name: told(change) for name, change in value.items()} if isinstance(value, Mapping) else value

    return {of.name: told(getattr(found, of.name)) for of in fields(found)}
