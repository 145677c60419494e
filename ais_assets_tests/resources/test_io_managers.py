"""What an asset hands over must be what its run was asked for; else nothing of it that is wrong is stored."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import dagster as dg
import pyarrow as pa
import pytest

from ais_assets.io.lake import Lake
from ais_assets.ledger import Ledger
from ais_assets.resources.io_managers import ParquetIOManager, Partitions
from ais_assets.schema import RAW_RECORDS
from ais_assets.stream import RecordStream

DAYS = ("2024-03-01", "2024-03-02")


def empty() -> RecordStream:
    return RecordStream(RAW_RECORDS, iter([pa.table(RAW_RECORDS.empty_table())]), Ledger(0, 0))


def of(*made: tuple[str | None, Any]) -> Callable[[], Partitions]:
    def items() -> Iterator[tuple[str | None, Any]]:
        yield from made

    return lambda: Partitions(items())  # pyright: ignore[reportArgumentType] - assets hand over what they should not


@pytest.mark.filterwarnings("ignore:Parameter `backfill_policy`")
@pytest.mark.parametrize(
    ("handed_over", "refused", "stored"),
    [
        (of((DAYS[0], empty()), (DAYS[1], empty())), None, DAYS),
        (lambda: [1, 2], r"raw_records must return Partitions, not list", ()),
        (of((DAYS[0], empty())), rf"raw_records made the partitions \['{DAYS[0]}'\] of \['{DAYS[0]}', ", DAYS[:1]),
        (of((DAYS[0], empty()), ("2024-04-01", empty())), r"made partition '2024-04-01'; the run is for ", DAYS[:1]),
        (of((DAYS[0], {"rows": 1})), r"made a dict; its IO manager stores RecordStream", ()),
    ],
)
def test_what_a_run_was_not_asked_for_is_refused(
    tmp_path: Path, handed_over: Callable[[], Any], refused: str | None, stored: tuple[str, ...]
) -> None:
    lake = Lake(tmp_path / "lake")

    @dg.asset(
        partitions_def=dg.StaticPartitionsDefinition(list(DAYS)),
        backfill_policy=dg.BackfillPolicy.single_run(),
        io_manager_key="parquet",
    )
    def raw_records() -> Any:
        return handed_over()

    def run() -> dg.ExecuteInProcessResult:
        tags = {"dagster/asset_partition_range_start": DAYS[0], "dagster/asset_partition_range_end": DAYS[1]}
        return dg.materialize([raw_records], resources={"parquet": ParquetIOManager(lake)}, tags=tags)

    if refused is None:
        assert run().success
    else:
        with pytest.raises((TypeError, ValueError), match=refused):
            run()
    assert lake.partitions("raw_records") == list(stored)
