"""Who each vessel is: static data of many days merged into one row an MMSI."""

from __future__ import annotations

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.dataset as ds

from ais_assets import schema
from ais_assets.transforms.split import is_validation

FIRST_MID = 201
LAST_MID = 775
"""Maritime identification digits of flag states, the first three of a ship's MMSI (ITU-R M.585)."""

# The latest value wins; of two in the same second the greater one, so that the order of rows and the
# number of threads do not matter.
_LATEST = "arg_max({0}, {{t: t, value: {0}}}) filter (where {0} is not null) as {0}"

_QUERY = f"""
select mmsi,
       cast(mmsi // 1000000 as smallint) as flag,
       {_LATEST.format("imo")},
       {_LATEST.format("callsign")},
       {_LATEST.format("name")},
       {_LATEST.format("ship_type")},
       arg_max(cast(mobile_type as varchar), {{t: t, value: cast(mobile_type as varchar)}}) as mobile_type,
       {_LATEST.format("length")},
       {_LATEST.format("width")},
       max(draught) as draught,
       list_sort(coalesce(list(distinct name) filter (where name is not null), [])) as names,
       min(t) as first_seen,
       max(t) as last_seen,
       count(*) as records
from records
where mmsi between {FIRST_MID}000000 and {LAST_MID}999999
group by mmsi
order by mmsi
"""


def vessel_table(records: ds.Dataset, *, validation_fraction: float, seed: int) -> pa.Table:
    """Merges the static data of RAW_RECORDS into `schema.VESSELS`, by MMSI.

    Args:
        records: typed records of any number of days; static columns may be null on most rows.
        validation_fraction: share of vessels kept for validation, 0 to 1.
        seed: keys the split.

    Returns:
        One row a vessel MMSI (MID 201 to 775). The latest value of a static field wins; every name it
        showed is in `names`.
    """
    connection = duckdb.connect()
    connection.execute("set TimeZone = 'UTC'")
    connection.register("records", records)
    merged = connection.sql(_QUERY).to_arrow_table()
    kept_out = is_validation(np.asarray(merged["mmsi"], np.int32), validation_fraction, seed)
    split = pa.array(np.where(kept_out, schema.SPLITS[1], schema.SPLITS[0]), pa.string())
    table = merged.append_column("split", split)
    return table.select(schema.VESSELS.names).cast(schema.VESSELS)
