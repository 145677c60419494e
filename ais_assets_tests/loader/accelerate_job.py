"""What a rank of a job sees under accelerate, in OUT/<rank>.json; arguments: FORMAT REMOTE OUT.

It has the dataset, and then the error of loaders that accelerate would share out. The last of them is not caught: ranks
to which the first one would dispatch wait for it for ever, unless it ends the job.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
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


def batches(way: str, kind: str, remote: str, cache: Path) -> list[Any]:
    """What this rank gets in this way: of MDS numbers, of tracks where each window begins."""
    if kind == "tracks":
        cut = TrackWindowDataset(remote, cache, batch_size=8, provenance=True)
        return [list(zip(of["track"].tolist(), of["start"].tolist(), strict=True)) for _, of in prepared(way, cut)]
    return numbers(prepared(way, AISMDSDataset(remote, cache, batch_size=8)))


def main(words: Sequence[str]) -> None:
    """Runs as one rank."""
    kind, remote, out = words[0], words[1], Path(words[2])
    seen: dict[str, Any] = {"dataset": batches("dataset", kind, remote, out / "given")}
    try:
        batches("sharded", kind, remote, out / "sharded")
    except ValueError as error:
        seen["sharded"] = str(error)
    accelerator = Accelerator(cpu=True)
    (out / f"{accelerator.process_index}.json").write_text(json.dumps(seen))
    # Else the first rank's error may end the others before they have said what they saw.
    accelerator.wait_for_everyone()
    batches("dispatched", kind, remote, out / "dispatched")
