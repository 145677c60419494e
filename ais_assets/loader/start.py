"""The start of a job with several ranks: all read the same index, and those of a machine share their memory."""

from __future__ import annotations

import itertools
import json
import os
import time
from datetime import timedelta
from typing import Final

import torch
from torch import distributed
from torch.distributed.rendezvous import rendezvous

from ais_assets.loader.errors import LoaderError
from ais_assets.loader.world import World

_SECONDS: Final = 1800.0
"""As torch.distributed waits by default."""
_TICK_SECONDS: Final = 0.01
_talks = itertools.count()
"""One number each time that this job's ranks, which all make the same datasets in the same order, tell one another."""


def told_to_all(world: World, numbers: tuple[int, int]) -> list[tuple[int, int]]:
    """What every rank tells the others, by rank; returns when all have. Each number is an int64.

    Raises LoaderError when the ranks cannot speak, or torch.distributed has others than the environment says.
    """
    if world.ranks == 1:
        return [numbers]
    if not distributed.is_available():
        raise LoaderError(f"this job has {world.ranks} ranks, and this build of torch cannot let them speak")
    if not distributed.is_initialized():
        return _by_the_store(world, numbers)
    if distributed.get_world_size() != world.ranks:
        raise LoaderError(
            f"torch.distributed has {distributed.get_world_size()} ranks, and the environment says WORLD_SIZE="
            f"{world.ranks}: start the job by torchrun, or set RANK, WORLD_SIZE, LOCAL_RANK and LOCAL_WORLD_SIZE"
        )
    device = f"cuda:{os.environ.get('LOCAL_RANK', '0')}" if distributed.get_backend() == "nccl" else "cpu"
    ours = torch.tensor(numbers, dtype=torch.int64, device=device)
    everybodys = [torch.empty_like(ours) for _ in range(world.ranks)]
    distributed.all_gather(everybodys, ours)
    return [(int(first), int(second)) for first, second in everybodys]


def _by_the_store(world: World, numbers: tuple[int, int]) -> list[tuple[int, int]]:
    """The same where the job has made no process group yet, by what it will find its ranks with.

    A group for the moment would leave addresses there that the job's own group would take for its.
    """
    waits = timedelta(seconds=_SECONDS)
    store, _, _ = next(rendezvous("env://", world.rank, world.ranks, timeout=waits))
    restart = os.environ.get("TORCHELASTIC_RESTART_COUNT", "0")
    prefix = f"ais_loader/{restart}/{next(_talks)}"
    # Documented as torch.distributed's, which its types do not say.
    here = distributed.PrefixStore(prefix, store)  # pyright: ignore[reportPrivateImportUsage]
    here.set(str(world.rank), json.dumps(numbers))
    told = [json.loads(here.get(str(rank))) for rank in range(world.ranks)]
    here.add("heard", 1)
    deadline = time.monotonic() + _SECONDS
    # The first rank may be the one that keeps the store: it leaves last.
    while world.rank == 0 and here.add("heard", 0) < world.ranks:
        if time.monotonic() > deadline:
            raise LoaderError(f"not all of this job's {world.ranks} ranks have started: has one ended?")
        time.sleep(_TICK_SECONDS)
    return [(first, second) for first, second in told]
