"""`ais bench`: measures stages on this machine, each beside a baseline in the same run."""

from __future__ import annotations

from pathlib import Path

from ais_assets import bench
from ais_assets.cli.main import Commands

_BENCHES = tuple(
    path.stem.replace("_", "-") for path in Path(bench.__file__).parent.glob("[a-z]*.py") if path.stem != "race"
)

command = Commands(
    bench.__name__,
    _BENCHES,
    name="bench",
    help="Measures stages on this machine, each beside a baseline in the same run.",
)
