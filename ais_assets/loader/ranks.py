"""Which of a job's processes this one is, and whether all of them have read the same."""

from __future__ import annotations

import hashlib
import os
from typing import NamedTuple

import torch
from torch import distributed

from ais_assets.loader.remote import LoaderError


class Ranks(NamedTuple):
    """A job's training processes: this one's number, and how many there are."""

    rank: int
    count: int


def detect_ranks() -> Ranks:
    """As torch.distributed says where it is set up, else as `torchrun` left it in the environment; else one rank.

    Raises ValueError where the environment's numbers contradict each other.
    """
    if distributed.is_available() and distributed.is_initialized():
        return Ranks(distributed.get_rank(), distributed.get_world_size())
    ranks = Ranks(int(os.environ.get("RANK", "0")), int(os.environ.get("WORLD_SIZE", "1")))
    if not 0 <= ranks.rank < ranks.count:
        raise ValueError(f"RANK is {ranks.rank} and WORLD_SIZE {ranks.count}: a rank is 0 to WORLD_SIZE - 1")
    return ranks


def require_same_on_all_ranks(content: bytes, where: str) -> None:
    """Raises LoaderError unless all ranks have read this content; a dataset may be published while a job starts."""
    if not (distributed.is_available() and distributed.is_initialized()):
        return
    digest = int.from_bytes(hashlib.sha256(content).digest()[:8], "little", signed=True)
    device = f"cuda:{os.environ.get('LOCAL_RANK', '0')}" if distributed.get_backend() == "nccl" else "cpu"
    ours = torch.tensor([digest], dtype=torch.int64, device=device)
    all_digests = [torch.empty_like(ours) for _ in range(distributed.get_world_size())]
    distributed.all_gather(all_digests, ours)
    if any(int(other) != digest for other in all_digests):
        raise LoaderError(f"{where} was published anew while this job's ranks were starting: start the job again")
