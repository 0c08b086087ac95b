"""`ptstream.js` under Node and in a browser, against a daemon and an app: the text once, whatever the line does."""

from __future__ import annotations

import hashlib
import json
import random
import shutil
import subprocess
import tempfile
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from playwright.sync_api import Browser

import ptstream
from ptstream import wire
from ptstream.settings import Home
from ptstream.store.sqlite import Store
from tests.browser import browser, needs_browser  # noqa: F401
from tests.conftest import Cli, detached, kept, needs, stop_daemon, until
from tests.endpoint import TEXT
from tests.web import Line, Listening, app, cuts_at_random, line, listening, site

UNICODE = "One. \r\nTwo:\rlone. 数据库里只有完整的句子。👩‍👩‍👧‍👦🏳️‍🌈e\u0301\x00\ufeff\u2028\u2029\x1b[0m𝒳\U0010ffff data: id: 7\n\n\n"
LONG = UNICODE * 500

READ = """
async ([module, how, url, {keep, abortAfter, ...options}]) => {
  const { StreamError, ...ways } = await import(module)
  const aborting = new AbortController()
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
  const digest = await crypto.subtle.digest("SHA-256", new TextEncoder().encode(text))
  const sha256 = Array.from(new Uint8Array(digest), (byte) => byte.toString(16).padStart(2, "0")).join("")
  return { ...last, text, sha256, pieces }
}
"""

Read = Callable[..., dict[str, Any]]
"""`read("follow", url, **options)`: what came, and what was thrown."""


@pytest.fixture(scope="module")
def origin() -> Iterator[str]:
    """A site that the daemon lets in."""
    with site(ptstream.web) as url:
        yield url


@pytest.fixture(scope="module")
def daemon(endpoint: str, origin: str) -> Iterator[Listening]:
    """A daemon that asks the scripted endpoint."""
    config = f'origins = ["{origin}"]\n[endpoints.scripted]\nbase_url = "{endpoint}"\n'
    with tempfile.TemporaryDirectory(prefix="pts-") as path:
        cli = Cli(Home(f"{path}/home"))
        with listening(cli, config) as found:
            yield found
        stop_daemon(cli.home)


def under_node(how: str, url: str, **options: Any) -> dict[str, Any]:
    """Read it there. The program must end by itself: no timer and no listener is left."""
    asked = json.dumps([str(ptstream.web / "ptstream.js"), how, url, options])
    program = f"process.stdout.write(JSON.stringify(await ({READ.strip()})({asked})))"
    line = ["node", "--no-warnings", "--input-type=module", "-e", program]
    done = subprocess.run(line, capture_output=True, timeout=90, check=False)
    assert done.returncode == 0, done.stderr.decode()
    return json.loads(done.stdout)  # type: ignore[no-any-return]


@pytest.fixture(params=[pytest.param("node", marks=needs("node")), pytest.param("browser", marks=needs_browser)])
def read(request: pytest.FixtureRequest) -> Iterator[Read]:
    """How to read, here and there."""
    if request.param == "node":
        yield under_node
        return
    with request.getfixturevalue("browser").new_page() as page:
        page.goto(request.getfixturevalue("origin"))
        yield lambda how, url, **options: page.evaluate(READ, ["/0/ptstream.js", how, url, options])


def sha256(text: str) -> str:
    """Of its UTF-8."""
    return hashlib.sha256(text.encode()).hexdigest()


def replayed(daemon: Listening, text: str, rate: int, size: int = 7) -> str:
    """The id of a stream that is being written."""
    path = Path(daemon.cli.home.path) / f"text-{sha256(text)[:8]}"
    path.write_bytes(text.encode())
    return daemon.cli.out("drive", "--detach", "-p", "x", "-m", f"replay:{path}?rate={rate}&size={size}").strip()


def path_of(id: str) -> str:
    """Where the text of a stream is."""
    return wire.TEXT.format(id=id)


def whole(found: dict[str, Any], text: str, status: str = "done", error: str | None = None) -> None:
    """All of the text came, once, and the end that the store has."""
    assert found.get("thrown") is None, found
    assert len(found["text"]) == len(text)
    assert (found["sha256"], found["offset"]) == (sha256(text), found["offset"])
    assert (found["status"], found["error"]) == (status, error)


def test_it_follows_to_the_end(read: Read, daemon: Listening) -> None:
    id = replayed(daemon, UNICODE * 20, rate=400)
    whole(read("follow", daemon.url + path_of(id), headers=daemon.headers), UNICODE * 20)
    middle = len("One. \r\nTwo:\rlone. 数".encode())
    rest = read("follow", daemon.url + path_of(id), headers=daemon.headers, offset=middle)
    whole(rest, (UNICODE * 20)[len("One. \r\nTwo:\rlone. 数") :])
    size = len((UNICODE * 20).encode())
    at_end = read("follow", daemon.url + path_of(id), headers=daemon.headers, offset=size)
    assert (at_end["text"], at_end["offset"], at_end["status"], at_end["pieces"]) == ("", size, "done", 1)


def test_a_line_that_is_cut_anywhere(read: Read, daemon: Listening) -> None:
    id = replayed(daemon, LONG, rate=2000, size=11)
    with line(daemon.url, cuts_at_random(random.randrange(10**6), 40_000)) as bad:
        whole(read("follow", bad.url + path_of(id), headers=daemon.headers), LONG)
        assert bad.cuts > 1
