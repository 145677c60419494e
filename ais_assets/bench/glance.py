"""A look at a lake of many tiny partitions by `ais status`, beside one at a lake without any: all but imports."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping
from contextlib import ExitStack
from datetime import date, timedelta
from hashlib import sha256
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final

import click
import pyarrow as pa

from ais_assets.bench.race import TURN_SECONDS, Contender, Race, report, run_race
from ais_assets.io.lake import Folder, Lake
from ais_assets.io.layout import Kind, place_of
from ais_assets.io.provenance import MADE_FROM, MADE_WITH, WHOLE, Chain
from ais_assets.io.stages import Stage, in_order
from ais_assets.ledger import Ledger
from ais_assets.settings import Settings, load_settings
from ais_assets.stream import RecordStream

_FIRST_DAY: Final = date(2023, 1, 1)
_ROWS: Final = pa.table({"mmsi": pa.array([1, 2], pa.int32())})
"""Of every partition: a look reads none."""


def fill(lake: Lake, settings: Settings) -> int:
    """Writes every partition that the settings name, each with a true record of what it is made from; their number."""
    lake.cut_by(settings.cutting)
    partitions = 0
    for stage in in_order(settings):
        chain = Chain(lake)
        for key in stage.partitions or (WHOLE,):
            inputs = chain.inputs(stage.asset, key, stage.upstream, settings)
            _write(lake, stage, key, {MADE_FROM: inputs, MADE_WITH: dict(stage.made_with)})
            partitions += 1
    return partitions


def _write(lake: Lake, stage: Stage, key: str, facts: dict[str, Any]) -> None:
    account = Ledger(_ROWS.num_rows + 8, _ROWS.num_rows, {"no_position": 5, "out_of_region": 3}, {"tracks": 2})
    match place_of(stage.asset).kind:
        case Kind.PARQUET:
            lake.write(stage.asset, key or None, RecordStream(_ROWS.schema, iter([_ROWS]), account, facts))
        case Kind.FOLDER:
            with TemporaryDirectory(prefix="ais-bench-") as folder:
                (Path(folder) / "file").write_bytes(b"x")
                digest = sha256(f"{stage.asset} {key}".encode()).hexdigest()
                lake.write_folder(stage.asset, key, Folder(Path(folder), digest, account, {"published": True, **facts}))
        case Kind.JSON:
            lake.write_json(stage.asset, facts)


def look(environment: Mapping[str, str]) -> float:
    """`ais status` once, as a shell runs it; one look."""
    subprocess.run(
        [sys.executable, "-m", "ais_assets.cli", "status"],
        env={**os.environ, **environment},
        check=True,
        stdout=subprocess.DEVNULL,
        timeout=TURN_SECONDS,
    )
    return 1.0


def race(folder: Path, days: int, shards: int, piles: int, repeat: int) -> Race:
    """Both lakes, once both were looked at."""
    given = {"first_day": _FIRST_DAY, "last_day": _FIRST_DAY + timedelta(days=days - 1)}
    settings = load_settings(lake=str(folder / "lake"), shards=shards, piles=piles, **given)
    environment = {
        "AIS_FIRST_DAY": settings.first_day.isoformat(),
        "AIS_LAST_DAY": settings.last_day.isoformat(),
        "AIS_SHARDS": str(shards),
        "AIS_PILES": str(piles),
    }
    partitions = fill(Lake.from_settings(settings), settings)
    contenders = [
        Contender(
            "a lake without partitions", look, ({**environment, "AIS_LAKE": str(folder / "none")},), baseline=True
        ),
        # The first look reads each partition, and keeps what they say beside them.
        Contender("the lake", look, ({**environment, "AIS_LAKE": settings.lake},), prepare=look),
    ]
    return run_race(Race("ais status", "looks", {"partitions": partitions}), contenders, repeat=repeat)


@click.command()
@click.option("--days", type=click.IntRange(min=1), default=363, show_default=True)
@click.option("--shards", type=click.IntRange(min=1), default=256, show_default=True)
@click.option("--piles", type=click.IntRange(min=1), default=1024, show_default=True)
@click.option("--repeat", type=click.IntRange(min=1), default=5, show_default=True, help="Looks at each.")
@click.option("--folder", type=click.Path(file_okay=False, path_type=Path), help="To keep the lake; default: none.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object instead of a table.")
def command(*, days: int, shards: int, piles: int, repeat: int, folder: Path | None, as_json: bool) -> None:
    """Looks a second at a year's lake of tiny partitions, by `ais status`."""
    with ExitStack() as stack:
        folder = folder or Path(stack.enter_context(TemporaryDirectory(prefix="ais-bench-")))
        report([race(folder, days, shards, piles, repeat)], as_json=as_json)
