"""What a daemon's own user may ask of it: its status and its end, the page's links and sessions, drives for others."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncGenerator, AsyncIterator
from typing import Any, cast

from ptstream import strict_json, wire
from ptstream.client.caller import Context
from ptstream.client.daemon_client import Client


async def status(client: Client) -> dict[str, Any]:
    """See `ptstream daemon status`. Raises DaemonUnreachable, as all here do."""
    answer: dict[str, Any] = await client.ask("GET", wire.STATUS)
    return answer


async def stop(client: Client) -> dict[str, Any]:
    """Ask the daemon to end; its last status. Returns before it has."""
    answer: dict[str, Any] = await client.ask("POST", wire.STOP)
    return answer


async def stop_idle(client: Client, pid: int) -> bool:
    """The same, unless it is another process than `pid`, or runs something by now: then False."""
    answer = await client.ask("POST", f"{wire.STOP}?idle={pid}")
    return bool(answer["pid"] == pid and not answer["running"])


@contextlib.asynccontextmanager
async def registered(client: Client, context: Context) -> AsyncIterator[str]:
    """As whom a connection from elsewhere drives here, while the context lasts: an id that `wire.DRIVE` takes."""
    async with client.http.stream("POST", wire.CALLERS, content=wire.dumps(context)) as response:
        if response.status_code != 200:
            raise wire.error_from(await client.whole(response))
        async with contextlib.aclosing(cast(AsyncGenerator[str, None], response.aiter_lines())) as lines:
            yield strict_json.loads(await anext(lines))["caller"]


async def invite(client: Client) -> str:
    """A link for one use to the page. Raises ConfigurationError when the daemon cannot listen."""
    url: str = (await client.ask("POST", wire.ENTER))["url"]
    return url


async def lock(client: Client) -> None:
    """End every session of the page, and every link."""
    await client.ask("POST", wire.LOCK)
