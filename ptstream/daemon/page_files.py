"""The page's files: its HTML, with the modules' addresses in it, and the modules, which a browser asks for once.

A module's address names the content of all (`web/DIGEST/page.js`), so that a browser may keep what it has for good:
a page that is loaded again asks for nothing but its HTML. That names all the modules, so that a browser need not read
one to learn of the next: over a slow line each such step is a round trip. At `web/` itself they are for apps to load.
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

from starlette.requests import Request
from starlette.responses import HTMLResponse, Response
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles

HEADERS = {
    # The text on the page is a model's: nothing in it may run, load, or be sent anywhere.
    "content-security-policy": "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self';"
    " img-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "referrer-policy": "no-referrer",
    "x-content-type-options": "nosniff",
    "cache-control": "no-cache",
}

FOR_GOOD = "private, max-age=31536000, immutable"
"""How long a browser may keep what will never be other content: a year, without asking (RFC 8246)."""

ENTRY = '<script type="module" src="web/page.js"></script>'
"""In the HTML, what loads the page's modules."""

UNNAMED = ("page.js", "react.js")
"""Modules that the HTML names already, and that the page does not use."""


class _Files(StaticFiles):
    """With the page's headers. A module may be loaded by the pages of allowed origins as well."""

    def __init__(self, folder: Path, cache_control: str) -> None:
        super().__init__(directory=folder)
        self._headers = HEADERS | {"cross-origin-resource-policy": "cross-origin", "cache-control": cache_control}

    def file_response(self, *given: Any, **more: Any) -> Response:
        response = super().file_response(*given, **more)
        response.headers.update(self._headers)
        return response


def file_routes(folder: Path) -> list[Route | Mount]:
    """The routes of the page in `folder`, and of the files there."""
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    digest = hashlib.sha256(b"".join(path.read_bytes() for path in files)).hexdigest()[:16]
    modules = [path.relative_to(folder) for path in files if path.suffix == ".js" and path.name not in UNNAMED]
    html = _page((folder / "index.html").read_text(), modules, f"web/{digest}/")

    async def page(_: Request) -> Response:
        return HTMLResponse(html, headers=HEADERS)

    return [
        Route("/", page),
        Mount(f"/web/{digest}", _Files(folder, FOR_GOOD)),
        Mount("/web", _Files(folder, HEADERS["cache-control"]), name="web"),
    ]


def _page(html: str, modules: list[Path], place: str) -> str:
    """The HTML, where the files are at `place`, and the modules named in advance (HTML, link type `modulepreload`)."""
    preloads = "".join(f'<link rel="modulepreload" href="web/{module.as_posix()}">\n  ' for module in modules)
    return html.replace(ENTRY, preloads + ENTRY).replace('"web/', f'"{place}')
