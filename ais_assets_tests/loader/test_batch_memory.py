"""Memory that batches lend: given out again when nobody has the batch, and never before."""

from __future__ import annotations

import gc
import os
import pickle

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
