"""The training loader: warm, cold, from S3, to the GPU, over a year's index, beside other loaders."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

import click

from ais_assets.bench._loader_data import lake_windows, simulated_windows
from ais_assets.bench._loader_s3 import Bucket
from ais_assets.bench._simulated import traffic_options
from ais_assets.bench.race import Race, report
from ais_assets.settings import load_settings
from ais_assets.store.s3_access import S3Access

PARTS: Final = ("warm", "cold", "s3", "first", "device", "index")


@click.command()
@traffic_options
@click.option("--only", multiple=True, type=click.Choice(PARTS), help="Parts to run; default: all.")
@click.option("--lake", type=click.Path(path_type=Path, exists=True), help="Folder with mds/; default: simulated.")
@click.option("--windows", type=click.IntRange(min=1), default=20_000, show_default=True, help="To read, at most.")
@click.option("--seconds", type=click.FloatRange(min=0), default=1.0, show_default=True, help="A warm turn, at least.")
@click.option("--shards", type=click.IntRange(min=1), default=30_078, show_default=True, help="Of the index.")
@click.option("--shard-windows", type=click.IntRange(min=1), default=3_614, show_default=True, help="Of each of them.")
@click.option("--s3-url", help="s3://bucket/prefix to upload to, with AIS_S3_* and AWS_*; default: moto, if installed.")
def command(
    *,
    as_json: bool,
    repeat: int,
    vessels: int,
    days: int,
    seed: int,
    only: tuple[str, ...],
    lake: Path | None,
    windows: int,
    seconds: float,
    shards: int,
    shard_windows: int,
    s3_url: str | None,
) -> None:
    """Windows a second that training code gets, beside other loaders; all parts take a quarter of an hour."""
    from ais_assets.bench import _loader_races as run  # noqa: PLC0415 - imports torch, which `--help` need not

    parts = only or PARTS
    races: list[Race] = []
    with ExitStack() as stack:
        if set(parts) != {"index"}:
            data = stack.enter_context(
                simulated_windows(vessels, days, seed, windows) if lake is None else lake_windows(lake / "mds", windows)
            )
            if "warm" in parts:
                races += run.warm(data, repeat, seconds)
            if "cold" in parts:
                races += run.cold(data, repeat)
            if "s3" in parts:
                races += run.from_s3(data, None if s3_url is None else _bucket(s3_url), repeat)
            if "first" in parts:
                races += run.first_batch(data, repeat)
            if "device" in parts:
                races += run.to_cuda(data, repeat, seconds)
        if "index" in parts:
            races += run.index(shards, shard_windows, repeat)
    report(races, as_json=as_json)


def _bucket(url: str) -> Bucket:
    parts = urlsplit(url)
    if parts.scheme != "s3" or not parts.netloc:
        raise click.BadParameter(f"{url!r} is not s3://bucket/prefix", param_hint="--s3-url")
    return Bucket(parts.netloc, parts.path.strip("/"), S3Access.of(load_settings()))
