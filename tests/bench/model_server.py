"""`python -m tests.bench.model_server`: an OpenAI-compatible endpoint on loopback, whose model is as fast as its name.

The model `COUNT-RATE` says COUNT tokens of English, RATE of them a second by the clock; with a rate of 0, as fast as
they are taken. Each is an event and a chunk of its own, as servers send them. Prints its base URL; ends when killed.
"""

from __future__ import annotations

import asyncio
import functools
import json
import re
import sys
import time

from tests.bench.english import pieces

AT_ONCE = 16
"""Tokens of one write, where there is no rate."""

LENGTH = re.compile(rb"content-length: *(\d+)", re.IGNORECASE)

HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\nconnection: close\r\ntransfer-encoding: chunked\r\n\r\n"


def chunk(event: str) -> bytes:
    """An event as a chunk of a body."""
    data = f"data: {event}\n\n".encode()
    return b"%x\r\n%s\r\n" % (len(data), data)


def delta(finish: str | None = None, **fields: str) -> str:
    """What an event says."""
    choice = {"index": 0, "delta": fields, "finish_reason": finish}
    return json.dumps({"id": "chatcmpl-1", "object": "chat.completion.chunk", "model": "bench", "choices": [choice]})


@functools.cache
def tokens(count: int) -> list[bytes]:
    """So many."""
    return [chunk(delta(content=piece)) for piece in pieces(count)]


async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """One request."""
    head = await reader.readuntil(b"\r\n\r\n")
    length = LENGTH.search(head)
    body = await reader.readexactly(int(length[1])) if length else b""
    if body:
        writer.write(HEAD)
        count, _, rate = json.loads(body)["model"].partition("-")
        await say(writer, tokens(int(count)), float(rate))
        writer.write(chunk(delta("stop")) + chunk("[DONE]") + b"0\r\n\r\n")
    else:
        models = json.dumps({"data": [{"id": "1-0"}]}).encode()
        writer.write(b"HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: %d\r\n\r\n%s" % (len(models), models))
    writer.close()


async def say(writer: asyncio.StreamWriter, events: list[bytes], rate: float) -> None:
    """All of it."""
    began = time.monotonic()
    for place in range(0, len(events), 1 if rate else AT_ONCE):
        if rate:
            await asyncio.sleep(max(0.0, began + place / rate - time.monotonic()))
        writer.write(b"".join(events[place : place + (1 if rate else AT_ONCE)]))
        await writer.drain()


async def main() -> None:
    """Answer until killed."""

    async def served(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await answer(reader, writer)
        except (ConnectionError, asyncio.IncompleteReadError):  # whoever asked is gone
            writer.close()

    server = await asyncio.start_server(served, "127.0.0.1", 0, backlog=1000)
    sys.stdout.write(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1\n")
    sys.stdout.flush()
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main())
