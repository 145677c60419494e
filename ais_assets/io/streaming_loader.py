"""The import path that training code knows; the loader itself is the room `ais_assets.loader`.

What is not asked for is not loaded.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ais_assets.loader.data_loader import ResumableDataLoader
    from ais_assets.loader.errors import LoaderError
    from ais_assets.loader.mds.dataset import AISMDSDataset
    from ais_assets.loader.normalize import denormalize_batch, normalize_batch, split_input_target
    from ais_assets.loader.tracks.dataset import TrackWindowDataset
    from ais_assets.loader.tracks.mixtures import WindowMixture
    from ais_assets.loader.validation import ValidationDataset

__all__ = [
    "AISMDSDataset",
    "LoaderError",
    "ResumableDataLoader",
    "TrackWindowDataset",
    "ValidationDataset",
    "WindowMixture",
    "denormalize_batch",
    "normalize_batch",
    "split_input_target",
]

_MODULES = {
    "AISMDSDataset": "mds.dataset",
    "LoaderError": "errors",
    "ResumableDataLoader": "data_loader",
    "TrackWindowDataset": "tracks.dataset",
    "ValidationDataset": "validation",
    "WindowMixture": "tracks.mixtures",
    "denormalize_batch": "normalize",
    "normalize_batch": "normalize",
    "split_input_target": "normalize",
}


def __getattr__(name: str) -> Any:
    """Loads a name at its first use (PEP 562)."""
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}; it has {', '.join(__all__)}")
    return getattr(import_module(f"ais_assets.loader.{_MODULES[name]}"), name)
