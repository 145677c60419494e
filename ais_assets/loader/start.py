"""The start of a job with several ranks: all read the same index, and those of a machine share their memory."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import distributed as dist

from ais_assets.loader.errors import LoaderError
from ais_assets.loader.world import World


def told_to_all(world: World, numbers: tuple[int, int]) -> list[tuple[int, int]]:
    """What every rank tells the others, by rank; returns when all have. Each number is an int64."""
    if world.ranks == 1:
        return [numbers]
    with _process_group(world):
        device = f"cuda:{os.environ.get('LOCAL_RANK', '0')}" if dist.get_backend() == "nccl" else "cpu"
        ours = torch.tensor(numbers, dtype=torch.int64, device=device)
        everybodys = [torch.empty_like(ours) for _ in range(world.ranks)]
        dist.all_gather(everybodys, ours)
        return [(int(first), int(second)) for first, second in everybodys]


@contextmanager
def _process_group(world: World) -> Iterator[None]:
    """The job's process group, or one for a moment where it has not made its own yet."""
    if not dist.is_available():
        raise LoaderError(f"this job has {world.ranks} ranks, and this build of torch cannot let them speak")
    if dist.is_initialized():
        if dist.get_world_size() != world.ranks:
            raise LoaderError(
                f"torch.distributed has {dist.get_world_size()} ranks, and the environment says WORLD_SIZE="
                f"{world.ranks}: start the job by torchrun, or set RANK, WORLD_SIZE, LOCAL_RANK and LOCAL_WORLD_SIZE"
            )
        yield
        return
    dist.init_process_group("gloo", rank=world.rank, world_size=world.ranks)
    try:
        yield
    finally:
        dist.destroy_process_group()
