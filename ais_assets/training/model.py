"""A GRU over the positions seen, which says how far off dead reckoning will be, in place and in motion."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import nn

from ais_assets import schema
from ais_assets.training.forecast import INPUTS, OUTPUTS, inputs


class Forecaster(nn.Module):
    """Forecasts a ship's place and motion at some horizons.

    Before it has learned anything it says what dead reckoning says: its last layer begins as nought.

    Args:
        minutes: horizons.
        hidden: width of the GRU.
        seq_len: positions that it sees.
    """

    def __init__(self, minutes: Sequence[float], hidden: int = 64, seq_len: int = schema.SEQ_LEN) -> None:
        super().__init__()
        self.minutes = list(minutes)
        self.seq_len = seq_len
        self.reader = nn.GRU(len(INPUTS), hidden, batch_first=True)
        self.head = nn.Linear(hidden, len(OUTPUTS) * len(self.minutes))
        nn.init.zeros_(self.head.weight)
        nn.init.zeros_(self.head.bias)

    def forward(self, batch: torch.Tensor, received: torch.Tensor | None = None) -> torch.Tensor:
        """(B, window, 5) in the units of `schema.FEATURES`, of which it sees the first `seq_len` positions, to
        (B, horizons, 4), as in `forecast.OUTPUTS`: ahead and to the right of what dead reckoning says.

        `received`: bool (B, window, 5), which values are not held, where the loader says so.
        """
        _, state = self.reader(inputs(batch, self.seq_len, received))
        return self.head(state[-1]).view(len(batch), len(self.minutes), len(OUTPUTS))
