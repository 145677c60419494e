"""What a rank of a job started by torchrun sees under accelerate, in OUT/<rank>.json; arguments: REMOTE OUT WAY."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from accelerate import Accelerator  # pyright: ignore[reportMissingImports] - need not be installed
from accelerate.utils import DataLoaderConfiguration  # pyright: ignore[reportMissingImports]
from torch.utils.data import DataLoader

from ais_assets.io.streaming_loader import AISMDSDataset
from ais_assets_tests.loader.mds.mds_datasets import numbers


def prepared(way: str, dataset: AISMDSDataset) -> Iterable[Any]:
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
    remote, out, way = sys.argv[1], Path(sys.argv[2]), sys.argv[3]
    dataset = AISMDSDataset(remote, str(out / "cache"), batch_size=8)
    seen = numbers(prepared(way, dataset))
    (out / f"{Accelerator(cpu=True).process_index}.json").write_text(json.dumps(seen))


if __name__ == "__main__":
    main()
