"""What keeps streams. Each engine is a folder here, which nobody outside names: `open_engine` finds it by its URL.

What an engine is to whoever uses it stands in `protocol.py`, and so does what it must promise. On the fast path.
"""

from __future__ import annotations

from ptstream.errors import ConfigurationError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from contextlib import AbstractAsyncContextManager

    from ptstream.engine.protocol import Engine
    from ptstream.settings import Home

ENGINES = {
    "sqlite": "ptstream.engine.sqlite.engine",
    "file": "ptstream.engine.sqlite.single_file",
    "postgresql": "ptstream.engine.postgres.engine",
    "postgres": "ptstream.engine.postgres.engine",
}
"""A URL's scheme → the module that has its `opened`, imported when such a URL is opened."""


def open_engine(
    home: Home, url: str | None = None, *, many_readers: bool = False
) -> AbstractAsyncContextManager[Engine]:
    """The engine that `url` names; without one, the home's (`Home.store`). Its tasks end with the context.

    `many_readers`: of a process whose readers come and go by hundreds, as the daemon's. Raises ConfigurationError for
    an engine that there is not, or whose client is not installed; what cannot be reached is said by whoever asks for
    something first.
    """
    import importlib

    url = url or home.store
    scheme = url.partition(":")[0]
    if scheme not in ENGINES:
        raise ConfigurationError(f"there is no engine for {scheme}: (there is {', '.join(ENGINES)})")
    made: AbstractAsyncContextManager[Engine] = importlib.import_module(ENGINES[scheme]).opened(
        home, url, many_readers=many_readers
    )
    return made
