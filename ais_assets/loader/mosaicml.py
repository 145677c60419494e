"""All that is taken from mosaicml-streaming, and only when it is asked for: nothing else here imports it.

What is read by default (its format, its order of an epoch, its states) is read here without it; the tests hold both
beside each other, under mosaicml-streaming 0.13 and under the maintained fork streaming-community 0.14, which has the
same import name.

    taken                                               for                                  if it moves
    streaming.base.batching.random                      an epoch of other samples or by      those options fail with
      .generate_work_random_batching                    another shuffle: epoch_size,         the message of `_needs`,
    streaming.StreamingDataset.resample_streams         sampling_method, shuffle_algo, …     nothing else
    streaming.base.storage.download.CloudDownloader     a remote on gs://, oci://, hf://, …  such remotes fail likewise
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ais_assets.loader.errors import LoaderError
from ais_assets.loader.mds.order import Order
from ais_assets.loader.world import World


def order_of_samples(order: Order, world: World, epoch: int, sample_in_epoch: int) -> NDArray[np.int64]:
    """The samples of an epoch, or of what is left of it, divided over processes, by mosaicml-streaming itself.

    Args:
        order: which epoch.
        world: the processes to divide among.
        epoch: its number.
        sample_in_epoch: samples, on all ranks, that were yielded before.

    Returns:
        (nodes, ranks a node, workers a rank, batches a worker, batch size); -1 pads.
    """
    with _needs("an option other than the default ones of an epoch's order"):
        from streaming import StreamingDataset  # noqa: PLC0415 - takes seconds, and need not be installed
        from streaming.base.batching.random import generate_work_random_batching  # noqa: PLC0415

    shards = len(order.samples_per_shard)
    dataset: Any = SimpleNamespace(
        num_streams=1,
        streams=[SimpleNamespace(choose=order.epoch_size)],
        shard_offset_per_stream=np.zeros(1, np.int64),
        shards_per_stream=np.array([shards], np.int64),
        samples_per_shard=order.samples_per_shard,
        sample_offset_per_shard=order.samples_per_shard.cumsum() - order.samples_per_shard,
        epoch_size=order.epoch_size,
        sampling_method=order.sampling_method,
        sampling_granularity=order.sampling_granularity,
        epoch_seed_change=order.shuffle and order.sampling_method == "balanced",
        partition_algo=order.partition_algo,
        num_canonical_nodes=order.canonical_nodes,
        initial_physical_nodes=order.first_nodes,
        batch_size=order.batch_size,
        shuffle=order.shuffle,
        shuffle_algo=order.shuffle_algo,
        shuffle_seed=order.seed,
        shuffle_block_size=order.block_size,
    )
    dataset.resample_streams = partial(StreamingDataset.resample_streams, dataset)
    processes: Any = SimpleNamespace(
        num_nodes=world.nodes, ranks_per_node=world.ranks_per_node, workers_per_rank=world.workers_per_rank
    )
    return generate_work_random_batching(dataset, processes, epoch, sample_in_epoch)


class OtherPlace:
    """A place that mosaicml-streaming knows and `ais_assets.store.objects` does not: gs://, oci://, hf://, azure://…

    Args:
        uri: of the folder.
        timeout: seconds for one read.
    """

    def __init__(self, uri: str, timeout: float) -> None:
        self._uri = uri
        self._timeout = timeout

    def read(self, key: str) -> bytes:
        """The object's bytes."""
        with _needs(f"an address such as {self._uri}"):
            # Imports every cloud's client.
            from streaming.base.storage.download import CloudDownloader  # noqa: PLC0415

        with tempfile.TemporaryDirectory() as folder:
            local = Path(folder) / "object"
            CloudDownloader.get(self._uri).direct_download(f"{self._uri}/{key}", str(local), self._timeout)
            return local.read_bytes()


@contextmanager
def _needs(what: str) -> Iterator[None]:
    try:
        yield
    except ImportError as error:
        raise LoaderError(
            f"{what} needs mosaicml-streaming 0.13, or streaming-community 0.14, and what is installed does not serve "
            f"({error}): install it, or do without"
        ) from error
