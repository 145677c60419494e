"""AIS position reports to training samples, as a Dagster platform."""

from pathlib import Path

from ais_assets.machine import choose_kernel_cache, forget_changed_kernels

choose_kernel_cache(Path(__file__).parent)
forget_changed_kernels(Path(__file__).parent)
