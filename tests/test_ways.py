"""The way to an endpoint on another machine: proxies, what is exempt from them, and whose certificates are trusted."""

from __future__ import annotations

import gc
import os
import shutil
import ssl
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import aclosing, asynccontextmanager
from pathlib import Path

import anyio
import pytest
from anyio.abc import SocketStream
from anyio.streams.tls import TLSListener, TLSStream

from ptstream.authorities import trusted
from ptstream.errors import ConfigurationError, GeneratorError
from ptstream.generators.openai.chat_completion import chat
from ptstream.generators.openai.chat_options import ChatOptions
from ptstream.generators.openai.proxies import Proxy, exempt, proxy_for
from ptstream.generators.openai.upstream import Upstream
from tests import endpoint
from tests.conftest import needs

pytestmark = pytest.mark.anyio

PROMPT = [{"role": "user", "content": "Tell me of the night."}]

PASSWORD = "opensesame"


async def text_of(upstream: Upstream) -> str:
    async with aclosing(chat(upstream, "ok", PROMPT, options=ChatOptions(tries=1))) as events:
        return "".join([event async for event in events if isinstance(event, str)])


@asynccontextmanager
async def socks(target: int, *, reply: int = 0) -> AsyncIterator[tuple[str, list[bytes]]]:
    """A SOCKS 5 proxy (RFC 1928) that leads every connection to one port here; what it was asked for."""
    asked: list[bytes] = []

    async def pump(source: SocketStream, sink: SocketStream) -> None:
        async for data in source:
            await sink.send(data)
        await sink.send_eof()

    async def handle(client: SocketStream) -> None:
        async with client:
            await client.receive()
            await client.send(b"\x05\x00")
            asked.append(await client.receive())
            await client.send(bytes((5, reply, 0, 1, 0, 0, 0, 0, 0, 0)))
            if reply:
                return
            async with await anyio.connect_tcp("127.0.0.1", target) as server, anyio.create_task_group() as tasks:
                tasks.start_soon(pump, client, server)
                tasks.start_soon(pump, server, client)

    listener = await anyio.create_tcp_listener(local_host="127.0.0.1")
    port = listener.listeners[0].extra(anyio.abc.SocketAttribute.local_port)
    async with listener, anyio.create_task_group() as tasks:
        tasks.start_soon(listener.serve, handle)
        yield f"127.0.0.1:{port}", asked
        tasks.cancel_scope.cancel()


@pytest.mark.parametrize("scheme", ["socks5", "socks5h", "socks"])
async def test_a_socks_proxy(server: endpoint.Server, scheme: str) -> None:
    async with socks(server.port) as (place, asked):
        away = Upstream("http://models.example.com/v1", environment={"ALL_PROXY": f"{scheme}://{place}"})
        assert await text_of(away) == endpoint.TEXT
    assert b"models.example.com" in asked[0]


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
async def test_a_proxy_that_finds_no_way_is_named(server: endpoint.Server) -> None:
    async with socks(server.port, reply=4) as (place, _):
        away = Upstream("http://models.example.com/v1", environment={"all_proxy": f"socks5://u:{PASSWORD}@{place}"})
        with pytest.raises(GeneratorError) as caught:
            await text_of(away)
    assert f"the proxy {place} (all_proxy) on the way to models.example.com failed" in str(caught.value)
    assert PASSWORD not in str(caught.value)
    del caught
    gc.collect()  # httpcore leaves the connection to a proxy that refuses to it


@pytest.mark.parametrize(
    ("url", "variable", "scheme"),
    [
        ("http://models.example.com/v1", "http_proxy", "http"),
        ("https://models.example.com/v1", "HTTPS_PROXY", "http"),
        ("https://models.example.com/v1", "ALL_PROXY", "socks5h"),
    ],
)
async def test_a_proxy_that_is_down_is_named_and_not_the_endpoint(url: str, variable: str, scheme: str) -> None:
    away = Upstream(url, environment={variable: f"{scheme}://u:{PASSWORD}@127.0.0.1:1"})
    with pytest.raises(GeneratorError) as caught:
        await text_of(away)
    assert f"the proxy 127.0.0.1:1 ({variable}) on the way to models.example.com refused the connection" in str(
        caught.value
    )
    assert PASSWORD not in str(caught.value)


@pytest.mark.parametrize("address", ["socks4://127.0.0.1:1", "ftp://127.0.0.1:1", "http://127.0.0.1:x"])
async def test_a_proxy_that_cannot_be_used_is_named_with_the_remedy(address: str) -> None:
    away = Upstream("http://models.example.com/v1", environment={"ALL_PROXY": address})
    with pytest.raises(ConfigurationError, match=r"\(ALL_PROXY\) cannot be used.*NO_PROXY"):
        await text_of(away)


async def test_a_failure_by_way_of_a_proxy_names_it(server: endpoint.Server) -> None:
    environment = {"http_proxy": f"127.0.0.1:{server.port}"}
    away = Upstream("http://models.example.com/v1", environment=environment)
    with pytest.raises(
        GeneratorError, match=r"answered 502 Scripted \(through the proxy 127\.0\.0\.1:\d+ \(http_proxy\)\)"
    ):
        async for _ in chat(away, "status-502", PROMPT, options=ChatOptions(tries=1)):
            pass


@pytest.mark.parametrize(
    ("url", "entries", "direct"),
    [
        ("http://a.example.com", "example.com", True),
        ("http://a.example.com", ".example.com", True),
        ("http://example.com", ".example.com", True),
        ("http://a.example.com", "*.example.com", True),
        ("http://anexample.com", "example.com", False),
        ("http://example.com.evil.net", "example.com", False),
        ("http://A.Example.COM.", "example.com.", True),
        ("http://a.example.com", "other.net,EXAMPLE.com", True),
        ("http://a.example.com", "other.net  example.com", True),
        ("http://a.example.com", "*", True),
        ("http://a.example.com", "", False),
        ("http://a.example.com", ", ,", False),
        ("http://a.example.com:8080", "a.example.com:8080", True),
        ("http://a.example.com:8080", "a.example.com:80", False),
        ("https://a.example.com", "a.example.com:443", True),
        ("http://10.1.2.3", "10.0.0.0/8", True),
        ("http://10.1.2.3", "10.1.2.3", True),
        ("http://10.1.2.3", "10.1.2.3/32", True),
        ("http://10.1.2.3:9", "10.1.2.3:9", True),
        ("http://11.1.2.3", "10.0.0.0/8", False),
        ("http://10.1.2.30", "10.1.2.3", False),
        ("http://[fd00::1]", "fd00::/8", True),
        ("http://[fd00::1]", "[fd00::1]", True),
        ("http://[fd00::1]:8", "[fd00::1]:8", True),
        ("http://[fd00::1]", "fd00::2", False),
        ("http://a.example.com", "10.0.0.0/8", False),
        ("http://10.1.2.3", "not/8", False),
    ],
)
def test_what_is_exempt(url: str, entries: str, direct: bool) -> None:
    assert exempt(url, entries) == direct


@pytest.mark.parametrize(
    "address", ["http://u:p#s@px:1", "http://u:p/s@px:1", "http://u:p?s@px:1", "http://u:p@x@px:1"]
)
def test_a_proxy_is_told_without_its_password(address: str) -> None:
    assert str(Proxy(address, "https_proxy")) == "the proxy px:1 (https_proxy)"


def test_which_variable_counts() -> None:
    both = {"https_proxy": "a:1", "HTTPS_PROXY": "b:1", "ALL_PROXY": "socks://c:1", "http_proxy": " "}
    assert proxy_for("https://x.example", both) == Proxy("http://a:1", "https_proxy")
    assert proxy_for("http://x.example", both) == Proxy("socks5h://c:1", "ALL_PROXY")
    assert proxy_for("http://x.example", {}) is None
    assert Upstream("http://localhost:1/v1", environment=both).proxy is None


# --- certificates


@pytest.fixture
def authority(tmp_path: Path) -> Path:
    """A company's own authority, and a certificate of it for this machine."""

    def run(*words: str) -> None:
        subprocess.run(["openssl", *words], cwd=tmp_path, check=True, capture_output=True)

    curve = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes")
    (tmp_path / "names").write_text("subjectAltName=IP:127.0.0.1\nbasicConstraints=CA:FALSE\n")
    usage = ("-addext", "keyUsage=critical,keyCertSign")
    run("req", "-x509", *curve, "-keyout", "ca.key", "-out", "ca.pem", "-days", "2", "-subj", "/CN=Company", *usage)
    run("req", *curve, "-keyout", "key.pem", "-out", "request", "-subj", "/CN=127.0.0.1")
    signing = ("-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial", "-extfile", "names", "-days", "2")
    run("x509", "-req", "-in", "request", "-out", "cert.pem", *signing)
    return tmp_path


@asynccontextmanager
async def secured(server: endpoint.Server, authority: Path) -> AsyncIterator[str]:
    """The endpoint behind TLS; its base URL."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(authority / "cert.pem", authority / "key.pem")
    tls = await anyio.create_tcp_listener(local_host="127.0.0.1")
    wrapped = TLSListener(tls, context, standard_compatible=False)

    async def pump(source: anyio.abc.ByteReceiveStream, sink: anyio.abc.ByteSendStream) -> None:
        async for data in source:
            await sink.send(data)

    async def handle(client: TLSStream) -> None:
        upstream = await anyio.connect_tcp("127.0.0.1", server.port)
        try:
            async with client, upstream, anyio.create_task_group() as tasks:
                tasks.start_soon(pump, client, upstream)
                await pump(upstream, client)
                tasks.cancel_scope.cancel()
        except* (anyio.BrokenResourceError, anyio.ClosedResourceError, anyio.EndOfStream, OSError):
            pass  # one side has gone

    port = tls.listeners[0].extra(anyio.abc.SocketAttribute.local_port)
    async with wrapped, anyio.create_task_group() as tasks:
        tasks.start_soon(wrapped.serve, handle)
        yield f"https://127.0.0.1:{port}/v1"
        tasks.cancel_scope.cancel()


@needs("openssl")
async def test_an_authority_of_ones_own(server: endpoint.Server, authority: Path) -> None:
    async with secured(server, authority) as url:
        with pytest.raises(GeneratorError, match=r"is not trusted: .*SSL_CERT_FILE="):
            await text_of(Upstream(url))
        for variable in ("SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"):
            named = Upstream(url, environment={variable: str(authority / "ca.pem")})
            assert await text_of(named) == endpoint.TEXT
        with pytest.raises(ConfigurationError, match="SSL_CERT_FILE=/nowhere cannot be read"):
            await text_of(Upstream(url, environment={"SSL_CERT_FILE": "/nowhere"}))


@needs("openssl")
def test_authorities_are_loaded_once_until_they_change(authority: Path) -> None:
    company = authority / "ca.pem"
    environment = {"SSL_CERT_FILE": str(company)}
    before = trusted(environment)
    assert trusted(environment) is trusted(dict(environment)) is before
    company.write_text(company.read_text() * 2)
    assert trusted(environment) is not before
    company.unlink()
    with pytest.raises(ConfigurationError, match=r"ca\.pem cannot be read"):
        trusted(environment)
    assert trusted({}) is trusted({"SSL_CERT_DIR": ""}) is not trusted({"SSL_CERT_DIR": str(authority)})


SYSTEM = Path("/etc/ssl/certs/ca-certificates.crt")


@needs("openssl")
@needs("unshare")
@pytest.mark.skipif(os.geteuid() != 0, reason="needs root, to have other certificates in the system's place")
@pytest.mark.skipif(not SYSTEM.exists(), reason="the system's certificates are elsewhere")
async def test_what_the_system_trusts_is_trusted(server: endpoint.Server, authority: Path) -> None:
    folder = authority / "certs"
    shutil.copytree(SYSTEM.parent, folder, symlinks=False, ignore_dangling_symlinks=True)
    with (folder / SYSTEM.name).open("a") as file:
        file.write((authority / "ca.pem").read_text())
    await anyio.run_process(["openssl", "rehash", str(folder)], check=False)
    program = (
        "import anyio, sys\n"
        "from tests.test_ways import Upstream, text_of\n"
        "print(anyio.run(text_of, Upstream(sys.argv[1])))"
    )
    async with secured(server, authority) as url:
        line = f"mount --bind {folder} {SYSTEM.parent} && exec \"$0\" -c '{program}' {url}"
        done = await anyio.run_process(["unshare", "-m", "sh", "-c", line, sys.executable], check=False)
    if b"unshare" in done.stderr or b"mount:" in done.stderr:
        pytest.skip("nothing can be mounted here")
    assert done.stdout.decode().strip() == endpoint.TEXT, done.stderr.decode()[-500:]
