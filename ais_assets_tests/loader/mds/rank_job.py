"""What a rank of a job started by torchrun sees, in OUT/<rank>.json; arguments: REMOTE OUT BATCH_SIZE [STATE].

Where STOCK is in the environment also by mosaicml-streaming, whose import takes longer than all else; with as many
DataLoader workers in each epoch as WORKERS has there.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Sequence
from itertools import islice
from pathlib import Path
from typing import Any

from torch import distributed
from torch.utils.data import DataLoader

from ais_assets.io.streaming_loader import AISMDSDataset
from ais_assets_tests.loader.mds.mds_datasets import numbers, stock_batches, stock_dataset

if "STOCK" in os.environ:
    # Before ranks are forked of this process.
    import streaming as _streaming  # noqa: F401

WORKERS = tuple(map(int, os.environ.get("WORKERS", "0 0 0").split()))
"""An epoch each."""
BEFORE = 3
"""Batches of the last epoch before its state is taken."""


def seen(remote: str, cache: Path, batch_size: int, state: dict[str, Any] | None) -> dict[str, Any]:
    """The numbers of the samples in this rank's batches: an epoch for each of WORKERS, by the loader and by stock."""
    ours = AISMDSDataset(remote, str(cache / "ours"), batch_size=batch_size)
    result: dict[str, Any] = {"len": len(ours)}
    result["ours"] = [numbers(DataLoader(ours, batch_size=None, num_workers=workers)) for workers in WORKERS]
    if "STOCK" in os.environ:
        stock = stock_dataset(remote=remote, local=str(cache / "stock"), batch_size=batch_size, shuffle=True)
        result["stock"] = [stock_batches(stock, workers) for workers in WORKERS]
    batches = iter(ours)
    result["before"] = numbers(islice(batches, BEFORE))
    result["state"] = ours.state_dict()
    result["after"] = numbers(batches)
    if state is not None:
        # Ranks of a machine share what they resume from: no rank may load a state while another still takes one.
        distributed.barrier()
        ours.load_state_dict(state)
        result["resumed"] = numbers(ours)
    return result


def main(words: Sequence[str]) -> None:
    """Runs as one rank."""
    remote, out, batch_size = words[0], Path(words[1]), int(words[2])
    state = json.loads(Path(words[3]).read_text()) if len(words) > 3 else None
    distributed.init_process_group("gloo")
    result = seen(remote, out / "cache", batch_size, state)
    (out / f"{distributed.get_rank()}.json").write_text(json.dumps(result))
    distributed.destroy_process_group()


if __name__ == "__main__":
    main(sys.argv[1:])
