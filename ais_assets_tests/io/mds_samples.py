"""All samples of a local MDS folder."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa

from ais_assets import schema
from ais_assets.io.mds import INDEX_FILE, read_shard, shard_entries


def read_samples(folder: Path, window_len: int | None = None) -> pa.Table:
    """Of a folder with an index, in their order, each shard checked by its hashes as `read_shard` does."""
    shards = [
        read_shard(folder, entry, window_len)
        for entry in shard_entries((folder / INDEX_FILE).read_bytes(), str(folder / INDEX_FILE))
    ]
    return pa.concat_tables(shards) if shards else schema.windows_schema(window_len or 1).empty_table()
