"""What vessels of different splits have in common, and what they may have without being named."""

from __future__ import annotations

from typing import Any

import pyarrow as pa

from ais_assets.transforms.doubtful_hulls import doubtful_hulls

KINDS = {
    "mmsi": pa.int32(),
    "split": pa.string(),
    "name": pa.string(),
    "callsign": pa.string(),
    "imos": pa.list_(pa.int32()),
    "invalid_imos": pa.list_(pa.int32()),
}


def vessels(*rows: dict[str, Any]) -> pa.Table:
    """Vessels of which nothing is known but what the rows say, one MMSI after the other."""
    blank = {"split": "train", "name": None, "callsign": None, "imos": [], "invalid_imos": []}
    return pa.Table.from_pylist(
        [{"mmsi": 201_000_001 + k, **blank, **row} for k, row in enumerate(rows)],
        pa.schema(KINDS.items()),
    )


def test_what_is_of_one_split_or_of_one_vessel_is_no_doubt() -> None:
    same = {"name": "ANNE", "callsign": "OXXL", "imos": [9_074_729], "invalid_imos": [7]}
    assert doubtful_hulls(vessels(same, same, {"split": "test"}, {"split": "validation", "name": "ANNE"})) == []
    assert doubtful_hulls(vessels()) == []


def test_each_kind_of_evidence_is_named() -> None:
    test, validation = {"split": "test"}, {"split": "validation"}
    found = doubtful_hulls(
        vessels(
            {"imos": [9_074_729, 9_300_001]},
            {"imos": [9_074_729], **test},
            *({"imos": [9_111_111], **(validation if k % 2 else {})} for k in range(9)),
            {"invalid_imos": [1_234_568], **validation},
            {"invalid_imos": [1_234_568], **test},
            {"name": "ANNE", "callsign": "OXXL"},
            {"name": "ANNE", "callsign": "OXXL", **validation},
            {"name": "ANNE", "callsign": "OXXL", **test},
        )
    )
    assert [hull[:4] for hull in found] == [
        ("IMO number of more than 8 vessels", "9111111", 9, ["train", "validation"]),
        ("IMO number that some have changed since", "9074729", 2, ["test", "train"]),
        ("name and call sign", "ANNE, OXXL", 3, ["test", "train", "validation"]),
        ("no IMO number", "1234568", 2, ["test", "validation"]),
    ]
    assert found[0].some == list(range(201_000_003, 201_000_011))
