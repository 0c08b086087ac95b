"""The streams that PTSTREAM_HOST names: which way leads there, by the address's scheme."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from typing import Any

from ptstream.client import https, ssh
from ptstream.client.there import There
from ptstream.errors import ConfigurationError
from ptstream.origins import shown


@contextlib.asynccontextmanager
async def elsewhere(
    url: str, say: Callable[[str], None], heard_from: Callable[[str], Callable[[str], Awaitable[None]]]
) -> AsyncIterator[There]:
    """The streams at `ssh://[USER@]HOST[:PORT]` or `https://HOST[:PORT][/PATH]`.

    `say` is called with what a person is to know; `heard_from`, given the name of the place,
    gives what is called with each line that comes out of ssh there. Raises ConfigurationError for another address; for
    what cannot be reached, the first request raises.
    """
    scheme = url.partition("://")[0].lower()
    if scheme == "ssh":
        host = ssh.host_named(url)
        async with ssh.connect(host, heard_from(host.destination)) as (client, asker):
            yield There(client, asker, say)
    elif scheme in ("https", "http"):
        async with https.connect(https.address_named(url)) as client:
            yield There(client, _daemons_own, say)
    else:
        raise ConfigurationError(
            f"PTSTREAM_HOST is {shown(url)}, and must be ssh://[USER@]HOST[:PORT] or https://HOST[:PORT]"
        )


async def _daemons_own() -> Mapping[str, Any]:
    """Over the network the daemon asks in its own name."""
    return {}
