"""The daemon's gate on TCP: which request is answered under which name, from which page, with which key."""

from __future__ import annotations

import contextlib
import functools
import json
import os
import re
import signal
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import httpx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from starlette.datastructures import Headers

from ptstream import wire
from ptstream.config import Settings
from ptstream.daemon.host_and_origin import OwnAddresses
from ptstream.origins import PublicUrl, is_loopback, is_unspecified, listed_origin, origin_of, public_url_of
from tests.conftest import LIMIT, VISIT, Cli, Entered, Face, ended, let_in, listening, stop_daemon, until

APP = "http://localhost:5173"
BOX = "https://box.example.com"
DESKTOP = "app://obsidian.md"
ROOM = re.compile(r"/[0-9a-f]{32}/")


# --- who is answered


class Ask(NamedTuple):
    """A request to make a stream, and what becomes of it."""

    status: int
    key: str = "none"
    host: str = "127.0.0.1:{port}"
    origin: str | None = None
    site: str | None = None
    more: tuple[tuple[str, str], ...] = ()
    inside: bool = True
    """Whether it goes beneath the page's path, if it has the cookie."""

    def headers(self, face: Face, cookie: str) -> dict[str, str]:
        """What it sends."""
        of_key = {
            "none": {},
            "token": {"authorization": f"Bearer {face.token}"},
            "wrong": {"authorization": f"Bearer x{face.token}"},
            "cookie": {"cookie": cookie},
        }[self.key]
        given = {"host": self.host, "origin": self.origin, "sec-fetch-site": self.site} | dict(self.more)
        return of_key | {name: value.format(port=face.port) for name, value in given.items() if value is not None}

    def send(self, face: Face) -> httpx.Response:
        """The answer."""
        entered = page_of(face) if self.key == "cookie" else Entered("", "")
        room = entered.room if self.inside else ""
        headers = self.headers(face, entered.cookie)
        return httpx.post(f"{face.url}{room}/streams", json={"prompt": "x"}, headers=headers)


@functools.cache
def page_of(face: Face) -> Entered:
    """A browser that was let in."""
    return let_in(face.cli, face.url)


HTTPS = (("x-forwarded-proto", "https"),)
FORWARDED = (("forwarded", 'for="[2001:db8::1]:4711";proto=https;host=box.example.com, for=10.0.0.1;proto=http'),)
RENAMED = (*HTTPS, ("x-forwarded-host", "box.example.com"))

ANYWHERE = [
    # The token, under any name: containers, private networks, the machine's other names.
    *(
        Ask(201, "token", host)
        for host in ("host.docker.internal:{port}", "box.local", "box.tail1234.ts.net", "192.168.1.5:80", "0.0.0.0")
    ),
    Ask(201, "token", "host.docker.internal:{port}", "http://host.docker.internal:{port}", "same-origin"),
    Ask(403, "none", "host.docker.internal:{port}"),
    Ask(403, "wrong", "host.docker.internal:{port}"),
    Ask(401, "wrong"),
    Ask(401, "none"),
    # The cookie, under our own names alone.
    *(
        Ask(201, "cookie", host)
        for host in ("localhost:{port}", "LOCALHOST", "127.0.0.1:{port}", "127.9.9.9", "[::1]:{port}", "[0:0::0:1]")
    ),
    *(Ask(403, "cookie", host) for host in ("evil.example", "host.docker.internal", "192.168.1.5", "obsidian.md")),
    # Addresses that stand for all are browsers' names for this machine, and rebinding needs no name for them.
    *(
        Ask(403, "cookie", host)
        for host in (
            *(
                "0.0.0.0:{port}",
                "[::]:{port}",
                "0",
                "0x0",
                "00.0",
                "0.0.0.0.",
                "[::ffff:0.0.0.0]",
                "[::ffff:0:0]:{port}",
            ),
            *(
                "[::ffff:127.0.0.1]:{port}",
                "[::ffff:7f00:1]",
                "127.1",
                "2130706433",
                "0177.0.0.1",
                "0x7f.1",
                "127.0.0.1.",
            ),
            *("localhost.", "x.localhost", "localhost.localdomain", "LocalHost.evil.example", "", "a b", "x@y"),
        )
    ),
    Ask(401, "cookie", inside=False),
    # The page, and others' pages.
    Ask(201, "cookie", origin="http://127.0.0.1:{port}", site="same-origin"),
    Ask(201, "cookie", site="none"),
    *(Ask(401, "cookie", site=site) for site in ("same-site", "cross-site")),
    Ask(403, "cookie", origin="http://127.0.0.1:1", site="same-site"),
    Ask(403, "cookie", origin="https://127.0.0.1:{port}"),
    Ask(403, "cookie", origin="http://evil.example", site="cross-site"),
    Ask(403, "token", origin="http://evil.example"),
    Ask(403, "token", origin="null"),
    Ask(403, "token", origin="file://"),
    Ask(403, "token", origin="app://obsidian.md.evil"),
    # A proxy's word for the scheme is no word for the name: a page of a rebound name could say it as well.
    Ask(403, "cookie", "evil.example", more=(("x-forwarded-host", "localhost"),)),
    Ask(403, "cookie", more=(("x-forwarded-host", "evil.example"),)),
    Ask(403, "cookie", more=(("forwarded", "host=evil.example"),)),
    Ask(403, "cookie", origin="http://127.0.0.1:{port}", more=HTTPS),  # the browser has it by TLS
    Ask(201, "cookie", origin="https://127.0.0.1:{port}", more=HTTPS),
]

LISTED = [
    *ANYWHERE,
    *(Ask(201, "token", origin=origin, site="cross-site") for origin in (APP, BOX, DESKTOP, DESKTOP.upper())),
    *(Ask(401, "cookie", origin=origin, site="same-site") for origin in (APP, DESKTOP)),
    Ask(401, "cookie", origin=APP),
    Ask(403, "token", origin="http://localhost:51730"),
    # A proxy whose address is listed: its page is ours where the proxy says that the browser speaks TLS to it.
    Ask(201, "cookie", "box.example.com", BOX, "same-origin", HTTPS),
    Ask(201, "cookie", "box.example.com", BOX, None, HTTPS),
    Ask(201, "cookie", "box.example.com:443", BOX, "same-origin", HTTPS),
    Ask(201, "cookie", "box.example.com", BOX, "same-origin", FORWARDED),
    Ask(201, "cookie", "127.0.0.1:{port}", BOX, "same-origin", FORWARDED),
    Ask(201, "cookie", "127.0.0.1:{port}", BOX, "same-origin", RENAMED),
    Ask(201, "cookie", "box.example.com", BOX, "same-origin", (("x-forwarded-proto", "HTTPS, http"),)),
    Ask(401, "cookie", "box.example.com", BOX, "same-origin"),
    Ask(401, "cookie", "box.example.com", BOX, "same-origin", (("x-forwarded-proto", "gopher"),)),
    Ask(401, "cookie", "box.example.com", BOX, "cross-site", HTTPS),
    Ask(401, "cookie", "127.0.0.1:{port}", BOX, "cross-site"),  # that site's page calls this machine by itself
    Ask(403, "cookie", "box.example.com", "http://box.example.com", None, HTTPS),
]

PUBLIC = [
    *ANYWHERE,
    # Nothing else is needed, whatever the proxy makes of the name.
    *(
        Ask(201, "cookie", host, BOX, "same-origin", more)
        for host in ("box.example.com", "box.example.com:443", "127.0.0.1:{port}")
        for more in ((), HTTPS, FORWARDED)
    ),
    Ask(201, "cookie", "box.example.com"),
    Ask(401, "cookie", "box.example.com", BOX, "cross-site"),
    Ask(401, "cookie", "box.example.com", BOX, "same-site"),
    # Plain HTTP under that name is somebody's between.
    Ask(403, "cookie", "box.example.com", "http://box.example.com"),
    Ask(403, "token", origin=APP),
]


@pytest.fixture(scope="module")
def plain() -> Iterator[Face]:
    """A daemon whose config file names no address."""
    with listening() as made:
        yield made


@pytest.fixture(scope="module")
def listed() -> Iterator[Face]:
    """One that lists a web app, a proxy's address and a desktop app."""
    with listening(f'origins = ["{APP}", "{BOX}:443", "{DESKTOP}"]') as made:
        yield made


@pytest.fixture(scope="module")
def public() -> Iterator[Face]:
    """One whose page is behind a proxy."""
    with listening(f'public_url = "{BOX}/"') as made:
        yield made


def holds(face: Face, table: list[Ask]) -> None:
    """Every request of the table becomes what it says, and each refusal by name or page tells what would allow it."""
    answers = [(ask, ask.send(face)) for ask in table]
    wrong = [(ask, answer.status_code, answer.text) for ask, answer in answers if answer.status_code != ask.status]
    assert wrong == []
    for ask, answer in answers:
        if answer.status_code == 403:
            assert "config.toml" in answer.text, ask
            assert "`origins`" in answer.text, ask


def test_who_is_answered(plain: Face) -> None:
    holds(plain, ANYWHERE)


def test_who_is_answered_where_origins_are_listed(listed: Face) -> None:
    holds(listed, LISTED)


def test_who_is_answered_behind_a_proxy(public: Face) -> None:
    holds(public, PUBLIC)


def test_a_page_whose_cookie_does_not_count_is_told_the_setting(listed: Face) -> None:
    assert "public_url" in Ask(401, "cookie", "box.example.com", BOX, "same-origin").send(listed).text


def test_without_a_token_names_and_origins_are_all_there_is(cli: Cli) -> None:
    cli.home.make()
    Path(cli.home.config).write_text(f'origins = ["{APP}", "{DESKTOP}"]')
    with cli.started("daemon", "run", "--listen", "127.0.0.1:0", "--no-token") as process:
        until(lambda: os.path.exists(cli.home.socket))
        url = json.loads(cli.out("daemon", "status", "--json"))["listen"]
        face = Face(cli, url, "any", httpx.Client())
        table = [
            Ask(201),
            Ask(201, "token"),  # clients of OpenAI's send one in any case
            Ask(201, host="localhost:{port}", origin="http://localhost:{port}", site="same-origin"),
            *(Ask(201, origin=origin, site="cross-site") for origin in (APP, DESKTOP)),
            *(Ask(403, "token", host) for host in ("host.docker.internal", "0.0.0.0:{port}", "[::]", "10.0.0.1", "")),
            Ask(403, host="evil.example", more=(("x-forwarded-host", "localhost"),)),
            Ask(403, host="obsidian.md"),
            Ask(403, origin="null"),
        ]
        holds(face, table)
        for site in ("cross-site", "same-site"):
            assert Ask(0, site=site).send(face).status_code == 403
        process.send_signal(signal.SIGTERM)
        assert ended(process) == 0


def test_without_a_token_whoever_does_not_say_which_page_asks_has_to_be_no_browser(cli: Cli) -> None:
    """Browsers say it by TLS and to loopback names; to others, a page of any site asks as curl does."""
    cli.home.make()
    Path(cli.home.config).write_text(
        'origins = ["http://lan.example", "https://box.example.com", "http://[::ffff:0:0]"]'
    )
    with cli.started("daemon", "run", "--listen", "127.0.0.1:0", "--no-token") as process:
        until(lambda: os.path.exists(cli.home.socket))
        url = json.loads(cli.out("daemon", "status", "--json"))["listen"]
        tls = {"x-forwarded-proto": "https"}
        for host, more, code in (
            ("lan.example", {}, 403),
            ("lan.example", {"sec-fetch-site": "cross-site"}, 403),
            ("lan.example", {"x-forwarded-host": "localhost"}, 403),
            ("localhost", {"x-forwarded-host": "lan.example"}, 403),
            ("lan.example", {"sec-fetch-site": "same-origin"}, 200),
            ("lan.example", {"origin": "http://lan.example"}, 200),
            ("box.example.com", tls, 200),
            ("box.example.com", tls | {"sec-fetch-site": "cross-site"}, 403),
            ("localhost", {}, 200),
            ("[::ffff:0:0]", {}, 403),
        ):
            answer = httpx.get(f"{url}/streams", headers={"host": host} | more)
            assert answer.status_code == code, (host, more, answer.text)
            assert code == 200 or "config.toml" in answer.text
        process.send_signal(signal.SIGTERM)
        assert ended(process) == 0


def test_behind_a_public_address_of_plain_http_no_browser_says_which_page_asks() -> None:
    for address, told in (
        ("http://lan.example", False),
        ("http://localhost:8000", True),
        ("https://box.example", True),
    ):
        addresses = OwnAddresses("127.0.0.1", Settings(public_url=public_url_of(address)))
        seen = addresses.target_of({"client": ("127.0.0.1", 9)}, Headers({"host": "127.0.0.1"}))
        assert addresses.is_told_sites(seen) is told


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "0", "0x0", "00.0x0", "::ffff:0.0.0.0", "0.0.0.0."])
def test_an_address_that_stands_for_all_is_no_name(host: str) -> None:
    assert is_unspecified(host)
    assert not is_loopback(host)
    addresses = OwnAddresses(host, Settings())
    for name in ("0.0.0.0:1", "0", "[::]", "[::ffff:0:0]", "0x0"):
        scope = {"server": ("127.0.0.1", 1)}
        assert addresses.foreign_name(addresses.target_of(scope, Headers({"host": name})), scope) == name


@pytest.mark.parametrize("address", ["0.0.0.0:0", "[::]:0", "0:0", "{own}:0"])
def test_the_token_does_not_go_over_a_network_in_the_clear(cli: Cli, address: str) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.1", 9))  # nothing is sent
        except OSError:
            pytest.skip("no network")
        address = address.format(own=probe.getsockname()[0])
    said = cli.run("daemon", "run", "--listen", address, code=4).stderr.decode()
    assert all(word in said for word in ("TLS", "public_url", "plain_http", "--plain-http")), said


@pytest.mark.parametrize(
    ("config", "allowed"), [("", False), ("plain_http = true", True), (f'public_url = "{BOX}"', True)]
)
def test_unless_the_user_says_so(cli: Cli, config: str, allowed: bool) -> None:
    cli.home.make()
    Path(cli.home.config).write_text(f'listen = "0.0.0.0:0"\n{config}')
    cli.run("daemon", "start")  # streams run in any case
    status = json.loads(cli.out("daemon", "status", "--json"))
    assert bool(status["listen"]) is allowed
    assert allowed or "plain_http" in status["trouble"]


@pytest.mark.parametrize("address", ["127.0.0.1:0", "[::1]:0", "localhost:0"])
def test_localhost_leads_to_nobody_else(cli: Cli, address: str) -> None:
    cli.home.make()
    Path(cli.home.config).write_text(f'listen = "{address}"')
    cli.run("daemon", "start")
    url = json.loads(cli.out("daemon", "status", "--json"))["listen"]
    port = int(url.rpartition(":")[2])
    for family, host in ((socket.AF_INET, "127.0.0.1"), (socket.AF_INET6, "::1")):
        with pytest.raises(OSError, match="in use"), socket.socket(family) as other:
            other.bind((host, port))
        with socket.create_connection((host, port), timeout=LIMIT):
            pass


def test_where_localhost_leads_to_another_program_the_log_says_so(cli: Cli) -> None:
    cli.home.make()
    with socket.create_server(("::1", 0), family=socket.AF_INET6) as other:
        Path(cli.home.config).write_text(f'listen = "127.0.0.1:{other.getsockname()[1]}"')
        cli.run("daemon", "start")
        assert "another program's" in Path(cli.home.log).read_text()
        stop_daemon(cli.home)


def test_nor_does_it_by_way_of_a_proxy(cli: Cli) -> None:
    cli.home.make()
    Path(cli.home.config).write_text('listen = "127.0.0.1:0"\npublic_url = "http://box"')
    assert b"plain_http" in cli.run("daemon", "run", "--listen", "127.0.0.1:0", code=4).stderr
    Path(cli.home.config).write_text('plain_http = "yes"')
    assert b"plain_http cannot be" in cli.run("daemon", "start", code=4).stderr


SAID = [
    ({"x-forwarded-proto": "https"}, "https://box"),
    ({"x-forwarded-proto": "https", "x-forwarded-host": "a.example:443, b"}, "https://a.example"),
    ({"forwarded": "proto=https"}, "https://box"),
    ({"forwarded": 'For="a,b;proto=http";Host="c.example:8443" ; Proto=HTTPS, host=d'}, "https://c.example:8443"),
    ({"forwarded": "proto=http;host=d", "x-forwarded-proto": "https"}, "https://d"),
    ({"forwarded": 'host="'}, "http://box"),
    ({"forwarded": 'a="' * 20_000}, "http://box"),
    ({"x-forwarded-proto": "javascript"}, "http://box"),
    ({"x-forwarded-host": "u@x"}, "None"),
]


@pytest.mark.parametrize(("headers", "origin"), SAID)
def test_what_a_proxy_says_counts_from_this_machine_alone(headers: dict[str, str], origin: str) -> None:
    addresses = OwnAddresses("0.0.0.0", Settings())
    for peer, expected in (("127.0.0.1", origin), ("::1", origin), ("10.0.0.1", "http://box"), ("", "http://box")):
        seen = addresses.target_of({"client": (peer, 9)}, Headers(headers | {"host": "box"}))
        assert str(seen.origin) == expected
        assert seen.names[0] == "box"


def test_the_address_that_was_connected_to_is_a_name() -> None:
    for bound, host in (("192.168.1.5", "192.168.1.5:7878"), ("fd00::5", "[fd00:0::5]")):
        addresses = OwnAddresses("0.0.0.0", Settings())
        for server, stranger in (((bound, 7878), None), (("10.0.0.1", 7878), host), (None, host)):
            scope = {"server": server}
            assert addresses.foreign_name(addresses.target_of(scope, Headers({"host": host})), scope) == stranger


PARTS = st.sampled_from(
    ("http", "https", "://", ":", "@", "[", "]", "::1", "127.0.0.1", "localhost", "box", ":443", "/", '"', ",", ";",
     "=", "proto", "host", "null", "%", " ", "\\", "\xff", "\u0130", "99999", "0.0.0.0", "app")
)  # fmt: skip

WORDS = st.lists(PARTS | st.text(st.characters(max_codepoint=255), max_size=3), max_size=8).map("".join)


@given(st.fixed_dictionaries({name: WORDS for name in ("host", "origin", "forwarded", "x-forwarded-host")}))
@settings(max_examples=300, deadline=None, print_blob=True)
def test_whatever_names_a_request_has_it_is_ours_or_not(headers: dict[str, str]) -> None:
    addresses = OwnAddresses("127.0.0.1", Settings(origins=(APP,), public_url=public_url_of(f"{BOX}/pts")))
    scope = {"client": ("127.0.0.1", 9), "server": ("127.0.0.1", 7878)}
    raw = [(name.encode(), value.encode("latin-1", "replace")) for name, value in headers.items()]
    seen = addresses.target_of(scope, Headers(raw=raw))
    if addresses.is_own(headers["origin"], seen):  # then it is spelled as an origin is, and no other way
        assert origin_of(headers["origin"]) in (seen.origin, origin_of(BOX))
    if addresses.foreign_name(seen, scope) is None:
        hosts = {found.host for name in seen.names if (found := origin_of(f"http://{name}"))}
        assert all(map(is_loopback, hosts - {"box.example.com"}))
    for read in (listed_origin, public_url_of):
        with contextlib.suppress(ValueError):
            assert str(read(headers["host"])) == str(read(str(read(headers["host"]))))  # one spelling is its own


# --- the public address


def test_the_link_and_the_cookie_behind_tls(public: Face, listed: Face) -> None:
    link = public.cli.out("web", "--no-browser").strip()
    assert link.startswith(f"{BOX}/enter?key=")
    near = link.replace(BOX, public.url)
    answer = httpx.get(near, headers={"host": "box.example.com", **VISIT})
    assert ROOM.fullmatch(answer.headers["location"])
    assert "secure" in answer.headers["set-cookie"].lower().split("; ")
    link = listed.cli.out("web", "--no-browser").strip()
    assert link.startswith(listed.url)
    answer = httpx.get(link, headers={"host": "box.example.com", **dict(HTTPS), **VISIT})
    assert "secure" in answer.headers["set-cookie"].lower().split("; ")
    answer = httpx.get(listed.cli.out("web", "--no-browser").strip())
    assert "secure" not in answer.headers["set-cookie"].lower().split("; ")


@pytest.mark.parametrize("left", [True, False])
def test_a_path_before_all_paths(left: bool) -> None:
    """Which the proxy has left where it is, or taken off."""
    with listening(f'public_url = "{BOX}/my/streams"') as face:
        link, before = face.cli.out("web", "--no-browser").strip(), "/my/streams" if left else ""
        assert link.startswith(f"{BOX}/my/streams/enter?key=")
        outer = {"host": "box.example.com", "origin": BOX}
        answer = httpx.get(f"{face.url}{before}/enter?{link.partition('?')[2]}", headers=outer | VISIT)
        room = answer.headers["location"]
        assert ROOM.fullmatch(room.removeprefix("/my/streams"))
        assert f"Path={room};" in answer.headers["set-cookie"]
        made = face.http.post(f"{before}/streams", json={"prompt": "x"}, headers=outer)
        assert made.headers["location"] == f"/my/streams/streams/{made.json()['id']}"
        cookie = answer.headers["set-cookie"].partition(";")[0]
        inner = face.url + before + room.removeprefix("/my/streams").rstrip("/")
        for path in ("/streams", "/", "/web/page.js"):
            assert httpx.get(inner + path, headers=outer | {"cookie": cookie}).status_code == 200, path
        assert httpx.get(inner + "/", headers={"cookie": cookie}).status_code == 200


def test_the_link_of_a_daemon_on_all_addresses(cli: Cli) -> None:
    with cli.started("daemon", "run", "--listen", "0.0.0.0:0", "--plain-http"):
        until(lambda: os.path.exists(cli.home.socket))
        link = cli.out("web", "--no-browser").strip()
        assert link.startswith("http://127.0.0.1:")
        assert httpx.get(link).status_code == 303
        assert httpx.get(link.replace("127.0.0.1", "0.0.0.0")).status_code == 403


# --- the pages of apps: CORS


PREFLIGHTS = [("GET", "authorization"), ("POST", "authorization,content-type,x-stainless-os,x-stainless-new"),
              ("DELETE", "x-a"), ("HEAD", "if-none-match"), ("POST", "x-api-key, openai-organization")]  # fmt: skip


@pytest.mark.parametrize(("method", "names"), PREFLIGHTS)
@pytest.mark.parametrize("origin", [APP, DESKTOP, DESKTOP.upper()])
@pytest.mark.parametrize("host", ["127.0.0.1:1", "host.docker.internal:7878"])
def test_what_the_page_of_an_app_may_send(listed: Face, method: str, names: str, origin: str, host: str) -> None:
    asks = {"host": host, "origin": origin, "access-control-request-method": method}
    asks |= {"access-control-request-headers": names, "access-control-request-private-network": "true"}
    answer = httpx.options(listed.url + wire.COMPLETIONS, headers=asks)
    allowed = {name.removeprefix("access-control-"): value for name, value in answer.headers.items()}
    assert answer.status_code == 200
    assert (allowed["allow-origin"], allowed["allow-headers"]) == (origin, names)
    assert method in allowed["allow-methods"].split(", ")
    assert int(allowed["max-age"]) >= 600
    assert allowed["allow-private-network"] == "true"
    assert "allow-credentials" not in allowed


@pytest.mark.parametrize("origin", ["http://evil.example", "null", "http://localhost:5174", "app://other"])
def test_what_another_page_may_send(listed: Face, plain: Face, origin: str) -> None:
    asks = {"origin": origin, "access-control-request-method": "GET", "access-control-request-private-network": "true"}
    for face in (listed, plain):
        answer = httpx.options(face.url + "/streams", headers=asks)
        assert answer.status_code == 403
        assert "`origins` in config.toml" in answer.text
        assert not [name for name in answer.headers if name.startswith("access-control-allow")]


def test_a_page_reads_why_it_was_refused(listed: Face) -> None:
    answer = httpx.get(listed.url + "/streams", headers={"origin": DESKTOP})
    assert (answer.status_code, answer.headers["access-control-allow-origin"]) == (401, DESKTOP)


# --- addresses in the config file


@pytest.mark.parametrize(
    ("text", "found"),
    [
        (APP, APP),
        ("HTTP://LocalHost:80", "http://localhost"),
        ("https://box.example.com:443", BOX),
        ("https://box.example.com:80", "https://box.example.com:80"),
        ("http://[0:0::1]:3000", "http://[::1]:3000"),
        ("http://my_box:3000", "http://my_box:3000"),
        *((text, text) for text in ("app://obsidian.md", "app://-", "app://.", "tauri://localhost", "file://")),
        *(
            (text, text)
            for text in ("capacitor://localhost", "vscode-webview://1a2b", "chrome-extension://" + "a" * 32)
        ),
        ("safari-web-extension://AB-CD", "safari-web-extension://ab-cd"),
        (
            "moz-extension://6b8e4a9c-7d7f-4a3e-9d43-0e5d3ad8a3c1",
            "moz-extension://6b8e4a9c-7d7f-4a3e-9d43-0e5d3ad8a3c1",
        ),
    ],
)
def test_an_origin(text: str, found: str) -> None:
    assert listed_origin(text) == found
    assert str(origin_of(found)) == found


NO_ORIGINS = [
    *((text, "sends 'null'") for text in ("null", "NULL", "data:text/html", "blob:http://x", "file:///home/me/x.html")),
    *((text, "wildcard") for text in ("*", "http://*", "http://*.example.com", "http://localhost:*", "app://*")),
    *((text, "SCHEME://HOST") for text in ("", "localhost", "localhost:5173", "http:/x")),
    *((text, "no path, not even a slash: it is http://x") for text in ("http://x/", "http://x/y", "http://x?y")),
    *((text, "no user") for text in ("http://me@x", "http://me:secret@x:1")),
    *((text, "no such host or port") for text in ("http://x:65536", "http://x:", "http://a b", "http://[::1", "://x")),
    *((text, "has no host") for text in ("http://", "app://")),
    ("ws://x", "its page has http"),
    ("https://bücher.example", "ASCII"),
]


@pytest.mark.parametrize(("text", "why"), NO_ORIGINS)
def test_no_origin(text: str, why: str) -> None:
    with pytest.raises(ValueError, match=why.replace("*", r"\*")):
        listed_origin(text)


@pytest.mark.parametrize(
    ("text", "origin", "path"),
    [
        (BOX, BOX, ""),
        ("HTTPS://Box.Example.com:443//", BOX, ""),
        ("http://box:8080/a/b-c/", "http://box:8080", "/a/b-c"),
        ("https://[::1]/x", "https://[::1]", "/x"),
    ],
)
def test_a_public_url(text: str, origin: str, path: str) -> None:
    found = public_url_of(text)
    expected = origin_of(origin)
    assert expected is not None
    assert found == PublicUrl(expected, path)
    assert str(found) == origin + path


@pytest.mark.parametrize(
    "text",
    ["", "box.example.com", "ftp://x", "https://", "https://0.0.0.0", "https://[::]:1", "https://me@x", "https://x?y",
     "https://x/a?b", "https://x/a#b", "https://x/../a", "https://x/a//b", "https://x/a b", "https://*", "https://é"],
)  # fmt: skip
def test_no_public_url(text: str) -> None:
    with pytest.raises(ValueError, match=r"^(it|there)"):
        public_url_of(text)


# --- a config file that is refused

REFUSED = [
    ("nonsense = 1", "nonsense"),
    ("listen = ", "Invalid value"),
    ('listen = "7878"', "'7878' is no address"),
    ('listen = "127.0.0.1:99999"', "is no address"),
    ('origins = ["http://localhost:5173/"]', "no path"),
    ('origins = ["null"]', "sends 'null'"),
    ('public_url = "box"', "https://box.example.com"),
    ("[endpoints.x]", "base_url"),
]


def test_a_config_file_that_is_refused_starts_nothing(cli: Cli) -> None:
    cli.home.make()
    for how, (config, why) in [*(("start", each) for each in REFUSED), ("run", REFUSED[0]), ("run", REFUSED[2])]:
        Path(cli.home.config).write_text(config)
        said = cli.run("daemon", how, code=4).stderr.decode()
        assert (why in said, "config.toml" in said) == (True, True), said
        assert not os.path.exists(cli.home.socket)


def test_a_daemon_goes_on_whose_config_file_is_broken_then() -> None:
    with listening() as face:
        before = Path(face.cli.home.config).read_text()
        Path(face.cli.home.config).write_text('origins = ["*"]')
        face.cli.run("daemon", "start")
        assert face.http.get("/streams").status_code == 200
        assert b"wildcards" in face.cli.run("drive", "-p", "x", code=4).stderr
        Path(face.cli.home.config).write_text(before)


def test_start_says_that_an_address_is_taken(plain: Face, cli: Cli) -> None:
    cli.home.make()
    Path(cli.home.config).write_text(f'listen = "127.0.0.1:{plain.port}"')
    assert b"cannot be listened on" in cli.run("daemon", "start").stderr
    stop_daemon(cli.home)
