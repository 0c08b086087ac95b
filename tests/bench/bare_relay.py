"""`python -m tests.bench.bare_relay SOCKET ENDPOINT`: the barest way from a model's endpoint to a reader in another
process.

asyncio on both ends: whoever writes a line with the name of a model is written its text, a piece a write. Nothing is
kept, and of the endpoint's answer only what it must be is looked at.
"""

from __future__ import annotations

import asyncio
import json
import sys
from urllib.parse import urlsplit


async def relay(endpoint: str, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """One text."""
    at = urlsplit(endpoint)
    body = json.dumps({"model": (await reader.readline()).decode().strip(), "stream": True})
    answer, request = await asyncio.open_connection(at.hostname, at.port)
    request.write(f"POST {at.path}/chat/completions HTTP/1.1\r\ncontent-length: {len(body)}\r\n\r\n{body}".encode())
    while line := await answer.readline():
        if line.startswith(b"data: {"):
            piece = json.loads(line[6:])["choices"][0]["delta"].get("content")
            if piece:
                writer.write(piece.encode())
                await writer.drain()
    writer.close()
    request.close()


async def main() -> None:
    """Until killed."""
    path, endpoint = sys.argv[1:]
    server = await asyncio.start_unix_server(lambda *ends: relay(endpoint, *ends), path, backlog=1000)
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main())
