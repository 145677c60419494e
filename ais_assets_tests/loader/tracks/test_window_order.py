"""Which window is at which place: passes over all windows, cut up into epochs."""

from __future__ import annotations

import numpy as np
import pytest

from ais_assets.loader.tracks.window_order import PassOrder


@pytest.mark.parametrize("epoch_size", [7, 40, 100, 250])
def test_places_can_be_asked_for_in_any_order(epoch_size: int) -> None:
    # As the sources of a mixture are: a random order's places, which may be of two passes at once.
    order = PassOrder(100, epoch_size, seed=3, shuffle=True)
    places = np.arange(epoch_size)
    random = np.random.default_rng(1)
    for epoch in range(6):
        windows = order.windows(epoch, places)
        for _ in range(20):
            asked = random.permutation(places)
            np.testing.assert_array_equal(order.windows(epoch, asked), windows[asked])


@pytest.mark.parametrize("shuffle", [True, False])
def test_epochs_of_any_size_hold_every_window_as_often_as_any_other(shuffle: bool) -> None:
    order = PassOrder(30, 13, seed=3, shuffle=shuffle)
    drawn = np.concatenate([order.windows(epoch, np.arange(13)) for epoch in range(30)])
    assert np.bincount(drawn, minlength=30).tolist() == [13] * 30
