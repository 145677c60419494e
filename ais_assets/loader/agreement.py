"""Whether all ranks of a job have read the same."""

from __future__ import annotations

import hashlib
import os

import torch
from torch import distributed

from ais_assets.loader.remote import LoaderError


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
