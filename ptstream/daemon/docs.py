"""The manual in a browser: HTML that mandoc made of `man/`, served at `/docs`.

It is the same for everybody and holds nothing of this home, so it needs no token: whoever has none yet, or whose
session has ended, finds here how to get one. `python -m tests.docs` makes the files anew, a test holds them to `man/`.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles

from ptstream.daemon.page_files import HEADERS

DIRECTORY = Path(__file__).parents[1] / "docs"

FIRST = "/docs/ptstream.1.html"
"""The page that leads to all others."""


class _Pages(StaticFiles):
    """Files with the headers that the page has."""

    def file_response(self, *given: Any, **more: Any) -> Response:
        response = super().file_response(*given, **more)
        response.headers.update(HEADERS)
        return response


async def _first(request: Request) -> Response:
    return RedirectResponse(request.scope["root_path"] + FIRST, 303, HEADERS)


def docs_routes() -> list[Route | Mount]:
    """The routes of the manual."""
    return [
        Route("/docs", _first),
        Route("/docs/", _first),
        Mount("/docs", _Pages(directory=DIRECTORY), name="docs"),
    ]
