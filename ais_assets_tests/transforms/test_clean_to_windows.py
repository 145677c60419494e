"""From clean records to delivered windows, bit by bit, beside plain loops over the rows."""

from __future__ import annotations

from itertools import groupby

import numpy as np
import pytest

from ais_assets import schema
from ais_assets.transforms.shuffle import pile_windows, throw_windows
from ais_assets.transforms.windows import pack_tables
from ais_assets_tests.transforms.test_tracks import GAP, NOON, OTHER, SHIP, Report, Rule, built, clean_table

WINDOW = schema.SEQ_LEN + schema.MAX_HORIZON


def voyage(mmsi: int, lengths: list[int]) -> list[Report]:
    """A slow ship whose tracks have so many positions, a silence over the limit between them, at the antimeridian."""
    rng = np.random.default_rng(mmsi)
    reports, t, lon = [], NOON, 179_950_000
    for length in lengths:
        for _ in range(length):
            t += int(rng.choice([1, 2, 10, 11, 60]))
            lon += int(rng.integers(0, 40))
            lat = 55_000_000 + int(rng.integers(-50, 50))
            folded = (lon + 180_000_000) % 360_000_000 - 180_000_000
            reports.append(Report(mmsi, t, lat, folded, int(rng.integers(0, 15)), int(rng.integers(0, 3_600))))
        t += GAP
    return reports


def expected_windows(reports: list[Report]) -> set[tuple[int, int, bytes]]:
    """MMSI, Unix time of the first position and features of every window, by the letter of the rules."""
    windows = set()
    for mmsi, of_vessel in groupby(sorted(reports), key=lambda report: report.mmsi):
        tracks: list[list[list[float]]] = []
        before = None
        for report in of_vessel:
            if before is None or report.t - before > GAP:
                tracks.append([])
            before = report.t
            dt = report.t - tracks[-1][-1][5] if tracks[-1] else 0
            degrees = (report.lat / 1_000_000, report.lon / 1_000_000)
            tracks[-1].append([*degrees, (report.sog or 0) / 10, (report.cog or 0) / 10, dt, report.t])
        for track in tracks:
            for first in range(0, len(track) - WINDOW + 1, schema.STRIDE):
                rows = np.array(track[first : first + WINDOW])
                windows.add((mmsi, int(rows[0, 5]), rows[:, :5].astype(np.float32).tobytes()))
    return windows


@pytest.mark.parametrize(
    ("lengths", "count"),
    [
        ([WINDOW - 1], 0),
        ([WINDOW], 1),
        ([5, WINDOW - 1], 0),
        ([5, WINDOW], 1),
        ([5, WINDOW + 1], 1),
        ([5, WINDOW + schema.STRIDE - 1], 1),
        ([5, WINDOW + schema.STRIDE], 2),
        ([5, 3 * WINDOW, WINDOW], 1 + 1 + 2 * WINDOW // schema.STRIDE),
    ],
)
@pytest.mark.parametrize("piles", [1, 3])
def test_windows_are_those_of_plain_loops(lengths: list[int], count: int, piles: int) -> None:
    reports = voyage(SHIP, lengths)
    other = voyage(OTHER, [WINDOW + 2])
    tables, _ = built([clean_table(sorted(reports + other))], Rule())
    thrown = throw_windows(
        iter(tables), shard=0, piles=piles, window_len=WINDOW, stride=schema.STRIDE, seed=3, holdout_from=None
    )
    references = list(thrown.tables)[1:]
    packed = [np.concatenate(list(pack_tables(iter(tables))))]
    found = []
    for pile in range(piles):
        stream = pile_windows([references[pile]], packed, window_len=WINDOW, seed=3, pile=pile)
        for table in stream.tables:
            features = table["features"].combine_chunks().flatten().to_numpy().reshape(table.num_rows, -1)
            starts = [int(moment.timestamp()) for moment in table["start"].to_pylist()]
            found += zip(table["mmsi"].to_pylist(), starts, (row.tobytes() for row in features), strict=True)
    assert set(found) == expected_windows(reports + other)
    assert len(found) == len(set(found)) == count + 1
