"""What one core of a machine does a second, and what things weigh: what a plan rests on."""

from __future__ import annotations

import json
import math
import os
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final


@dataclass(frozen=True)
class Rates:
    """What one core of a machine does a second while the others do the same, and what things weigh.

    Attributes:
        machine: that it was measured on.
        rows_typed: rows of an archive parsed and stored as typed records.
        records_cleaned: typed records read, cleaned and stored.
        positions_tracked: clean records read, made tracks and stored.
        positions_thrown: positions of tracks read and referred to.
        windows_gathered: windows gathered from packed positions and stored as Parquet.
        windows_sharded: windows gathered from packed positions and stored as MDS.
        archive_bytes: a row in its archive.
        record_bytes: a typed record.
        told_bytes: what `vessels` reads of a typed record.
        judged_bytes: what `daily_quality` reads of a typed record and of the clean one that it may have become.
        clean_bytes: a clean record.
        position_bytes: a position of a track.
        reference_bytes: a reference to a window.
        window_bytes: a window as Parquet.
        mds_bytes: a window as MDS.
        clean_share: clean records of rows.
        records_merged: typed records read and merged into vessels.
        records_judged: typed records of a day read, with its clean ones, and measured.
        positions_listed: positions of tracks read into a row a track.
        positions_packed: positions of tracks read and packed.
        positions_checked: positions of tracks hashed, indexed, and counted anew by the checks of the finished dataset.
        positions_cached: positions of published tracks fetched, checked and packed by a training machine, until the
            first batch.
        windows_reckoned: windows read by the loader and forecast by dead reckoning.
        pages_faulted: pages of 4 kB read from the disk, at random and one after the other, through a memory map.
    """

    machine: str
    rows_typed: float
    records_cleaned: float
    positions_tracked: float
    positions_thrown: float
    windows_gathered: float
    windows_sharded: float
    archive_bytes: float
    record_bytes: float
    told_bytes: float
    judged_bytes: float
    clean_bytes: float
    position_bytes: float
    reference_bytes: float
    window_bytes: float
    mds_bytes: float
    clean_share: float
    records_merged: float
    records_judged: float
    positions_listed: float
    positions_packed: float
    positions_checked: float
    positions_cached: float
    windows_reckoned: float
    pages_faulted: float

    @classmethod
    def from_json(cls, text: str) -> Rates:
        """Rates as `to_json` wrote them. Raises ValueError when something is missing or no positive number."""
        values = json.loads(text)
        names = {name for name in cls.__dataclass_fields__ if name != "machine"}
        wrong = sorted(name for name in names if not is_positive(values.get(name)))
        if wrong:
            raise ValueError(f"the rates lack {', '.join(wrong)}: measure them again with `ais bench rates`")
        return cls(machine=str(values.get("machine", "unknown")), **{name: float(values[name]) for name in names})

    def to_json(self) -> str:
        """For a file."""
        return json.dumps(asdict(self), indent=1)


def is_positive(value: Any) -> bool:
    """Whether a value is a number above 0, and not infinite."""
    return isinstance(value, (int, float)) and math.isfinite(value) and value > 0


def rates_file() -> Path:
    """Where `ais bench rates` keeps this machine's."""
    cache = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(cache) / "ais_assets" / "rates.json"


MEASURED_RATES: Final = Rates.from_json(Path(__file__).with_name("measured_rates.json").read_text())
"""What `ais bench rates --json` printed on a Xeon of 2 vCPUs. For any other machine it is a guess, and so it says."""
