"""Kernels in tests: several processes test at once, and each would compile for itself what none has compiled before."""

from __future__ import annotations

import fcntl
import hashlib
import os
from pathlib import Path
from typing import Any

from numba.core.compiler_lock import global_compiler_lock
from numba.core.dispatcher import Dispatcher


def compile_each_once(locks: Path) -> None:
    """From now on a kernel that several processes need at once is compiled by one; the others wait, and load it.

    Args:
        locks: a file for all of them, made if need be; its bytes are the locks.
    """
    # Never closed: a process loses its locks of a file when it closes it.
    file = os.open(locks, os.O_RDWR | os.O_CREAT, 0o600)
    compile_or_load = Dispatcher.compile

    def compiled(self: Any, sig: Any) -> Any:
        code = self.py_func.__code__
        name = f"{code.co_filename}:{code.co_firstlineno} {code.co_name}"
        byte = int.from_bytes(hashlib.sha256(name.encode()).digest()[:7], "big")
        # numba's own comes first, or two threads of a process could wait for each other's.
        with global_compiler_lock:
            fcntl.lockf(file, fcntl.LOCK_EX, 1, byte)
            try:
                return compile_or_load(self, sig)
            finally:
                fcntl.lockf(file, fcntl.LOCK_UN, 1, byte)

    Dispatcher.compile = compiled
