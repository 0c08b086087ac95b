"""`python -m tests.bench.bare_socket serve SOCKET TURNS`, `… read SOCKET`: the barest way from one process to another.

asyncio on both ends of a Unix socket, a piece a write; the reader writes what comes to its stdout. Nothing is kept.
"""

from __future__ import annotations

import asyncio
import os
import sys

from tests.bench.schedule import stamps


async def serve(path: str, turns: int) -> None:
    """Send the pieces to the one reader that comes."""
    sent = asyncio.Event()

    async def send(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        async for piece in stamps(1, turns):
            writer.write(piece.encode())
            await writer.drain()
        writer.close()
        sent.set()

    async with await asyncio.start_unix_server(send, path):
        sys.stdout.write("ready\n")
        sys.stdout.flush()
        await sent.wait()


async def read(path: str) -> None:
    """Write to stdout what comes."""
    reader, _ = await asyncio.open_unix_connection(path)
    while data := await reader.read(65536):
        os.write(1, data)


def main() -> None:
    """One of the two."""
    role, path, *turns = sys.argv[1:]
    asyncio.run(serve(path, int(turns[0])) if role == "serve" else read(path))


if __name__ == "__main__":
    main()
