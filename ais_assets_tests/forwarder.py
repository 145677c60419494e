"""Stands before a server: `python -m ais_assets_tests.forwarder PORT HOST:PORT`.

It is killed in its stead where the server itself, such as moto, keeps nothing once it has ended.
"""

from __future__ import annotations

import asyncio
import sys


async def _hand_on(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        while data := await reader.read(1 << 16):
            writer.write(data)
            await writer.drain()
    except ConnectionError:
        pass
    finally:
        writer.close()


async def _forward(port: int, host: str, behind: int) -> None:
    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        answers, asks = await asyncio.open_connection(host, behind)
        await asyncio.gather(_hand_on(reader, asks), _hand_on(answers, writer))

    server = await asyncio.start_server(connected, "127.0.0.1", port)
    await server.serve_forever()


if __name__ == "__main__":
    host, _, behind = sys.argv[2].rpartition(":")
    asyncio.run(_forward(int(sys.argv[1]), host, int(behind)))
