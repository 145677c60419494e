"""The training loader as a Dagster resource: the same batches that training code gets."""

from typing import TYPE_CHECKING, Any

from dagster import ConfigurableResource, ResourceDependency

from ais_assets.resources.lake import LakeResource

if TYPE_CHECKING:
    from ais_assets.io.streaming_loader import AISMDSDataset, ValidationDataset


class TrainingLoaderResource(ConfigurableResource):
    """Batches of (B, window, 5) float32 from the lake's training dataset and its validation file.

    Importing this loads no torch; asking for batches does.
    """

    lake: ResourceDependency[LakeResource]
    cache: str
    batch_size: int = 64

    def training_dataset(self, **options: Any) -> "AISMDSDataset":
        """The training windows; `options` are those of `AISMDSDataset`."""
        return self.lake.open().loader(local=f"{self.cache}/mds", **{"batch_size": self.batch_size, **options})

    def validation_dataset(self, **options: Any) -> "ValidationDataset":
        """The validation windows, in their order; `options` are those of `ValidationDataset`."""
        return self.lake.open().validation_loader(**{"batch_size": self.batch_size, **options})
