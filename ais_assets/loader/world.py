"""Who a process is among those of a training job: its machine, its rank, and its DataLoader worker of that rank."""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass, replace
from typing import Self

from torch.utils.data import get_worker_info

_SHARES_OUT = ("DataLoaderDispatcher", "IterableDatasetShard")
"""Of accelerate: what its `prepare` puts around an iterable dataset, to divide its batches among ranks."""


@dataclass(frozen=True)
class World:
    """A process's place among a job's machines (nodes), ranks and DataLoader workers.

    Attributes:
        nodes: machines.
        ranks_per_node: ranks of each machine.
        workers_per_rank: DataLoader workers of each rank; 1 where the rank iterates by itself.
        worker: this process's number among all workers of all ranks.
    """

    nodes: int
    ranks_per_node: int
    workers_per_rank: int
    worker: int

    @classmethod
    def detect(cls) -> Self:
        """As torchrun's environment (RANK, WORLD_SIZE, LOCAL_WORLD_SIZE) and torch's worker have it."""
        ranks_per_node = int(os.environ.get("LOCAL_WORLD_SIZE", "1"))
        nodes = int(os.environ.get("WORLD_SIZE", "1")) // ranks_per_node
        return cls(nodes, ranks_per_node, 1, int(os.environ.get("RANK", "0"))).with_workers()

    def with_workers(self) -> Self:
        """The same rank as its DataLoader worker, in one; else as it is."""
        info = get_worker_info()
        if info is None:
            return self
        worker = self.rank * info.num_workers + info.id
        return replace(self, workers_per_rank=info.num_workers, worker=worker)

    def replicated(self, replication: int) -> Self:
        """The place among groups of so many consecutive ranks, each of which is to see the same samples.

        Raises ValueError when the ranks do not divide into such groups.
        """
        if replication < 1 or self.ranks % replication:
            raise ValueError(f"replication is {replication}; it must divide the number of ranks, {self.ranks}")
        ranks = self.ranks // replication
        # As mosaicml-streaming: groups that are on several machines count as on one.
        nodes = ranks // self.ranks_per_node if ranks % self.ranks_per_node == 0 else 1
        worker = self.rank // replication * self.workers_per_rank + self.worker_of_rank
        return replace(self, nodes=nodes, ranks_per_node=ranks // nodes, worker=worker)

    @property
    def ranks(self) -> int:
        """Of all machines."""
        return self.nodes * self.ranks_per_node

    @property
    def workers(self) -> int:
        """Of all ranks."""
        return self.ranks * self.workers_per_rank

    @property
    def workers_per_node(self) -> int:
        """Of all ranks of a machine."""
        return self.ranks_per_node * self.workers_per_rank

    @property
    def node(self) -> int:
        """This process's machine."""
        return self.worker // self.workers_per_node

    @property
    def rank(self) -> int:
        """This process's rank among all."""
        return self.worker // self.workers_per_rank

    @property
    def rank_of_node(self) -> int:
        """This process's rank among those of its machine."""
        return self.rank % self.ranks_per_node

    @property
    def worker_of_node(self) -> int:
        """This process's number among the workers of its machine."""
        return self.worker % self.workers_per_node

    @property
    def worker_of_rank(self) -> int:
        """This process's number among the workers of its rank."""
        return self.worker % self.workers_per_rank

    @property
    def leads_node(self) -> bool:
        """Whether it is the first process of its machine, which does what is done once for all of them."""
        return self.worker_of_node == 0


def check_not_shared_out_again(world: World) -> None:
    """Raises ValueError where accelerate would divide among ranks what is one rank's share already.

    To be called where an epoch begins, and where the dataset is pickled for a spawned worker: accelerate's own loader
    is then one of the callers. It asks the first rank's dataset alone, which would wait for the others for ever; or it
    has every rank read its share and throw all but a share of that away. Its loaders cannot be told otherwise.
    """
    accelerate = sys.modules.get("accelerate.data_loader")
    if accelerate is None or world.ranks == 1:
        return
    kinds = tuple(getattr(accelerate, name) for name in _SHARES_OUT if hasattr(accelerate, name))
    frame = sys._getframe()
    while frame is not None:
        if isinstance(frame.f_locals.get("self"), kinds):
            raise ValueError(
                "accelerate's prepare() would divide this dataset's batches among the ranks once more: each rank gets "
                "its own share already. Iterate the dataset itself, or a DataLoader over it that was not given to "
                "prepare(); device= copies batches to the accelerator"
            )
        frame = frame.f_back
