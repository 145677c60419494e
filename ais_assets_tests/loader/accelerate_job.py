"""What a rank of a torchrun job sees under accelerate, in OUT/<rank>.json; arguments: FORMAT REMOTE OUT WAY."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from accelerate import Accelerator  # pyright: ignore[reportMissingImports] - need not be installed
from accelerate.utils import DataLoaderConfiguration  # pyright: ignore[reportMissingImports]
from torch.utils.data import DataLoader

from ais_assets.io.streaming_loader import AISMDSDataset, TrackWindowDataset
from ais_assets_tests.loader.mds.mds_datasets import numbers


def prepared(way: str, dataset: AISMDSDataset | TrackWindowDataset) -> Iterable[Any]:
    """The batches: of the dataset itself, or of a loader that accelerate shares out."""
    if way == "dispatched":
        return Accelerator(cpu=True).prepare(DataLoader(dataset, batch_size=None))
    accelerator = Accelerator(cpu=True, dataloader_config=DataLoaderConfiguration(dispatch_batches=False))
    if way == "sharded":
        return accelerator.prepare(DataLoader(dataset, batch_size=1))
    given = accelerator.prepare(dataset)
    assert given is dataset
    return dataset


def main() -> None:
    """Runs as one rank."""
    kind, remote, out, way = sys.argv[1], sys.argv[2], Path(sys.argv[3]), sys.argv[4]
    seen: list[Any]
    if kind == "tracks":
        cut = TrackWindowDataset(remote, out / "cache", batch_size=8, provenance=True)
        seen = [list(zip(of["track"].tolist(), of["start"].tolist(), strict=True)) for _, of in prepared(way, cut)]
    else:
        seen = numbers(prepared(way, AISMDSDataset(remote, out / "cache", batch_size=8)))
    (out / f"{Accelerator(cpu=True).process_index}.json").write_text(json.dumps(seen))


if __name__ == "__main__":
    main()
