"""AIS position reports to training samples, as a Dagster platform."""

from pathlib import Path

from ais_assets.machine import choose_kernel_cache

choose_kernel_cache(Path(__file__).parent)
