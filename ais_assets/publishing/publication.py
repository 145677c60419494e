"""One publication of the training dataset: it replaces what was there when it began, and nothing newer.

A run that was taken for lost and lives on, or a build beside this one, would otherwise put an older release over a
newer one. Each object that has the same name in every release is replaced only in the version that was there at first:
of two publications that began over the same one, the second to write fails at its first object, and leaves the first
whole.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Self

from ais_assets.io.entries import side_by_side
from ais_assets.io.lake import Lake
from ais_assets.io.layout import place_of
from ais_assets.io.releases import current_release
from ais_assets.store.objects import OvertakenError

CARD_FILE: Final = "README.md"
PAGE_FILE: Final = "card.html"
CROISSANT_FILE: Final = "croissant.json"
STATISTICS_FILE: Final = "statistics.json"
_MDS: Final = place_of("mds_index").folder
_TRACKS: Final = place_of("training_dataset").folder
REPLACED: Final = (
    CARD_FILE,
    PAGE_FILE,
    CROISSANT_FILE,
    f"{_TRACKS}/{CARD_FILE}",
    f"{_MDS}/{CARD_FILE}",
    f"{_MDS}/{STATISTICS_FILE}",
    place_of("mds_index").key(None),
    place_of("training_dataset").key(None),
)
"""What has the same name in every release. The last two are the commit points."""


@dataclass(frozen=True)
class Publication:
    """A publication that is under way.

    Attributes:
        lake: where it publishes.
        former: of each object of `REPLACED` the version that was there when it began; an empty one of none.
    """

    lake: Lake
    former: Mapping[str, str]

    @classmethod
    def begin(cls, lake: Lake) -> Self:
        """To be called before it is looked at what there is to publish."""
        versions = side_by_side(lake.store, lambda key: lake.store.versions([key])[0], REPLACED)
        return cls(lake, dict(zip(REPLACED, versions, strict=True)))

    def replace(self, data: bytes, key: str) -> None:
        """Publishes one object of `REPLACED`, once.

        Raises OvertakenError where another publication has come first, unless it had the very same to say.
        """
        store = self.lake.store
        try:
            store.publish_bytes(data, key, over=self.former[key])
        except OvertakenError as error:
            current = current_release(store)
            there = "no release is published" if current is None else f"release {current} is published"
            raise OvertakenError(
                f"{store.uri}/{key}: another run has published this dataset since this one began, or is doing so, and "
                f"nothing newer is replaced; now {there}. When no other build is under way, materialize "
                "training_dataset again: it publishes what the lake holds then"
            ) from error
