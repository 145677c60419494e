"""The training loader as a Dagster resource: the same batches that training code gets."""

from typing import TYPE_CHECKING, Any, Literal

from dagster import ConfigurableResource, ResourceDependency

from ais_assets.resources.lake import LakeResource

if TYPE_CHECKING:
    from ais_assets.io.streaming_loader import AISMDSDataset, TrackWindowDataset, ValidationDataset


class TrainingLoaderResource(ConfigurableResource):
    """Batches of (B, window, 5) float32 from the lake's training dataset and its validation windows.

    `format` says from what: "mds", the windows on disk, or "tracks", from which they are cut. Importing this loads no
    torch; asking for batches does.
    """

    lake: ResourceDependency[LakeResource]
    cache: str
    batch_size: int = 64
    format: Literal["mds", "tracks"] = "mds"

    def training_dataset(self, **options: Any) -> "AISMDSDataset | TrackWindowDataset":
        """The training windows; `options` are those of `AISMDSDataset` or `TrackWindowDataset`."""
        options = {"batch_size": self.batch_size, **options}
        if self.format == "tracks":
            return self.lake.open().loader(self.cache, "tracks", **options)
        return self.lake.open().loader(f"{self.cache}/mds", **options)

    def validation_dataset(self, **options: Any) -> "ValidationDataset | TrackWindowDataset":
        """The validation windows, in order; `options` are those of `ValidationDataset` or `TrackWindowDataset`."""
        options = {"batch_size": self.batch_size, **options}
        if self.format == "tracks":
            return self.lake.open().loader(self.cache, "tracks", **{"split": "validation", "shuffle": False, **options})
        return self.lake.open().validation_loader(**options)
