"""From local times to UTC: the offsets of a zone of the IANA's time zone database, and when each begins.

A local time that an offset's change skips is no time, and one that it repeats could be either of two: both are refused,
since an hour's error would put a ship miles from where she was.
"""

from __future__ import annotations

from datetime import UTC, date, datetime, time, timedelta
from functools import lru_cache
from typing import Final, NamedTuple
from zoneinfo import ZoneInfo

import numpy as np
from numpy.typing import NDArray

from ais_assets.sources.rows.compiled import compiled

NO_SUCH_LOCAL_TIME: Final = -3
"""A local time that a change of the zone's offset skips."""
AMBIGUOUS_LOCAL_TIME: Final = -4
"""A local time that a change of the zone's offset repeats."""

_FIRST_YEAR = 1970
_LAST_YEAR = 2100
_EVER = 2**62


class Zone(NamedTuple):
    """The offsets of a zone, in order of time.

    Attributes:
        starts: int64, seconds since 1970 UTC from which each holds; the first has held ever.
        offsets: int64, seconds ahead of UTC.
    """

    starts: NDArray[np.int64]
    offsets: NDArray[np.int64]


@lru_cache(maxsize=16)
def zone_of(name: str) -> Zone:
    """The zone of this name in the IANA's database, from 1970 to 2100. Raises ZoneInfoNotFoundError, a KeyError."""
    zone = ZoneInfo(name)
    begin = int(datetime(_FIRST_YEAR, 1, 1, tzinfo=UTC).timestamp())
    end = int(datetime(_LAST_YEAR, 1, 1, tzinfo=UTC).timestamp())
    starts, offsets = [-_EVER], [_offset(zone, begin)]
    for day in range(begin, end, 86_400):
        if _offset(zone, day + 86_400) == offsets[-1]:
            continue
        low, high = day, day + 86_400
        while high - low > 1:
            middle = (low + high) // 2
            low, high = (middle, high) if _offset(zone, middle) == offsets[-1] else (low, middle)
        starts.append(high)
        offsets.append(_offset(zone, high))
    return Zone(np.array(starts, np.int64), np.array(offsets, np.int64))


def _offset(zone: ZoneInfo, moment: int) -> int:
    ahead = datetime.fromtimestamp(moment, zone).utcoffset()
    return 0 if ahead is None else round(ahead.total_seconds())


@compiled
def to_utc(local, starts, offsets):
    """Seconds since 1970 UTC of seconds of local time; NO_SUCH_LOCAL_TIME or AMBIGUOUS_LOCAL_TIME where there is none.

    Args:
        local: seconds from 1970-01-01 00:00 by the zone's clocks.
        starts, offsets: of a Zone.
    """
    if offsets.size == 1:
        return local - offsets[0]
    found = NO_SUCH_LOCAL_TIME
    # An offset is less than a day.
    first = max(np.searchsorted(starts, local - 86_400, "right") - 1, 0)
    for k in range(first, min(first + 4, offsets.size)):
        moment = local - offsets[k]
        if moment >= starts[k] and (k + 1 == offsets.size or moment < starts[k + 1]):
            if found >= 0:
                return AMBIGUOUS_LOCAL_TIME
            found = moment
    return found


def utc_days(first: date, last: date, zone: str) -> tuple[datetime, datetime]:
    """When the day `first` begins and the day `last` ends by a zone's clocks, in UTC."""
    begin = datetime.combine(first, time(), ZoneInfo(zone))
    end = datetime.combine(last + timedelta(days=1), time(), ZoneInfo(zone))
    return begin.astimezone(UTC), end.astimezone(UTC)
