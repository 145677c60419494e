"""What still suggests that vessels of different splits are one ship, though the split took them for several.

The split goes by the latest verified IMO number (`split.hulls`). A ship that showed it once and something else since, a
number that too many show, one that is no IMO number, and an equal name and call sign are no proof; they are named, so
that people can judge.
"""

from __future__ import annotations

from typing import Final, NamedTuple

import pyarrow as pa

from ais_assets.stream import sql_connection
from ais_assets.transforms.split import MOST_OF_A_HULL

_MMSIS_NAMED: Final = 8

_QUERY: Final = f"""
with shown as (
    select mmsi, split, 'IMO number' as what, unnest(imos)::varchar as value from vessels
    union all
    select mmsi, split, 'no IMO number', unnest(invalid_imos)::varchar from vessels
    union all
    select mmsi, split, 'name and call sign', name || ', ' || callsign from vessels
    where name is not null and callsign is not null
)
select case
           when what <> 'IMO number' then what
           when count(distinct mmsi) > {MOST_OF_A_HULL} then 'IMO number of more than {MOST_OF_A_HULL} vessels'
           else 'IMO number that some have changed since'
       end as evidence,
       value, count(distinct mmsi) as vessels, list_sort(list(distinct split)) as splits,
       list_sort(list(distinct mmsi))[1:{_MMSIS_NAMED}] as some
from shown
group by what, value
having count(distinct split) > 1
order by evidence, vessels desc, value
"""


class DoubtfulHull(NamedTuple):
    """What vessels of different splits have in common."""

    evidence: str
    """What kind of thing it is."""
    value: str
    """The number, or name and call sign."""
    vessels: int
    """MMSIs that showed it."""
    splits: list[str]
    """That these are in."""
    some: list[int]
    """The least of these MMSIs."""


def doubtful_hulls(vessels: pa.Table) -> list[DoubtfulHull]:
    """All that vessels of different splits have in common, by the kind of evidence, that of most vessels first.

    `vessels` are `schema.VESSELS`.
    """
    with sql_connection() as connection:
        connection.register("vessels", vessels)
        return [DoubtfulHull(*row) for row in connection.sql(_QUERY).fetchall()]
