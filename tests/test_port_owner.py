"""Who listens at a port of this machine, and what is asked there unconfigured: with real sockets of real users."""

from __future__ import annotations

import os
import socket
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, aclosing, asynccontextmanager, suppress
from pathlib import Path

import anyio
import httpcore
import pytest

from ptstream.config import Endpoint, Settings, load
from ptstream.errors import ForeignListener, NoModel
from ptstream.generators.models import known_endpoints
from ptstream.generators.models.default import ollama
from ptstream.generators.models.discovery import discover
from ptstream.generators.models.endpoints import Endpoints
from ptstream.generators.openai import port_owner
from ptstream.generators.openai.chat_completion import chat
from ptstream.generators.openai.port_owner import OwnerCheck
from ptstream.settings import Home
from ptstream.streams import GenerationRequest
from tests import endpoint
from tests.conftest import LIMIT, needs
from tests.test_models import asking, bare, caller_in, home, nobody, resolved, text_of

__all__ = ["bare", "home", "nobody"]

pytestmark = pytest.mark.anyio

STRANGER = 65534
"""Another user, who is neither root nor a system account."""

SYSTEM = 1
"""An account that is no person's: `daemon`, on every system."""

as_another = pytest.mark.skipif(os.geteuid() != 0, reason="needs root, to listen as another user")


@pytest.fixture
async def stranger() -> AsyncIterator[endpoint.Server]:
    """A server that somebody else runs on this machine."""
    async with endpoint.serve(user=STRANGER) as server:
        yield server


# --- who listens


@pytest.mark.parametrize("tables", ["/proc/self/net", pytest.param("/nowhere", marks=needs("lsof"))])
@pytest.mark.parametrize("host", ["127.0.0.1", "127.0.0.2", "0.0.0.0", "::1", "::"])
def test_who_listens(host: str, tables: str) -> None:
    """By the kernel's tables, and as on macOS."""
    with socket.create_server((host, 0), family=socket.AF_INET6 if ":" in host else socket.AF_INET) as listening:
        port = listening.getsockname()[1]
        assert (found := port_owner.listeners(port, tables))
        assert [(str(each.address), each.uid) for each in found] == [(host, os.geteuid())]
        assert port_owner.listeners(port, tables) == found
    assert port_owner.listeners(port, tables) == []


@as_another
@pytest.mark.parametrize("tables", ["/proc/self/net", pytest.param("/nowhere", marks=needs("lsof"))])
async def test_whose_it_is(stranger: endpoint.Server, tables: str) -> None:
    found = port_owner.listeners(stranger.port, tables)
    assert found
    # lsof tells the user of the process, which here only acts as another.
    assert [each.uid for each in found] == [STRANGER if tables.startswith("/proc") else os.geteuid()]


def test_where_neither_tells(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(port_owner, "LSOF", ("/nowhere/lsof",))
    assert port_owner.listeners(1, "/nowhere") is None


def test_the_tables_as_another_kernel_has_them(tmp_path: Path) -> None:
    """Rows of 32-bit words in the machine's order; connections, other ports and what does not listen go by."""
    row = "   {}: {} {} {} 00000000:00000000 00:00000000 00000000  {}        0 {} 1 0000000000000000 100 0 0 10 0\n"
    port = "1F90"  # 8080
    (tmp_path / "tcp").write_text(
        "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n"
        + row.format(0, f"0100007F:{port}", "00000000:0000", "0A", 1000, 11)
        + row.format(1, f"00000000:{port}", "00000000:0000", "0A", 1001, 12)
        + row.format(2, f"0100007F:{port}", "0100007F:C000", "01", 1002, 13)
        + row.format(3, "0100007F:1F91", "00000000:0000", "0A", 1003, 14)
    )
    none = "00000000000000000000000000000000:0000"
    (tmp_path / "tcp6").write_text(
        "header\n"
        + row.format(0, f"00000000000000000000000001000000:{port}", none, "0A", 1004, 15)
        + row.format(1, f"0000000000000000FFFF00000100007F:{port}", none, "0A", 1005, 16)
    )
    found = [(str(each.address), each.uid, each.socket) for each in port_owner.listeners(8080, str(tmp_path)) or ()]
    assert found == [
        ("127.0.0.1", 1000, "11"),
        ("0.0.0.0", 1001, "12"),
        ("::1", 1004, "15"),
        ("127.0.0.1", 1005, "16"),
    ]


def test_what_lsof_says() -> None:
    """As on macOS."""
    said = "p71\nu501\nf9\ntIPv4\nn127.0.0.1:11434\nf10\ntIPv6\nn*:11434\np80\nu0\nf3\ntIPv6\nn[::1]:11434\nf4\nnx\n"
    assert [(str(each.address), each.uid, each.socket) for each in port_owner._in_fields(said)] == [
        ("127.0.0.1", 501, "71 9"),
        ("::", 501, "71 10"),
        ("::1", 0, "80 3"),
    ]


# --- a connection


@asynccontextmanager
async def opened(port: int, check: OwnerCheck, host: str = "127.0.0.1") -> AsyncIterator[None]:
    """A connection as the HTTP library opens it, and tells of it."""
    stream = await httpcore.AnyIOBackend().connect_tcp(host, port)
    try:
        await check("connection.connect_tcp.complete", {"return_value": stream})
        yield
    finally:
        await stream.aclose()


async def test_a_listener_of_ones_own_is_asked() -> None:
    for host, way in (("127.0.0.1", "127.0.0.1"), ("0.0.0.0", "127.0.0.1"), ("::1", "::1"), ("127.0.0.1", "localhost")):
        with socket.create_server((host, 0), family=socket.AF_INET6 if ":" in host else socket.AF_INET) as listening:
            check, port = OwnerCheck("x"), listening.getsockname()[1]
            await check("connection.connect_tcp.started", {"port": port})
            async with opened(port, check, way):
                pass


async def test_a_port_that_changes_hands_meanwhile_is_not_asked() -> None:
    """Its first owner may have got the connection, and gone."""
    check = OwnerCheck("x")
    with socket.create_server(("127.0.0.1", 0)) as first:
        port = first.getsockname()[1]
        await check("connection.connect_tcp.started", {"port": port})
    with socket.create_server(("127.0.0.1", port)), pytest.raises(ForeignListener, match="cannot be shown to be yours"):
        async with opened(port, check):
            pass


async def test_a_listener_that_no_table_has_is_not_asked() -> None:
    """As where a container's port is led here by rules of the firewall's; here it is gone by then."""
    check = OwnerCheck("x")
    with socket.create_server(("127.0.0.1", 0)) as listening:
        port = listening.getsockname()[1]
        stream = await httpcore.AnyIOBackend().connect_tcp("127.0.0.1", port)
        accepted, _ = listening.accept()
    with accepted, pytest.raises(ForeignListener, match="cannot be shown to be yours"):
        await check("connection.connect_tcp.complete", {"return_value": stream})


async def test_a_connection_that_is_closed_at_once_is_none() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        port = listening.getsockname()[1]
        stream = await httpcore.AnyIOBackend().connect_tcp("127.0.0.1", port)
    with pytest.raises(httpcore.ConnectError):  # nobody has accepted it
        await OwnerCheck("x")("connection.connect_tcp.complete", {"return_value": stream})


@as_another
async def test_a_servers_own_system_account_may_listen_and_no_persons() -> None:
    async with endpoint.serve(user=SYSTEM) as server:
        for account, asked in (("daemon", True), ("nobody", False), ("no-such-account", False), (None, False)):
            check = OwnerCheck("x", account)
            await check("connection.connect_tcp.started", {"port": server.port})
            if asked:
                async with opened(server.port, check):
                    pass
            else:
                with pytest.raises(ForeignListener, match="listens as user daemon"):
                    async with opened(server.port, check):
                        pass


@as_another
@pytest.mark.parametrize(("host", "way"), [("0.0.0.0", "127.0.0.1"), ("::", "::1")])
async def test_a_stranger_who_listens_everywhere_is_not_asked(host: str, way: str) -> None:
    async with endpoint.serve(user=STRANGER, host=host) as server:
        check = OwnerCheck("x")
        await check("connection.connect_tcp.started", {"port": server.port})
        with pytest.raises(ForeignListener):
            async with opened(server.port, check, way):
                pass


# --- what comes of it


def squatted(server: endpoint.Server, monkeypatch: pytest.MonkeyPatch) -> None:
    """All ports that are looked at are the server's."""
    known = [
        each._replace(base_url=server.base_url) if each.name in known_endpoints.BY_PORT else each
        for each in known_endpoints.WELL_KNOWN
    ]
    monkeypatch.setattr(known_endpoints, "WELL_KNOWN", tuple(known))


@as_another
@pytest.mark.usefixtures("bare")
async def test_a_strangers_server_is_named_and_told_nothing(
    stranger: endpoint.Server, home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    squatted(stranger, monkeypatch)
    found = {each.name: each for each in await discover(caller_in(home), Settings(), home)}
    for name in ("ollama", "llamacpp", "vllm", "lmstudio"):
        problem = found[name].problem
        assert problem
        assert "listens as user nobody" in problem
        assert f'[endpoints.{name}] with base_url = "{stranger.base_url}"' in problem
    assert not any(each.default or each.name.startswith("ollama/") for each in found.values())
    with pytest.raises(NoModel, match=r"not asked: .* listens as user nobody"):
        await resolved(asking(), caller_in(home), home)
    for name in ("ollama/ok", "ollama", "vllm/ok", "lmstudio/ok"):
        with pytest.raises(ForeignListener):
            await text_of(await resolved(asking(name), caller_in(home), home))
    with pytest.raises(ForeignListener):
        await Endpoints(caller_in(home, OLLAMA_HOST=f"localhost:{stranger.port}"), Settings(), home).offered("ollama")
    assert not stranger.requests


@as_another
async def test_what_is_configured_is_asked_whosever_it_is(stranger: endpoint.Server, home: Home) -> None:
    Path(home.config).write_text(f'[endpoints.ollama]\nbase_url = "{stranger.base_url}"\n', encoding="utf-8")
    assert await text_of(await resolved(asking("ollama/ok"), caller_in(home), home, load(home))) == endpoint.TEXT
    caller = caller_in(home, OPENAI_BASE_URL=stranger.base_url)
    assert await text_of(await resolved(asking("ok"), caller, home)) == endpoint.TEXT
    settings = Settings(endpoints={"ollama": Endpoint("ollama", stranger.base_url)})
    assert [row["id"] for row in (await ollama(Endpoints(caller_in(home), settings, home))).rows] == list(
        endpoint.MODELS
    )


@asynccontextmanager
async def neighbours() -> AsyncIterator[tuple[endpoint.Server, endpoint.Server]]:
    """A server of one's own, and a stranger's on the next port."""
    async with AsyncExitStack() as stack:
        while True:
            server = await stack.enter_async_context(endpoint.serve())
            with suppress(OSError):  # the next port is somebody's
                stranger = await stack.enter_async_context(endpoint.serve(server.port + 1, user=STRANGER))
                break
        yield server, stranger


@as_another
async def test_a_redirect_to_a_stranger_is_not_followed(home: Home) -> None:
    """From a server of one's own to another port of this machine."""
    async with neighbours() as (server, stranger):
        endpoints = Endpoints(caller_in(home, OLLAMA_HOST=f"127.0.0.1:{server.port}"), Settings(), home)
        with pytest.raises(ForeignListener):
            async with aclosing(chat(endpoints.upstream(endpoints.known["ollama"]), "moved-307-port", [])) as events:
                async for _ in events:
                    pass
        assert not stranger.requests


async def test_ones_own_server_is_found_and_asked(
    server: endpoint.Server, home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    squatted(server, monkeypatch)
    found = {each.name: each for each in await discover(caller_in(home), Settings(), home)}
    assert {f"{name}/ok" for name in ("ollama", "llamacpp", "vllm", "lmstudio")} <= set(found)
    assert await text_of(await resolved(asking(), caller_in(home), home)) == endpoint.TEXT
    assert (
        await text_of(await resolved(GenerationRequest(prompt="?", model="vllm/ok"), caller_in(home), home))
        == endpoint.TEXT
    )


async def test_nobody_listens(home: Home, nobody: str) -> None:
    endpoints = Endpoints(caller_in(home, OLLAMA_HOST=nobody), Settings(), home)
    with anyio.fail_after(LIMIT):
        assert await ollama(endpoints) == ((), None)
