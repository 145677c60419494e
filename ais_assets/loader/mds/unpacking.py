"""Shards unpacked piece by piece: no more bytes come out than the index says that there are."""

from __future__ import annotations

import bz2
import zlib
from collections.abc import Iterator
from typing import Any, Final

import zstandard

from ais_assets.loader.mds.rows import ShardDamagedError

_PIECE_BYTES: Final = 1 << 18
"""Unpacked at once. Larger pieces are new memory every time, which takes longer than to unpack into it."""
_GZIP: Final = 16 + zlib.MAX_WBITS
"""zlib's word for gzip's header."""


def unpacked(data: bytes, compression: str, size: int) -> Iterator[bytes]:
    """The raw shard in pieces.

    Args:
        data: the shard as it is published.
        compression: "zstd", "gz", "bz2", or "" for none.
        size: bytes that it must unpack to; the piece that would exceed them is not given out.

    Raises ShardDamagedError, at the latest after the last piece, when it is not whole or not of that size.
    """
    if not compression:
        yield data
        return
    got = 0
    try:
        for piece in _PIECES[compression](data):
            got += len(piece)
            if got > size:
                raise ShardDamagedError(f"it unpacks to more than the {size:,} bytes that the index says")
            yield piece
    except (zstandard.ZstdError, zlib.error, OSError, EOFError, ValueError) as error:
        if isinstance(error, ShardDamagedError):
            raise
        raise ShardDamagedError(f"it does not unpack after {got:,} bytes: {error}") from error
    if got != size:
        raise ShardDamagedError(f"it unpacks to {got:,} bytes; the index says {size:,}")


def _from_zstd(data: bytes) -> Iterator[bytes]:
    # The other binding of zstd on the registry, which mosaicml-streaming uses, keeps the GIL while it unpacks.
    reader = zstandard.ZstdDecompressor().stream_reader(data, read_across_frames=True)
    while piece := reader.read(_PIECE_BYTES):
        yield piece


def _from_gzip(data: bytes) -> Iterator[bytes]:
    while data:
        member: Any = zlib.decompressobj(_GZIP)
        while not member.eof:
            piece = member.decompress(data, _PIECE_BYTES)
            data = member.unconsumed_tail
            if not piece and not data and not member.eof:
                raise EOFError("it ends too early")
            yield piece
        data = member.unused_data


def _from_bzip2(data: bytes) -> Iterator[bytes]:
    while data:
        stream = bz2.BZ2Decompressor()
        while not stream.eof:
            piece = stream.decompress(data, _PIECE_BYTES)
            data = b""
            if not piece and stream.needs_input:
                raise EOFError("it ends too early")
            yield piece
        data = stream.unused_data


_PIECES: Final = {"zstd": _from_zstd, "gz": _from_gzip, "bz2": _from_bzip2}
