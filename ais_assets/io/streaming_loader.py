"""The import path that training code knows; the loader itself is the room `ais_assets.loader`."""

from ais_assets.loader.mds import AISMDSDataset
from ais_assets.loader.normalize import denormalize_batch, normalize_batch, split_input_target
from ais_assets.loader.remote import LoaderError
from ais_assets.loader.validation import ValidationDataset

__all__ = [
    "AISMDSDataset",
    "LoaderError",
    "ValidationDataset",
    "denormalize_batch",
    "normalize_batch",
    "split_input_target",
]
