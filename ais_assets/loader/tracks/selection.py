"""Windows chosen and weighed by SQL over their facts, evaluated once by DuckDB and kept in the cache."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from ais_assets.loader.errors import LoaderError
from ais_assets.loader.tracks.alias import alias_table
from ais_assets.loader.tracks.packed_tracks import PackedTracks
from ais_assets.loader.tracks.track_cache import TrackCache
from ais_assets.loader.tracks.window_facts import FACTS, facts_file, track_facts
from ais_assets.loader.tracks.window_plan import WindowPlan
from ais_assets.stream import sql_connection

if TYPE_CHECKING:
    import duckdb

MOST_GROUPS: Final = 10_000
_GROUPS: Final = b"groups"


class Weighing(NamedTuple):
    """How the chosen windows are drawn."""

    share: NDArray[np.float32]
    """(k,): how much of its place in the alias table is a window's own."""
    alias: NDArray[np.uint32]
    """(k,): whose the rest is."""
    group: NDArray[np.uint16]
    """(k,): the group of each window."""
    groups: tuple[str, ...]
    """Their names."""

    def asked(self) -> NDArray[np.float64]:
        """The share of all draws that the weights give each group: (groups,)."""
        own = np.bincount(self.group, self.share, len(self.groups))
        lent = np.bincount(self.group[self.alias], 1 - self.share, len(self.groups))
        return (own + lent) / len(self.share)


class Selection:
    """What `where`, `weights` and `groups` say of a plan's windows.

    Args:
        cache: of the tracks.
        tracks, plan, split: the windows to choose from.

    Raises ValueError for a wrong expression, with the columns that there are; LoaderError where the cache fails.
    """

    def __init__(self, cache: TrackCache, tracks: PackedTracks, plan: WindowPlan, split: str) -> None:
        self._cache = cache
        self._tracks = tracks
        self._plan = plan
        self._split = split

    def chosen(self, where: str) -> NDArray[np.int64]:
        """The windows for which the expression is true, in order, int64 (k,), mapped."""
        query = f"select window_number from facts where {_enclosed(where)} order by window_number"
        name = self._name("chosen", {"where": where})
        path = self._cache.derived(name, lambda path: _write(path, self._evaluated(query, "where", where)))
        return _mapped(path)["window_number"].to_numpy()

    def weighing(self, where: str | None, weights: str | Mapping[str, float], groups: str | None) -> Weighing:
        """How the windows are drawn that `where` leaves.

        Args:
            where: as `chosen`; None: all windows.
            weights: an expression for each window's weight, or by group the share of all draws that the group gets.
            groups: an expression for each window's group; None: windows of equal weight are a group.
        """
        asked = {"where": where, "weights": weights, "groups": groups}
        path = self._cache.derived(self._name("weights", asked), lambda path: _write(path, self._weighed(asked)))
        table = _mapped(path)
        share, alias, group = (table[name].to_numpy() for name in ("share", "alias", "group"))
        return Weighing(share, alias, group, tuple(json.loads(table.schema.metadata[_GROUPS])))

    def _weighed(self, asked: dict[str, Any]) -> pa.Table:
        where, weights, groups = asked["where"], asked["weights"], asked["groups"]
        by_group = not isinstance(weights, str)
        if by_group and groups is None:
            raise ValueError("weights are by group, so groups must say, as an SQL expression, what a window's group is")
        weight = "1.0" if by_group else f"({_enclosed(weights)})::double"
        of_group = f"({_enclosed(groups)})::varchar" if groups is not None else f"printf('%g', {weight})"
        condition = "true" if where is None else _enclosed(where)
        rows = self._evaluated(
            f"select {weight} as weight, coalesce({of_group}, 'null') as of_group from facts where {condition} "
            "order by window_number",
            "weights, groups or where",
            f"{weights}; {groups}; {where}",
        )
        labels = rows["of_group"].combine_chunks().dictionary_encode()
        found = labels.dictionary.to_pylist()
        codes = labels.indices.to_numpy().astype(np.uint16)
        if len(found) > MOST_GROUPS:
            if groups is not None:
                raise ValueError(f"groups={groups!r} gives {len(found):,} groups; there can be {MOST_GROUPS:,}")
            found, codes = ["all"], np.zeros(len(rows), np.uint16)
        each = _shared_out(weights, found, codes) if by_group else rows["weight"].to_numpy()
        _check_weights(each, asked)
        share, alias = alias_table(each)
        table = pa.table({"share": share, "alias": alias, "group": codes})
        return table.replace_schema_metadata({_GROUPS: json.dumps(found)})

    def _evaluated(self, query: str, option: str, expression: str) -> pa.Table:
        import duckdb  # noqa: PLC0415 - needed where windows are chosen, and nowhere else

        with sql_connection() as connection:
            self._register(connection)
            try:
                return connection.sql(query).to_arrow_table()
            except (duckdb.Error, UnicodeEncodeError) as error:
                columns = ", ".join(fact.name for fact in FACTS)
                why = " ".join(str(error).split("\n")[0].split())
                raise ValueError(
                    f"{option}={expression!r} is no expression over a window's facts: {why}. There are {columns}"
                ) from error

    def _register(self, connection: duckdb.DuckDBPyConnection) -> None:
        path = facts_file(self._cache, self._tracks, self._plan, self._split)
        connection.register("tracks", track_facts(self._tracks))
        connection.register("vessels", self._vessels())
        windows = f"read_parquet('{str(path).replace(chr(39), 2 * chr(39))}')"
        connection.execute(
            "create view facts as select w.* exclude (track_number), t.* exclude (track_number, mmsi), t.mmsi, "
            f"v.* exclude (mmsi) from {windows} w join tracks t on w.track_number = t.track_number "
            "left join vessels v on t.mmsi = v.mmsi"
        )

    def _vessels(self) -> pa.Table:
        try:
            return self._cache.read_vessels()
        except LoaderError:
            if self._cache.has_vessels():
                raise
            # Tracks of a lake that knows nothing of vessels can be chosen by all other facts.
            return pa.table({"mmsi": pa.array([], pa.int32())})

    def _name(self, what: str, asked: Mapping[str, Any]) -> str:
        key = json.dumps([self._plan.geometry.name, self._split, asked], sort_keys=True, default=dict)
        return f"{what}-{hashlib.sha256(key.encode()).hexdigest()[:16]}.arrow"


def _write(path: Path, table: pa.Table) -> None:
    """As one batch, which can be mapped."""
    with pa.ipc.new_file(str(path), table.schema) as file:
        file.write_table(table.combine_chunks(), max_chunksize=max(1, table.num_rows))


def _mapped(path: Path) -> pa.Table:
    return pa.ipc.open_file(pa.memory_map(str(path))).read_all()


def _enclosed(expression: str) -> str:
    """The expression in brackets, on lines of its own: a comment in it must not swallow what follows."""
    return f"(\n{expression}\n)"


def _shared_out(shares: Mapping[str, float], found: list[str], codes: NDArray[np.uint16]) -> NDArray[np.float64]:
    """Each window's weight, so that groups get these shares of all draws."""
    unknown = sorted(set(found) - set(shares))
    empty = sorted(name for name in set(shares) - set(found) if shares[name])
    if unknown or empty:
        raise ValueError(
            f"weights name {', '.join(shares)}; groups without a weight are {', '.join(unknown) or 'none'}, weights "
            f"without a window {', '.join(empty) or 'none'}"
        )
    counts = np.bincount(codes, minlength=len(found))
    return np.array([shares[name] for name in found], np.float64)[codes] / counts[codes]


def _check_weights(weights: NDArray[np.float64], asked: Mapping[str, Any]) -> None:
    if not np.isfinite(weights).all() or (weights < 0).any() or not weights.any():
        least = weights.min() if np.isfinite(weights).all() else "no number"
        raise ValueError(
            f"weights={asked['weights']!r} give a window {least}, or all of them 0: a weight is 0 or more, "
            "and some must be more; use coalesce(…, 0) where a fact may be null"
        )
