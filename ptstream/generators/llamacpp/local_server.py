"""llama.cpp on this machine: a process for each GGUF file in use, started on first use and stopped when idle.

They run apart, so that a crash in native code loses no text, and they end when we do. A single process is left to
`server_process`; it is asked by `openai.chat`, as any endpoint.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager

import anyio
from anyio.abc import TaskGroup, TaskStatus

from ptstream import wire
from ptstream.errors import GeneratorError
from ptstream.generators.llamacpp.server_process import ServerProcess
from ptstream.generators.llamacpp.sockets import new_path, sweep
from ptstream.generators.openai.upstream import Upstream
from ptstream.settings import Home

IDLE = 300.0
"""Seconds without a user after which a process is stopped."""


class LocalServer:
    """The llama.cpp processes of one owner, which run in its task group `tasks`.

    `close` it, or cancel the group: the group does not end before they have.
    """

    def __init__(self, home: Home, tasks: TaskGroup, *, idle: float = IDLE) -> None:
        self._home = home
        self._tasks = tasks
        self._idle = idle
        self._servers: dict[str, ServerProcess] = {}
        self._scopes: set[anyio.CancelScope] = set()
        self._locks: defaultdict[str, anyio.Lock] = defaultdict(anyio.Lock)

    def __repr__(self) -> str:
        return f"LocalServer({list(self._servers.values())})"

    @property
    def running(self) -> Mapping[str, int]:
        """The process ids, by the path of the GGUF file."""
        return {gguf: server.pid for gguf, server in self._servers.items()}

    def close(self) -> None:
        """Stop every process, used or not. Returns at once."""
        for scope in self._scopes:
            scope.cancel()

    @asynccontextmanager
    async def reach(self, gguf: str) -> AsyncIterator[Upstream]:
        """Where the model in the file `gguf` is asked, for as long as the context lasts.

        Raises GeneratorError when the process cannot be started; and instead of one from inside, if it has died.
        """
        async with self._use(gguf) as server:
            with wire.short_path(server.path) as path:
                try:
                    yield Upstream("http://localhost/v1", uds=path, name="llama.cpp")
                except GeneratorError as error:
                    raise await server.explain(error) from error

    @asynccontextmanager
    async def _use(self, gguf: str) -> AsyncIterator[ServerProcess]:
        async with self._locks[gguf]:
            server = self._servers.get(gguf)
            if server is None or server.ended:
                server = await self._started(gguf)
            else:
                server.enter()
        try:
            yield server
        finally:
            server.leave()

    async def _started(self, gguf: str) -> ServerProcess:
        self._home.make()
        sweep(self._home.path)
        server = ServerProcess(gguf, new_path(self._home.path))
        server.enter()
        await self._tasks.start(self._run, server, name=f"llama.cpp {gguf}")
        return server

    async def _run(self, server: ServerProcess, *, task_status: TaskStatus[None]) -> None:
        started = False
        with anyio.CancelScope() as scope:
            self._scopes.add(scope)
            try:
                await server.start()
                self._servers[server.gguf] = server
                task_status.started()
                started = True
                await server.until_idle(self._idle)
            finally:
                # Before anything is waited for: whoever comes now starts a process of their own.
                self._scopes.discard(scope)
                if self._servers.get(server.gguf) is server:
                    del self._servers[server.gguf]
                with anyio.CancelScope(shield=True):
                    await server.stop()
        if not started:
            raise GeneratorError("llama.cpp was stopped before it had started")
