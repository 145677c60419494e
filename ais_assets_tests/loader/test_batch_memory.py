"""Memory that batches lend: given out again when nobody has the batch, and never before."""

from __future__ import annotations

import gc
import os
import pickle
from pathlib import Path

import numpy as np
import pytest
import torch

from ais_assets.loader.batch_memory import BatchMemory

SHAPE = (3, 5, 2)


def test_memory_is_lent_again_once_nobody_has_any_part_of_it() -> None:
    memory = BatchMemory()
    batch = memory.tensor(SHAPE, torch.float32)
    assert (tuple(batch.shape), batch.dtype) == (SHAPE, torch.float32)
    place = batch.data_ptr()
    row, array = batch[1], batch.numpy()[2]
    del batch
    gc.collect()
    assert memory.tensor(SHAPE, torch.float32).data_ptr() != place
    row.fill_(7)
    del array
    gc.collect()
    others = [memory.tensor(SHAPE, torch.float32) for _ in range(3)]
    assert place not in [other.data_ptr() for other in others]
    assert row.eq(7).all()
    del row
    gc.collect()
    assert memory.tensor(SHAPE, torch.float32).data_ptr() == place


def test_every_kind_and_size_is_lent() -> None:
    memory = BatchMemory()
    for dtype in (torch.float32, torch.int64, torch.bool):
        for shape in ((0, 4), (1,), (64, 928, 5)):
            tensor = memory.tensor(shape, dtype)
            assert (tuple(tensor.shape), tensor.dtype) == (shape, dtype)
            tensor.zero_()


@pytest.mark.skipif(not Path("/sys/kernel/mm/transparent_hugepage").is_dir(), reason="this system has no huge pages")
def test_a_large_batch_asks_for_huge_pages_and_a_small_one_does_not() -> None:
    memory = BatchMemory()
    large, small = (memory.tensor((windows, 928, 5), torch.float32) for windows in (64, 4))
    assert ("hg" in _flags_of(large), "hg" in _flags_of(small)) == (True, False)


def _flags_of(tensor: torch.Tensor) -> list[str]:
    """The flags of the mapping that a tensor lies in (proc(5), smaps)."""
    inside = False
    for line in Path("/proc/self/smaps").read_text().splitlines():
        first, _, rest = line.partition(" ")
        if "-" in first and not first.endswith(":"):
            begin, end = (int(bound, 16) for bound in first.split("-"))
            inside = begin <= tensor.data_ptr() < end
        elif inside and first == "VmFlags:":
            return rest.split()
    raise AssertionError("the tensor is in no mapping")


def test_a_column_is_filled() -> None:
    column = BatchMemory().column(np.array([3, 1, 2]))
    assert (column.dtype, column.tolist()) == (torch.int64, [3, 1, 2])


@pytest.mark.filterwarnings("ignore:.*use of fork\\(\\) may lead to deadlocks:DeprecationWarning")
def test_a_fork_does_not_write_into_its_parents_batches() -> None:
    memory = BatchMemory()
    batch = memory.tensor(SHAPE, torch.float32).fill_(1)
    place = batch.data_ptr()
    del batch
    gc.collect()
    child = os.fork()
    if not child:
        memory.tensor(SHAPE, torch.float32).fill_(2)
        os._exit(0)
    os.waitpid(child, 0)
    again = memory.tensor(SHAPE, torch.float32)
    assert again.data_ptr() == place
    assert again.eq(1).all()


def test_another_process_has_memory_of_its_own() -> None:
    memory = BatchMemory()
    lent = memory.tensor(SHAPE, torch.float32)
    assert pickle.loads(pickle.dumps(memory)).tensor(SHAPE, torch.float32).data_ptr() != lent.data_ptr()
    assert pickle.loads(pickle.dumps(lent)).shape == lent.shape
