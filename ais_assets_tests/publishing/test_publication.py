"""Two publications at once: the one that comes last replaces nothing that is newer than what it began over."""

from __future__ import annotations

import pytest

from ais_assets.io.lake import Lake
from ais_assets.io.releases import current_release
from ais_assets.publishing.publication import Publication
from ais_assets.publishing.track_index import publish_track_index
from ais_assets.settings import Settings
from ais_assets.store.objects import OvertakenError
from ais_assets_tests.publishing.test_track_index import settings  # noqa: F401 - a fixture

FORMER, OLDER, NEWER = "0000000000000000", "1111111111111111", "2222222222222222"


@pytest.mark.parametrize("first", [True, False])
def test_the_older_one_that_comes_last_is_refused(settings: Settings, first: bool) -> None:  # noqa: F811
    lake = Lake(settings.lake)
    if not first:
        publish_track_index(Publication.begin(lake), settings, FORMER)
    older, newer = Publication.begin(lake), Publication.begin(lake)
    publish_track_index(newer, settings, NEWER)
    with pytest.raises(OvertakenError, match=f"{NEWER} is published.*materialize training_dataset again"):
        publish_track_index(older, settings, OLDER)
    assert current_release(lake.store) == NEWER
    publish_track_index(Publication.begin(lake), settings, OLDER)
    assert current_release(lake.store) == OLDER


def test_two_of_the_same_both_succeed(settings: Settings) -> None:  # noqa: F811
    lake = Lake(settings.lake)
    one, other = Publication.begin(lake), Publication.begin(lake)
    for publication in (one, other):
        publish_track_index(publication, settings, NEWER)
    assert current_release(lake.store) == NEWER
