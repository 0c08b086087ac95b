"""`ptstream.js` under Node and in a browser, against a daemon and an app: the text once, whatever the line does."""

from __future__ import annotations

import contextlib
import hashlib
import json
import random
import subprocess
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import pytest
from playwright.sync_api import Browser

import ptstream
from ptstream import wire
from tests.browser import browser, needs_browser, visiting  # noqa: F401
from tests.collecting_proxy import Proxy, collecting
from tests.conftest import FIRST, SECOND, Face, Gate, detached, ended, listening, needs, until
from tests.endpoint import TEXT
from tests.web import Line, app, cuts_at_random, line, site

UNICODE = (
    "One. \r\nTwo:\rlone. 数据库里只有完整的句子。👩‍👩‍👧‍👦🏳️‍🌈"
    "e\u0301\x00\ufeff\u2028\u2029\x1b[0m𝒳\U0010ffff data: id: 7\n\n\n"
)
"""Line ends of every kind, a family, a flag, a NUL, a byte order mark that is none, and what looks like an event."""
LONG = UNICODE * 200
"""Seven events of a stream that is over."""

READ = """
async ([module, how, url, {keep, abortAfter, abortIn, slept, given, ...options}]) => {
  const { StreamError, ...ways } = await import(module)
  const aborting = new AbortController()
  if (abortIn !== undefined) setTimeout(() => aborting.abort(new Error("enough")), abortIn)
  const calls = (globalThis.calls = [])
  if (given) Object.assign(options, (0, eval)(`(${given})`))
  const { now } = Date
  let jumps = 0
  if (slept) Date.now = () => now() + (jumps += 15_000)  // the clock has gone on, and no timer has run
  let text = "", pieces = 0, last = {}, offset = Number(options.offset ?? 0)
  const size = (text) => new TextEncoder().encode(text).length
  try {
    for await (const told of ways[how](url, { ...options, signal: aborting.signal })) {
      text += told.text
      pieces += 1
      offset += size(told.text)
      if (told.offset !== offset) throw new Error(`${told.offset} is not ${offset}`)
      last = told
      if (pieces === abortAfter) aborting.abort(new Error("enough"))
      if (pieces === keep) break
    }
  } catch (error) {
    last = { ...last, thrown: error.message, name: error.name, code: error.code, http: error.status }
  }
  Date.now = now
  const digest = await crypto.subtle.digest("SHA-256", new TextEncoder().encode(text))
  const sha256 = Array.from(new Uint8Array(digest), (byte) => byte.toString(16).padStart(2, "0")).join("")
  const node = globalThis.process && (await import("node:events"))
  const listeners = node ? node.getEventListeners(aborting.signal, "abort").length : 0
  return { ...last, text, sha256, pieces, listeners, calls }
}
"""

APP = r"""
import contextlib, pathlib
import anyio, ptstream
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.middleware.cors import CORSMiddleware
from starlette.responses import PlainTextResponse, Response, StreamingResponse
from starlette.routing import Route

TEXT = pathlib.Path("text").read_bytes().decode()
asked, gates = [], {}

async def generate(stream):
    asked.append(stream.id)
    if stream.prompt == "gated":
        yield TEXT[:20]
        await gates.setdefault(stream.id, anyio.Event()).wait()
        yield TEXT[20:]
        return
    for begin in range(0, len(TEXT), 7):
        await anyio.sleep(0.001)
        yield TEXT[begin : begin + 7]
    if stream.prompt == "fail":
        raise RuntimeError("the model fell over")

async def create(request):
    return PlainTextResponse(await app.state.pts.create(prompt=request.query_params.get("prompt", "")))

async def stream(request):
    id = request.path_params["id"]
    if request.method == "POST":
        return app.state.pts.response(id, generate)
    return app.state.pts.events(id, request.query_params.get("offset", 0))

async def go(request):
    gates.setdefault(request.path_params["id"], anyio.Event()).set()
    return PlainTextResponse("")

async def runs(request, **scope):  # of the answer's body
    given, taken = anyio.create_memory_object_stream(100)
    async def send(message):
        if message.get("body"):
            await given.send(message["body"])
    async def answer():
        async with given:
            await (await stream(request))(request.scope | scope, request.receive, send)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(answer)
        async for run in taken:
            yield run

async def plain(request):  # whatever is accepted
    if request.method == "GET":
        return await stream(request)
    return StreamingResponse(runs(request, headers=[]), media_type="text/plain")

async def deaf(request):  # to the offset
    return app.state.pts.events(request.path_params["id"])

async def short(request):  # ends in order, and too soon
    async def some():
        left = 2
        async for run in runs(request):
            yield run
            left -= 1
            if not left and b"streamClosed" not in run:
                return
    return StreamingResponse(some(), media_type="text/event-stream")

async def busy(request):
    if request.path_params["id"] not in asked:
        asked.append(request.path_params["id"])
        return Response(status_code=503, headers={"retry-after": request.query_params["again"]})
    return await stream(request)

async def odd(request):
    return Response(request.query_params["body"], media_type="text/event-stream")

async def dribble(request):
    async def bytewise():
        for byte in b"\xef\xbb\xbf: hello\r\n" + body.replace(b"\n", end):
            yield bytes([byte])
            if byte == 13:
                await anyio.sleep(0.01)  # what comes next comes alone
    end = {"cr": b"\r", "crlf": b"\r\n"}[request.query_params["end"]]
    body = b"".join([run async for run in runs(request)])
    return StreamingResponse(bytewise(), media_type="text/event-stream")

@contextlib.asynccontextmanager
async def lifespan(app):
    async with ptstream.open("home", grace=0) as app.state.pts:
        yield

app = Starlette(lifespan=lifespan, middleware=[Middleware(CORSMiddleware, allow_origins=["*"])], routes=[
    Route("/new", create, methods=["POST"]), Route("/asked", lambda _: PlainTextResponse(str(len(asked)))),
    Route("/streams/{id}", stream, methods=["GET", "POST"]), Route("/deaf/{id}", deaf), Route("/short/{id}", short),
    Route("/go/{id}", go, methods=["POST"]), Route("/plain/{id}", plain, methods=["GET", "POST"]),
    Route("/busy/{id}", busy), Route("/odd", odd), Route("/dribble/{id}", dribble),
])
"""

Read = Callable[..., dict[str, Any]]
"""`read("follow", url, **options)`: what came, and what was thrown."""


@pytest.fixture(scope="module")
def origin() -> Iterator[str]:
    """A site that the daemon lets in."""
    with site(ptstream.web) as url:
        yield url


@pytest.fixture(scope="module")
def daemon(endpoint: str, origin: str) -> Iterator[Face]:
    """A daemon that asks the scripted endpoint."""
    with listening(f'origins = ["{origin}"]\n[endpoints.scripted]\nbase_url = "{endpoint}"') as found:
        yield found


@pytest.fixture(scope="module")
def node() -> Iterator[Read]:
    """How to read under Node. The program ends with its input: no timer and no listener is left then."""
    program = f"""
        import {{ createInterface }} from "node:readline"
        for await (const line of createInterface({{ input: process.stdin }}))
          process.stdout.write(JSON.stringify(await ({READ.strip()})(JSON.parse(line))) + "\\n")
    """
    start = ["node", "--no-warnings", "--input-type=module", "-e", program]
    with subprocess.Popen(start, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:

        def read(how: str, url: str, **options: Any) -> dict[str, Any]:
            assert process.stdin is not None
            assert process.stdout is not None
            process.stdin.write(json.dumps([str(ptstream.web / "ptstream.js"), how, url, options]).encode() + b"\n")
            process.stdin.flush()
            return json.loads(process.stdout.readline())  # type: ignore[no-any-return]

        yield read
        assert process.stdin is not None
        process.stdin.close()
        assert ended(process) == 0


@pytest.fixture(scope="module")
def in_page(browser: Browser, origin: str) -> Iterator[Read]:
    """How to read in a browser: one page that reads one after the other, as the program does."""
    with visiting(browser) as context, context.new_page() as page:
        page.goto(origin)
        yield lambda how, url, **options: page.evaluate(READ, ["/0/ptstream.js", how, url, options])


@pytest.fixture(
    params=[pytest.param("node", marks=needs("node")), pytest.param("in_page", marks=needs_browser, id="browser")]
)
def read(request: pytest.FixtureRequest) -> Any:
    """How to read, here and there."""
    return request.getfixturevalue(request.param)


@pytest.fixture(scope="module")
def an_app(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """An app of one's own, whose streams all say the same."""
    folder = tmp_path_factory.mktemp("app")
    (folder / "text").write_bytes((UNICODE * 4).encode())
    with app(APP, folder) as url:
        yield url


def pending(app: str, prompt: str = "") -> str:
    """The path of a stream of the app's."""
    return "/streams/" + httpx.post(app + "/new", params={"prompt": prompt}).text


def sha256(text: str) -> str:
    """Of its UTF-8."""
    return hashlib.sha256(text.encode()).hexdigest()


def replayed(daemon: Face, text: str, rate: int, size: int = 7) -> str:
    """The id of a stream that is being written."""
    path = Path(daemon.cli.home.path) / f"text-{sha256(text)[:8]}"
    path.write_bytes(text.encode())
    return daemon.cli.out("drive", "--detach", "-p", "x", "-m", f"replay:{path}?rate={rate}&size={size}").strip()


def path_of(id: str) -> str:
    """Where the text of a stream is."""
    return wire.TEXT.format(id=id)


def whole(found: dict[str, Any], text: str, status: str = "done", error: str | None = None) -> None:
    """All of the text came, once, and the end that the store has; and nothing is left behind."""
    assert (found.get("thrown"), found["listeners"]) == (None, 0), found
    assert len(found["text"]) == len(text)
    assert (found["sha256"], found["offset"]) == (sha256(text), found["offset"])
    assert (found["status"], found["error"]) == (status, error)


def test_it_follows_to_the_end(read: Read, daemon: Face) -> None:
    id = replayed(daemon, UNICODE * 20, rate=400)
    whole(read("follow", daemon.url + path_of(id), headers=daemon.headers), UNICODE * 20)
    middle = len("One. \r\nTwo:\rlone. 数".encode())
    rest = read("follow", daemon.url + path_of(id), headers=daemon.headers, offset=middle)
    whole(rest, (UNICODE * 20)[len("One. \r\nTwo:\rlone. 数") :])
    size = len((UNICODE * 20).encode())
    at_end = read("follow", daemon.url + path_of(id), headers=daemon.headers, offset=size)
    assert (at_end["text"], at_end["offset"], at_end["status"], at_end["pieces"]) == ("", size, "done", 1)


def test_a_line_that_is_cut_anywhere(read: Read, daemon: Face) -> None:
    id = replayed(daemon, LONG, rate=2000, size=11)
    with line(daemon.url, cuts_at_random(random.randrange(10**6), 14_000)) as bad:
        whole(read("follow", bad.url + path_of(id), headers=daemon.headers), LONG)
        assert bad.cuts > 1


def test_a_line_that_stalls(read: Read, daemon: Face) -> None:
    id = replayed(daemon, LONG, rate=50_000)
    with line(daemon.url, lambda _: None if bad.cuts else 9000, stalls=True) as bad:
        whole(read("follow", bad.url + path_of(id), headers=daemon.headers, silence=700), LONG)
        assert bad.cuts  # it did; by which connection, and by how many, is the browser's business


def test_a_server_that_is_away_for_a_while(read: Read, daemon: Face) -> None:
    id = replayed(daemon, UNICODE, rate=400)
    with line(daemon.url, refuses=True) as bad, meanwhile(lambda: comes_back(bad)):
        whole(read("follow", bad.url + path_of(id), headers=daemon.headers), UNICODE)


def comes_back(bad: Line, do: Callable[[], Any] = lambda: None) -> None:
    """When it has refused for the second time, and `do` is done."""
    until(lambda: bad.cuts > 1)
    do()
    bad.refuses = False


@contextlib.contextmanager
def meanwhile(do: Callable[[], Any]) -> Iterator[None]:
    """In a thread, done when the block is left."""
    with ThreadPoolExecutor(1) as pool:
        done = pool.submit(do)
        yield
        done.result()


def test_an_abort(read: Read, daemon: Face, gate: Gate) -> None:
    id = detached(daemon.cli, *gate.command)
    url, headers = daemon.url + path_of(id), daemon.headers
    begun = read("follow", url, headers=headers, abortAfter=1)
    assert (begun["text"], begun["status"], begun["thrown"]) == (FIRST, "streaming", "enough")
    silent = read("follow", url, headers=headers, offset=len(FIRST), abortIn=300)
    assert (silent["text"], silent["thrown"]) == ("", "enough")
    with line(daemon.url, refuses=True) as bad:
        refused = read("follow", bad.url + path_of(id), headers=headers, abortIn=300)
    assert (refused["text"], refused["thrown"]) == ("", "enough")
    left = read("follow", url, headers=headers, keep=1)
    assert (left["text"], left["status"]) == (FIRST, "streaming")
    gate.open()
    whole(read("follow", url, headers=headers), FIRST + SECOND)


def test_what_is_refused(read: Read, daemon: Face, an_app: str) -> None:
    id, headers = replayed(daemon, UNICODE, rate=50_000), daemon.headers
    url = daemon.url + path_of(id)
    daemon.cli.run("wait", id)
    size = len(UNICODE.encode())
    statusless = '{"streamNextOffset": "0", "streamClosed": true}'
    cases: list[tuple[tuple[str, Any], int, str]] = [
        ((url, {"headers": {"authorization": "Bearer no"}}), 401, "not-authenticated"),
        ((url, {}), 401, "not-authenticated"),
        ((daemon.url + path_of("0000nosuchid"), {"headers": headers}), 404, "not-found"),
        ((url, {"headers": headers, "offset": size + 1}), 416, "beyond-end"),
        ((url, {"headers": headers, "offset": UNICODE.encode().index(b"\xe6") + 1}), 400, "usage"),
        ((f"{an_app}/odd?body=event: control%0Adata: {{%0A%0A", {}), 200, "malformed"),
        ((f"{an_app}/odd?body=event: control%0Adata: 1%0A%0A", {}), 200, "malformed"),
        ((f"{an_app}/odd?body=event: control%0Adata: null%0A%0A", {}), 200, "malformed"),
        ((f"{an_app}/odd?body=event: control%0Adata: {statusless}%0A%0A", {}), 200, "malformed"),
        ((f"{an_app}/odd?body=event: data%0Adata: --%0A%0A", {}), 200, "malformed"),
        ((f"{an_app}/asked", {}), 200, "malformed"),
    ]
    for asked, code, word in cases:
        found = read("follow", asked[0], **asked[1])
        assert (found["name"], found["http"], found["code"], found["pieces"]) == ("StreamError", code, word, 0), asked
    refused = read("drive", f"{daemon.url}/streams/{id}/drive?live=1")
    assert (refused["name"], refused["http"]) == ("StreamError", 401)
    for word, offset in (("RangeError", "x"), ("RangeError", -1), ("TypeError", 0)):
        assert read("follow", "http://[", offset=offset)["name"] == word


def test_a_stream_that_is_deleted_while_the_line_is_down(read: Read, daemon: Face) -> None:
    id = replayed(daemon, LONG, rate=50_000)
    daemon.cli.run("wait", id)

    def passes(_: int) -> int:
        bad.refuses = True
        return 9000

    with line(daemon.url, passes, stalls=False) as bad, meanwhile(lambda: comes_back(bad, lambda: delete(daemon, id))):
        found = read("follow", bad.url + path_of(id), headers=daemon.headers)
    assert (found["name"], found["http"], found.get("status", "streaming")) == ("StreamError", 404, "streaming")
    assert LONG.startswith(found["text"])


def delete(daemon: Face, id: str) -> None:
    """Over the network."""
    httpx.delete(f"{daemon.url}/streams/{id}", headers=daemon.headers).raise_for_status()


def test_the_status_is_the_stores(read: Read, daemon: Face, gate: Gate) -> None:
    failed = daemon.cli.run("drive", "--", "sh", "-c", "echo some; exit 3", code=5).stderr.decode().split()[0]
    found = read("follow", daemon.url + path_of(failed), headers=daemon.headers)
    assert (found["text"], found["status"]) == ("some\n", "error")
    assert "3" in found["error"]
    cancelled = detached(daemon.cli, *gate.command)
    daemon.cli.run("cancel", cancelled)
    for ways in ({}, {"offset": len(FIRST)}):
        found = read("follow", daemon.url + path_of(cancelled), headers=daemon.headers, **ways)
        assert (found["status"], found["error"]) == ("cancelled", f"cancelled at byte {len(FIRST)}")


# --- drive


@contextlib.contextmanager
def broken_once(url: str, at: int | None) -> Iterator[Line]:
    """A line to `url` of which one answer breaks off behind its first `at` bytes; None: none does."""
    with line(url, whole_heads=True) as made:
        made.passes = lambda _: None if made.cuts else at
        yield made


def asked_for(daemon: Face, model: str) -> str:
    """The id of a pending stream."""
    told = httpx.post(daemon.url + wire.STREAMS, json={"prompt": "Why?", "model": model}, headers=daemon.headers)
    return str(told.raise_for_status().json()["id"])


def test_it_drives_a_stream_of_the_daemons(read: Read, daemon: Face) -> None:
    for break_at in (None, 20):
        id = asked_for(daemon, "scripted/slow")
        # The first answer, whichever connection it comes by: a browser may open more than it uses.
        with broken_once(daemon.url, break_at) as bad:
            ways = {"follow": bad.url + path_of(id), "headers": daemon.headers}
            whole(read("drive", f"{bad.url}/streams/{id}/drive?live=1", **ways), TEXT)
            assert bool(bad.cuts) == (break_at is not None)
    ways = {"headers": daemon.headers | {"content-type": "application/json"}, "body": "{}"}
    whole(read("drive", f"{daemon.url}/streams/{id}/drive?live=1", **ways), TEXT)


@needs("node")
def test_the_last_stream_stays_the_same_one(node: Read, daemon: Face) -> None:
    """The line is cut after some bytes, and another stream is the last one when it comes back."""

    for how, path, say in (("drive", "drive?live=1", asked_for), ("follow", "text", stream_that_comes)):
        id = say(daemon, "scripted/slow")
        ways = {"whole_heads": True, "at_cut": lambda: asked_for(daemon, "scripted/another")}
        with line(daemon.url, lambda _: None if bad.cuts else 20, **ways) as bad:
            whole(node(how, f"{bad.url}/streams/@last/{path}", headers=daemon.headers), TEXT)
            assert f"/streams/{id}/text" in bad.heads[-1]


def stream_that_comes(daemon: Face, model: str) -> str:
    """The id of one that is being written."""
    id = asked_for(daemon, model)
    httpx.post(daemon.url + wire.DRIVE.format(id=id), json={}, headers=daemon.headers).raise_for_status()
    return id


def test_it_drives_a_stream_of_an_apps(read: Read, an_app: str) -> None:
    """Broken at any byte, inside characters too, it goes on by `follow`."""
    size, before = len((UNICODE * 4).encode()), int(httpx.get(an_app + "/asked").text)
    seed = random.randrange(10**6)
    print(f"seed {seed}")
    chance = random.Random(seed)
    for _ in range(4):
        cut = chance.randrange(size)
        with broken_once(an_app, cut) as bad:
            whole(read("drive", bad.url + pending(an_app)), UNICODE * 4)
            assert bad.cuts
    assert int(httpx.get(an_app + "/asked").text) == before + 4
    middle = UNICODE.index("数") + 1
    path = pending(an_app)
    rest = read("drive", an_app + path, offset=len(UNICODE[:middle].encode()))
    whole(rest, (UNICODE * 4)[middle:])
    failed = pending(an_app, "fail")
    with line(an_app, lambda number: None if number else 300, whole_heads=True) as bad:
        whole(read("drive", bad.url + failed), UNICODE * 4, "error", "RuntimeError: the model fell over")


def test_a_drive_that_is_left_goes_on(read: Read, an_app: str) -> None:
    path = pending(an_app)
    left = read("drive", an_app + path, keep=1)
    assert (UNICODE * 4).startswith(left["text"])
    whole(read("follow", an_app + path), UNICODE * 4)


def test_servers_that_are_not_as_they_should_be(read: Read, an_app: str) -> None:
    path = pending(an_app)
    whole(read("drive", an_app + path), UNICODE * 4)
    id = path.rpartition("/")[2]
    offset = len(UNICODE.encode())
    whole(read("follow", f"{an_app}/deaf/{id}", offset=offset), UNICODE * 3)
    for end in ("cr", "crlf"):
        whole(read("follow", f"{an_app}/dribble/{id}?end={end}"), UNICODE * 4)
    whole(read("follow", f"{an_app}/short/{id}"), UNICODE * 4)
    for lost in (  # there was more
        'event: data%0Adata: eHh4%0A%0Aevent: control%0Adata: {"streamNextOffset": "9"}',
        'event: control%0Adata: {"streamNextOffset": "9", "streamClosed": true, "status": "done"}',
    ):
        asked_again = read("follow", f"{an_app}/odd?body={lost}%0A%0A", abortIn=500)
        assert (asked_again["text"], asked_again["thrown"]) == ("", "enough")
    for again in ("1", "soon", "Thu, 26 Nov 2020 00:00:00 GMT"):
        other = pending(an_app)
        read("drive", an_app + other)
        busy = f"{an_app}/busy/{other.rpartition('/')[2]}?again={again}"
        whole(read("follow", busy), UNICODE * 4)


# --- what is on the way


def goes_on(an_app: str, path: str, when: Callable[[], bool]) -> Any:
    """Lets a gated stream go on then."""
    return meanwhile(lambda: until(when) and httpx.post(f"{an_app}/go/{path.rpartition('/')[2]}"))


@pytest.mark.parametrize("ways", [{}, {"events": True}, {"events": True, "heads": False}], ids=str)
def test_behind_a_proxy_that_collects(read: Read, an_app: str, ways: dict[str, bool]) -> None:
    """Of a stream that is not over there is text all the same, and each byte of it once."""
    with collecting(an_app, **ways) as proxy:
        path = pending(an_app, "gated")
        for how in ("drive", "follow"):
            begun = read(how, proxy.url + path, keep=1)
            assert (begun["text"] != "", begun["status"]) == (True, "streaming")
        asked = len(proxy.asked)
        with goes_on(an_app, path, lambda: len(proxy.asked) > asked + 2 * bool(ways)):
            whole(read("follow", proxy.url + path), UNICODE * 4)
        path = pending(an_app, "gated")
        asked = len(proxy.asked)
        with goes_on(an_app, path, lambda: len(proxy.asked) > asked + 2 * bool(ways)):
            whole(read("drive", proxy.url + path), UNICODE * 4)


def lasting(proxy: Proxy) -> list[str]:
    """The methods of the requests that last: where the first byte is slow, there are polls, too."""
    return [method for method, accept in proxy.asked if "until=now" not in accept]


def test_behind_a_tunnel_nothing_is_asked_twice(read: Read, an_app: str) -> None:
    with collecting(an_app) as proxy:
        whole(read("drive", proxy.url + pending(an_app)), UNICODE * 4)
        assert lasting(proxy) == ["POST"]


def test_an_app_that_answers_with_text_alone(read: Read, an_app: str) -> None:
    path = pending(an_app, "gated").replace("streams", "plain")
    with collecting(an_app) as proxy:
        begun = read("drive", proxy.url + path, keep=1)
        assert (begun["text"] != "", begun["status"]) == (True, "streaming")
        assert lasting(proxy) == ["POST", "GET"]
        with goes_on(an_app, path, lambda: len(proxy.asked) > 3):
            whole(read("drive", proxy.url + path), UNICODE * 4)
    whole(read("drive", an_app + path), UNICODE * 4)


def test_a_daemon_behind_a_proxy_that_collects(read: Read, daemon: Face) -> None:
    for ways in ({}, {"events": True}):
        with collecting(daemon.url, **ways) as proxy:
            id = asked_for(daemon, "scripted/slow")
            options = {"headers": daemon.headers}
            whole(read("drive", f"{proxy.url}/streams/{id}/drive?live=1", **options), TEXT)
            id = replayed(daemon, LONG, rate=2000, size=11)
            found = read("follow", proxy.url + path_of(id), **options)
            whole(found, LONG)
            assert found["pieces"] > 4


def test_the_machine_has_slept(read: Read, daemon: Face, an_app: str) -> None:
    """And what it was connected to is gone, without a word."""
    id = replayed(daemon, LONG, rate=50_000)
    with line(daemon.url, lambda _: None if bad.cuts else 9000, stalls=True) as bad:
        whole(read("follow", bad.url + path_of(id), headers=daemon.headers, slept=True), LONG)
        assert bad.cuts
    path = pending(an_app, "gated")
    with line(an_app, lambda _: None if bad.cuts else 150, stalls=True, whole_heads=True) as bad:
        with goes_on(an_app, path, lambda: len(bad.heads) > 0):
            whole(read("drive", bad.url + path, slept=True), UNICODE * 4)
        assert bad.cuts


# --- what an app gives


def test_a_fetch_of_ones_own(read: Read, daemon: Face) -> None:
    id = replayed(daemon, UNICODE, rate=50_000)
    asks = "calls.push([typeof url, init.signal instanceof AbortSignal]), fetch(url, init)"
    found = read(
        "follow", daemon.url + path_of(id), headers=daemon.headers, given=f"{{fetch: (url, init) => ({asks})}}"
    )
    whole(found, UNICODE)
    assert found["calls"] == [["string", True]]
    iterated = """{fetch: async (url, init) => {
      const answer = await fetch(url, init), reader = answer.body.getReader()
      const body = { async *[Symbol.asyncIterator]() {
        for (let run; !(run = await reader.read()).done; ) yield run.value
      } }
      return new Proxy(answer, { get: (it, key) => key === "body" ? body : it[key]?.bind?.(it) ?? it[key] })
    }}"""
    whole(read("follow", daemon.url + path_of(id), headers=daemon.headers, given=iterated), UNICODE)


BODILESS = """{fetch: async (url, init) => {
  calls.push(url)
  const answer = await fetch(url, init)
  if (%s) await answer.text()
  return new Proxy(answer, { get: (it, key) => key === "body" ? undefined : it[key]?.bind?.(it) ?? it[key] })
}}"""
"""React Native's: it has no body to read as it comes; and, waiting, gives an answer only when it is whole."""


@pytest.mark.parametrize("waits", ["false", "true"])
def test_a_fetch_without_a_body_to_read(read: Read, an_app: str, waits: str) -> None:
    path = pending(an_app, "gated")
    for how in ("drive", "follow"):
        found = read(how, an_app + path, given=BODILESS % waits)
        assert (found["name"], found["code"], found["text"]) == ("StreamError", "no-body", "")
        assert "`fetch`" in found["thrown"]
        assert len(found["calls"]) <= 3
    refused = read("follow", an_app + "/streams/nosuchstream", given=BODILESS % "false")
    assert (refused["name"], refused["http"]) == ("StreamError", 404)


def test_headers_that_are_asked_for_each_time(read: Read, daemon: Face) -> None:
    token = daemon.headers["Authorization"]
    for given in (f"{{authorization: '{token}'}}", f"Promise.resolve(new Headers({{authorization: '{token}'}}))"):
        id = replayed(daemon, LONG, rate=50_000)
        with line(daemon.url, lambda _: None if bad.cuts > 2 else 7000) as bad:
            found = read("follow", bad.url + path_of(id), given=f"{{headers: () => (calls.push(1), {given})}}")
            whole(found, LONG)
            assert 3 < len(found["calls"]) <= len(bad.heads)
    id = asked_for(daemon, "scripted/slow")
    given = f"{{headers: async () => (calls.push(1), {{authorization: '{token}'}})}}"
    whole(read("drive", f"{daemon.url}/streams/{id}/drive?live=1", given=given), TEXT)
    for given, name, told in (
        ("async () => { throw new RangeError('no token') }", "RangeError", "no token"),
        ("() => ({authorization: '\\n\\0'})", "TypeError", None),
    ):
        found = read("follow", daemon.url + path_of(id), given=f"{{headers: {given}}}")
        assert (found["name"], found["thrown"]) == (name, told or found["thrown"])
    hangs = read("follow", daemon.url + path_of(id), abortIn=300, given="{headers: () => new Promise(() => {})}")
    assert (hangs["thrown"], hangs["listeners"]) == ("enough", 0)


# --- the browser's own


@needs_browser
def test_the_network_is_away(browser: Browser, daemon: Face, origin: str) -> None:
    id = replayed(daemon, UNICODE, rate=50_000)
    ask = ["/0/ptstream.js", "follow", daemon.url + path_of(id), {"headers": daemon.headers}]
    with visiting(browser) as context, context.new_page() as page:
        page.goto(origin)
        page.evaluate("import('/0/ptstream.js')")
        context.set_offline(True)
        with page.expect_event("requestfailed"):
            page.evaluate(f"(ask) => {{ globalThis.found = ({READ.strip()})(ask); return null }}", ask)
        context.set_offline(False)
        whole(page.evaluate("found"), UNICODE)


@needs_browser
def test_a_page_that_is_not_let_in(browser: Browser, daemon: Face) -> None:
    id = replayed(daemon, UNICODE, rate=50_000)
    with site(ptstream.web) as other, visiting(browser) as context, context.new_page() as page:
        page.goto(other)
        ask = ["/0/ptstream.js", "follow", daemon.url + path_of(id), {"headers": daemon.headers, "abortIn": 1500}]
        found = page.evaluate(READ, ask)
    assert (found["text"], found["pieces"], found["thrown"]) == ("", 0, "enough")
