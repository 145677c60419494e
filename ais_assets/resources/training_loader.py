"""The training loader as a Dagster resource: the same batches that training code gets."""

from typing import TYPE_CHECKING, Any, Literal

from dagster import ConfigurableResource, ResourceDependency

from ais_assets.resources.lake import LakeResource

if TYPE_CHECKING:
    from ais_assets.io.streaming_loader import AISMDSDataset, TrackWindowDataset, ValidationDataset


class TrainingLoaderResource(ConfigurableResource):
    """Batches of (B, window, 5) float32 from the lake's training dataset and the splits beside it.

    `format` says from what: "mds", the windows on disk, or "tracks", from which they are cut; `release` of which
    release, by its id, None: the current one. Importing this loads no torch; asking for batches does.
    """

    lake: ResourceDependency[LakeResource]
    cache: str
    batch_size: int = 64
    format: Literal["mds", "tracks"] = "mds"
    release: str | None = None

    def training_dataset(self, **options: Any) -> "AISMDSDataset | TrackWindowDataset":
        """The training windows; `options` are those of `AISMDSDataset` or `TrackWindowDataset`."""
        given: dict[str, Any] = {"batch_size": self.batch_size, "release": self.release, **options}
        if self.format == "tracks":
            return self.lake.open().loader(self.cache, "tracks", **given)
        return self.lake.open().loader(f"{self.cache}/mds", **given)

    def validation_dataset(self, **options: Any) -> "ValidationDataset | TrackWindowDataset":
        """The validation windows, in order; `options` are those of `ValidationDataset` or `TrackWindowDataset`."""
        return self._apart("validation", options)

    def test_dataset(self, **options: Any) -> "ValidationDataset | TrackWindowDataset":
        """The windows of vessels kept for the last test, as `validation_dataset`; none without AIS_TEST_FRACTION.

        No model should have been chosen by them.
        """
        return self._apart("test", options)

    def holdout_dataset(self, **options: Any) -> "ValidationDataset | TrackWindowDataset":
        """The windows of held-out time, as `validation_dataset`; none without AIS_HOLDOUT_FROM."""
        return self._apart("holdout", options)

    def _apart(
        self, split: Literal["validation", "test", "holdout"], options: dict[str, Any]
    ) -> "ValidationDataset | TrackWindowDataset":
        """A split that is not trained on, in order."""
        given: dict[str, Any] = {"batch_size": self.batch_size, "release": self.release, **options}
        place = self.lake.open()
        if self.format == "tracks":
            of_tracks: dict[str, Any] = {"split": split, "shuffle": False, **given}
            return place.loader(self.cache, "tracks", **of_tracks)
        loaders = {"validation": place.validation_loader, "test": place.test_loader, "holdout": place.holdout_loader}
        return loaders[split](**given)
