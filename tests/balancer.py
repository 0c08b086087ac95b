"""A balancer before daemons, as teams have one: it passes on bytes, and knows which daemon takes a connection."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field

import anyio
import anyio.from_thread
from anyio.abc import ByteStream, SocketAttribute


@dataclass
class Balancer:
    """Each connection goes to the first of `ports` that takes it."""

    url: str
    ports: list[int] = field(default_factory=list)


@contextlib.contextmanager
def balancer() -> Iterator[Balancer]:
    """One on the loopback, in a thread of its own."""
    with anyio.from_thread.start_blocking_portal() as portal, portal.wrap_async_context_manager(_running()) as made:
        yield made


@contextlib.asynccontextmanager
async def _running() -> AsyncIterator[Balancer]:
    listener = await anyio.create_tcp_listener(local_host="127.0.0.1")
    made = Balancer(f"http://127.0.0.1:{listener.listeners[0].extra(SocketAttribute.local_port)}")

    async def handle(client: ByteStream) -> None:
        async with client:
            for port in made.ports:
                with contextlib.suppress(OSError):
                    async with await anyio.connect_tcp("127.0.0.1", port) as server:
                        await _passed_on(client, server)
                        return

    async with listener, anyio.create_task_group() as tasks:
        tasks.start_soon(listener.serve, handle)
        yield made
        tasks.cancel_scope.cancel()


async def _passed_on(client: ByteStream, server: ByteStream) -> None:
    """Both ways, until either hangs up: then the other is hung up on, too."""
    async with anyio.create_task_group() as tasks:

        async def pump(source: ByteStream, target: ByteStream) -> None:
            with contextlib.suppress(anyio.BrokenResourceError, anyio.ClosedResourceError):
                async for data in source:
                    await target.send(data)
            tasks.cancel_scope.cancel()

        tasks.start_soon(pump, client, server)
        tasks.start_soon(pump, server, client)
