"""Who each vessel is: static data of many days merged into one row an MMSI."""

from __future__ import annotations

from typing import Final

import numpy as np
import pyarrow as pa
import pyarrow.dataset as ds
from pyais.constants import COUNTRY_MAPPING

from ais_assets import schema
from ais_assets.ledger import Ledger
from ais_assets.stream import RecordStream, sql_connection
from ais_assets.transforms.mmsi import FIRST_SHIP, LAST_SHIP, MMSI_PER_MID, NINE_ONES, SHIP_TYPES
from ais_assets.transforms.pseudonyms import Pseudonyms
from ais_assets.transforms.reports.row_rules import NOT_A_VESSEL
from ais_assets.transforms.split import hulls, split_codes

_TOLD: Final = (
    *("mmsi", "mobile_type", "imo", "callsign", "name", "ship_type", "length", "width", "draught", "identity"),
)
RAW_COLUMNS: Final = ("t", *_TOLD)
"""Columns of `schema.RAW_RECORDS` that `vessel_table` reads."""

CONFLICTING: Final = ("imo", "callsign", "name", "ship_type", "length", "width", "identity")
"""Static fields of which a ship has one value at a time; an MMSI that showed several lists them in `conflicts`."""

LARGEST: Final = {"length": 1022.0, "width": 126.0, "draught": 25.5}
"""Metres that an AIS message can say (ITU-R M.1371-5, tables 48 and 52: two dimensions of up to 511 m, two of up to
63 m, draught in a byte of decimetres). A file with more has lost a decimal point."""

_IMO_WEIGHTS: Final = (7, 6, 5, 4, 3, 2)

# The latest value wins; of two in the same second the greater one, so that the order of rows and the
# number of threads do not matter.
_LATEST = "arg_max({0}, {{t: t, value: {0}}}) filter (where {0} is not null) as {0}"
_EVERY = "list_sort(coalesce(list(distinct {0}) filter (where {0} is not null), [])) as {1}"

_IS_SHIP = (
    f"(mmsi between {FIRST_SHIP} and {LAST_SHIP} and mmsi % {NINE_ONES} <> 0 or mmsi >= {schema.FIRST_IDENTITY}) "
    f"and mobile_type in ({', '.join(repr(kind) for kind in SHIP_TYPES)})"
)
_NOBODYS_IMO: Final = (1_234_567, 9_999_993)
"""Pass the check and are typed for want of a number."""
_IMO_IS_VALID = "imo between 1000000 and 9999999 and imo not in {} and ({}) % 10 = imo % 10".format(
    _NOBODYS_IMO, " + ".join(f"{weight} * (imo // {10**weight // 10} % 10)" for weight in _IMO_WEIGHTS)
)
"""The last digit of an IMO number is the last digit of the sum of the others, times 7 to 2 from the left (IMO
Resolution A.1117(30)). The weight of a digit is its place from the right, so digit w is imo // 10^(w-1) % 10."""

_SIZES = ", ".join(f"case when {size} <= {most} then {size} end as {size}" for size, most in LARGEST.items())
_SIZE_IS_IMPLAUSIBLE = " or ".join(f"coalesce({size} > {most}, false)" for size, most in LARGEST.items())

# A ship says the same many thousand times: what is counted and compared is each thing that she says, once.
_QUERY = f"""
with told as (
    select {", ".join(_TOLD)}, min(t) as first_t, max(t) as t, count(*) as records
    from records
    group by all
), sent as (
    select * replace (
               cast(mobile_type as varchar) as mobile_type,
               case when {_IMO_IS_VALID} then imo end as imo,
               {_SIZES}
           ),
           case when not ({_IMO_IS_VALID}) then imo end as invalid_imo,
           {_SIZE_IS_IMPLAUSIBLE} as implausible,
           {_IS_SHIP} as is_ship
    from told
)
select mmsi, is_ship,
       {_LATEST.format("imo")},
       {_LATEST.format("callsign")},
       {_LATEST.format("name")},
       {_LATEST.format("ship_type")},
       coalesce(
           arg_max(mobile_type, {{t: t, value: mobile_type}}) filter (where mobile_type <> 'unknown'), 'unknown'
       ) as mobile_type,
       {_LATEST.format("length")},
       {_LATEST.format("width")},
       max(draught) as draught,
       {_EVERY.format("imo", "imos")},
       {_EVERY.format("invalid_imo", "invalid_imos")},
       {_EVERY.format("callsign", "callsigns")},
       {_EVERY.format("name", "names")},
       {_EVERY.format("ship_type", "ship_types")},
       {_EVERY.format("identity", "identities")},
       list_filter(
           [{", ".join(f"case when count(distinct {field}) > 1 then '{field}' end" for field in CONFLICTING)}],
           lambda field: field is not null
       ) as conflicts,
       coalesce(sum(records) filter (where implausible), 0)::bigint as implausible_sizes,
       min(first_t) as first_seen,
       max(t) as last_seen,
       sum(records)::bigint as records
from sent
group by mmsi, is_ship
order by mmsi
"""


def vessel_table(
    records: ds.Dataset | pa.Table,
    *,
    validation_fraction: float,
    seed: int,
    test_fraction: float = 0.0,
    pseudonyms: Pseudonyms | None = None,
) -> RecordStream:
    """Merges the static data of RAW_RECORDS into one row a vessel.

    A value that a vessel showed at any time describes it at all times: feeds leave static columns blank until
    the vessel's first static message of the file. The latest value wins; where an MMSI showed several, `conflicts`
    names the field, and `names`, `callsigns` and `imos` hold them all.

    Args:
        records: typed records of any number of days; static columns may be null on most rows.
        validation_fraction: share of hulls kept for validation, 0 to 1.
        seed: keys the split.
        test_fraction: share of hulls kept for the last test.
        pseudonyms: what identities are replaced by; None: they are kept.

    Returns:
        `schema.VESSELS` by MMSI, one table: every MMSI with a record that cleaning would not drop as NOT_A_VESSEL.
        The ledger counts senders in and vessels out; its notes vessels with a conflict, by field; IMO numbers whose
        check digit is wrong, which are in `invalid_imos` and not in `imo`; and records with a size above LARGEST,
        which is taken for none.
    """
    connection = sql_connection()
    connection.register("records", records)
    senders = connection.sql(_QUERY).to_arrow_table()
    merged = senders.filter(senders["is_ship"])
    mmsi = np.asarray(merged["mmsi"], np.int32)
    hull = hulls(mmsi, merged["imo"].fill_null(0).to_numpy().astype(np.int32))
    named = hull if pseudonyms is None else pseudonyms.numbers(hull)
    split = split_codes(named, validation_fraction=validation_fraction, test_fraction=test_fraction, seed=seed)
    flags = np.where(mmsi < schema.FIRST_IDENTITY, mmsi // MMSI_PER_MID, 0)
    columns = {
        "flag": pa.array(flags, pa.int16()),
        "country": pa.array([_country(int(mid)) for mid in flags], pa.string()),
        "hull": pa.array(named),
        "split": pa.array(np.asarray(schema.SPLITS)[split]),
    }
    for name, values in columns.items():
        merged = merged.append_column(name, values)
    table = merged.select(schema.VESSELS.names).cast(schema.VESSELS)
    if pseudonyms is not None:
        table = _under_pseudonyms(table, pseudonyms)
    ledger = Ledger(rows_in=len(senders["mmsi"].unique()), rows_out=table.num_rows)
    ledger.drop(NOT_A_VESSEL, ledger.rows_in - ledger.rows_out)
    ledger.note("sharing_a_hull", int(np.count_nonzero(np.isin(hull, hull[hull != mmsi]))))
    ledger.note("invalid_imos", len(table["invalid_imos"].combine_chunks().flatten()))
    ledger.note("implausible_sizes", sum(merged["implausible_sizes"].to_pylist()))
    conflicts = table["conflicts"].combine_chunks().flatten().to_pylist()
    for field in CONFLICTING:
        ledger.note(f"conflicting_{field}", conflicts.count(field))
    return RecordStream(schema.VESSELS, iter([table]), ledger)


def _under_pseudonyms(vessels: pa.Table, pseudonyms: Pseudonyms) -> pa.Table:
    """The rows with other identities, by what now stands for the MMSI; flag, type, sizes and times stay."""
    numbers = pseudonyms.numbers(vessels["mmsi"].to_numpy())
    columns: dict[str, pa.Array] = {"mmsi": pa.array(numbers)}
    for name, one in (("imo", pseudonyms.imo), ("callsign", pseudonyms.text), ("name", pseudonyms.text)):
        columns[name] = pa.array([one(value) for value in vessels[name].to_pylist()], vessels.schema.field(name).type)
    for name, one in (
        *(("names", pseudonyms.text), ("callsigns", pseudonyms.text), ("identities", pseudonyms.text)),
        *(("imos", pseudonyms.imo), ("invalid_imos", pseudonyms.imo)),
    ):
        several = [pseudonyms.all_of(values, one) for values in vessels[name].to_pylist()]
        columns[name] = pa.array(several, vessels.schema.field(name).type)
    for name, values in columns.items():
        vessels = vessels.set_column(vessels.schema.get_field_index(name), vessels.schema.field(name), values)
    return vessels.take(pa.array(np.argsort(numbers)))


def _country(mid: int) -> str | None:
    """ISO 3166 code of the flag state with these digits; None for digits that no state has."""
    known = COUNTRY_MAPPING.get(mid)
    return None if known is None else known[0]
