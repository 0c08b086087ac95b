"""ptstream: persistent text streaming. Text that outlives its connection.

    async with ptstream.open() as pts:
        id = await pts.create(prompt="…")
        async for piece in pts.drive(id, generate):
            print(piece.text, end="")

Everything here is loaded when it is first used (PEP 562), so that `import ptstream` costs nothing.
"""

from __future__ import annotations

TYPE_CHECKING = False  # importing `typing` would cost as much as starting Python
if TYPE_CHECKING:
    from typing import Any

    from ptstream.errors import NameTaken, PtstreamError, StreamCancelled, StreamFailed, StreamNotFound, StreamTimedOut
    from ptstream.generators.function.loading import generator
    from ptstream.http.app_response import web
    from ptstream.library import PersistentStreams, open
    from ptstream.persist_loop import persist
    from ptstream.streams import Body, Piece, Status, Stream

__version__ = "0.1.0"

_PLACES = {
    "Body": "ptstream.streams",
    "NameTaken": "ptstream.errors",
    "PersistentStreams": "ptstream.library",
    "Piece": "ptstream.streams",
    "PtstreamError": "ptstream.errors",
    "Status": "ptstream.streams",
    "Stream": "ptstream.streams",
    "StreamCancelled": "ptstream.errors",
    "StreamFailed": "ptstream.errors",
    "StreamNotFound": "ptstream.errors",
    "StreamTimedOut": "ptstream.errors",
    "generator": "ptstream.generators.function.loading",
    "open": "ptstream.library",
    "persist": "ptstream.persist_loop",
    "web": "ptstream.http.app_response",
}

__all__ = [
    "Body",
    "NameTaken",
    "PersistentStreams",
    "Piece",
    "PtstreamError",
    "Status",
    "Stream",
    "StreamCancelled",
    "StreamFailed",
    "StreamNotFound",
    "StreamTimedOut",
    "generator",
    "open",
    "persist",
    "web",
]


def __dir__() -> list[str]:
    return sorted(__all__)


def __getattr__(name: str) -> Any:
    if name not in _PLACES:
        raise AttributeError(f"module 'ptstream' has no attribute {name!r}")
    import importlib

    value = getattr(importlib.import_module(_PLACES[name]), name)
    globals()[name] = value
    return value
