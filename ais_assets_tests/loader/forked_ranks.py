"""Ranks of a job on this machine by torch's elastic agent, which torchrun is of too: each a fork of this process.

What they would import each, which takes longer than all that they do, is imported once. Arguments: RANKS LOGS MODULE
[ARGUMENT …]; the module has a `main` of the arguments.
"""

from __future__ import annotations

import sys
import uuid
from importlib import import_module

from torch.distributed.elastic.multiprocessing import DefaultLogsSpecs
from torch.distributed.launcher.api import LaunchConfig, elastic_launch


def main() -> None:
    """Runs the job. Raises where a rank fails."""
    ranks, logs, module, *words = sys.argv[1:]
    config = LaunchConfig(
        min_nodes=1,
        max_nodes=1,
        nproc_per_node=int(ranks),
        run_id=uuid.uuid4().hex,
        rdzv_backend="c10d",
        rdzv_endpoint="localhost:0",
        max_restarts=0,
        start_method="fork",
        logs_specs=DefaultLogsSpecs(logs),
    )
    elastic_launch(config, import_module(module).main)(words)


if __name__ == "__main__":
    main()
