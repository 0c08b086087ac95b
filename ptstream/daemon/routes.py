"""A table of handlers as Starlette's routes: one for each path, its query checked, `{id}` resolved to a stream's id."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from ptstream.daemon.daemon import Daemon
from ptstream.daemon.openapi import MOST, parameters
from ptstream.errors import UsageError
from ptstream.integers import MAX_DIGITS, count_of

USUALLY = 100
"""How many streams, or places that were found, one answer lists unless it is asked for more or fewer."""

Handler = Callable[[Daemon, Request], Awaitable[Response]]

Table = Sequence[tuple[str, str, Handler]]
"""Method, path and handler."""


def routes(daemon: Daemon, table: Table) -> list[Route]:
    """Starlette's routes for the handlers, each of which is given the daemon, and of a stream that is meant the id.

    One for each path, whatever its methods: a further one is refused with all that there are.
    """
    paths: dict[str, dict[str, Handler]] = {}
    for method, path, handler in table:
        paths.setdefault(path, {})[method] = handler

    def bound(path: str, methods: dict[str, Handler]) -> Callable[[Request], Awaitable[Response]]:
        async def endpoint(request: Request) -> Response:
            method = "GET" if request.method == "HEAD" else request.method
            _check_query(request, parameters(path, method))
            if "id" in request.path_params:  # once: @last is another stream soon
                request.path_params["id"] = (await daemon.engine.find(request.path_params["id"])).id
            return await methods[method](daemon, request)

        return endpoint

    return [
        # A model's name may have slashes of its own.
        Route(path.replace("{model}", "{model:path}"), bound(path, methods), methods=list(methods))
        for path, methods in paths.items()
    ]


def _check_query(request: Request, known: frozenset[str] | None) -> None:
    """Raises UsageError: what is misspelled must not be taken for what was left out."""
    if known is not None and (unknown := set(request.query_params) - known):
        raise UsageError(f"there is no parameter {', '.join(map(repr, sorted(unknown)))} here")


def id_of(request: Request) -> str:
    """The id of the stream that the path means."""
    id: str = request.path_params["id"]
    return id


def limit_of(request: Request) -> int:
    """The parameter `limit`. Raises UsageError."""
    limit = count_of(request.query_params.get("limit", str(USUALLY)))
    if limit is None or not 1 <= limit <= MOST:
        raise UsageError(f"limit is a number from 1 to {MOST}")
    return limit


def number_of(request: Request, name: str) -> int:
    """A parameter that is a number from 0 on; 0 if it is not given. Raises UsageError."""
    number = count_of(request.query_params.get(name, "0"))
    if number is None:
        raise UsageError(f"{name} is a number from 0 on")
    return number


def moment_of(request: Request, name: str) -> float:
    """A parameter that is a moment in Unix seconds; 0 if it is not given. Raises UsageError."""
    try:
        moment = float(request.query_params.get(name, "0"))
    except ValueError:
        moment = -1.0
    if not 0 <= moment < 10**MAX_DIGITS:
        raise UsageError(f"{name} is a moment in Unix seconds")
    return moment


async def client_gone(request: Request) -> None:
    """Returns when the client has gone."""
    while (await request.receive())["type"] != "http.disconnect":
        pass
