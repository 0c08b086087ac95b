"""A proxy: TLS to browsers, plain HTTP to what stands behind it, and the habits of those that people run."""

from __future__ import annotations

import contextlib
import socket
import subprocess
import threading
from collections.abc import AsyncIterator, Iterator, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import NamedTuple

import httpx
import uvicorn
from starlette.applications import Starlette
from starlette.background import BackgroundTask
from starlette.requests import Request
from starlette.responses import StreamingResponse
from starlette.routing import Route

from tests.conftest import until

HOP_BY_HOP = {"connection", "keep-alive", "transfer-encoding", "te", "trailer", "upgrade"}


class Habit(NamedTuple):
    """What it makes of a request."""

    keeps_host: bool = True
    says: Mapping[str, str] = MappingProxyType({})
    strips: str = ""
    """What it takes off the path."""

    def headers(self, request: Request) -> dict[str, str]:
        """The headers that it passes on."""
        kept = {name: value for name, value in request.headers.items() if name not in HOP_BY_HOP}
        if not self.keeps_host:
            del kept["host"]
        return kept | {name: value.format(host=request.headers["host"]) for name, value in self.says.items()}


@contextlib.contextmanager
def proxy(target: str, habit: Habit, folder: Path) -> Iterator[int]:
    """The port of one before `target`, with a certificate of its own making."""
    cert, key = str(folder / "cert"), str(folder / "key")
    line = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"]
    subprocess.run([*line, "-subj", "/CN=proxy", "-keyout", key, "-out", cert], check=True, capture_output=True)

    @contextlib.asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        async with httpx.AsyncClient(base_url=target, timeout=None) as app.state.http:
            yield

    async def passed_on(request: Request) -> StreamingResponse:
        http: httpx.AsyncClient = request.app.state.http
        url = request.url.path.removeprefix(habit.strips) + "?" + request.url.query
        headers, body = habit.headers(request), await request.body()
        asked = http.build_request(request.method, url, headers=headers, content=body)
        answer = await http.send(asked, stream=True)
        response = StreamingResponse(answer.aiter_raw(), answer.status_code, background=BackgroundTask(answer.aclose))
        response.raw_headers = [each for each in answer.headers.raw if each[0].lower().decode() not in HOP_BY_HOP]
        return response

    methods = ["GET", "HEAD", "POST", "DELETE", "OPTIONS"]
    app = Starlette(routes=[Route("/{path:path}", passed_on, methods=methods)], lifespan=lifespan)
    more = {"ssl_certfile": cert, "ssl_keyfile": key, "log_level": "error", "timeout_graceful_shutdown": 1}
    server = uvicorn.Server(uvicorn.Config(app, **more))  # type: ignore[arg-type]
    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
        thread.start()
        until(lambda: server.started)
        yield listener.getsockname()[1]
        server.should_exit = True
        thread.join()
