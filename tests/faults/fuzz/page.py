"""Markdown in the page, in a real browser: nothing runs, no link leads to what is none, each word is there."""

from __future__ import annotations

import contextlib
import importlib.util
import os
import shutil
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from hypothesis import strategies as st

import ptstream
from tests.faults.fuzz.grammar import CUTS, pieces
from tests.faults.fuzz.growth import Pumped, seconds_grow_evenly
from tests.faults.fuzz.markdown import ANY, DOCUMENTS, PUMPED, words
from tests.faults.fuzz.search import Look, Wrong, search
from tests.faults.fuzz.terminal import forbidden
from tests.faults.runs import Run
from tests.faults.tally import Tally

WEB = Path(ptstream.__file__).parent / "web"

PLACE = "http://page.invalid"
"""Where the modules seem to be: nothing is asked for there."""

DOCUMENT = '<!doctype html><meta charset="utf-8"><script type="module" src="/fuzz.js"></script>'

SIZES = (16 * 1024, 64 * 1024)
"""How long an input is. What is shorter than the first may be parsed anew with every piece (markdown.js)."""

LONGEST = 8 * 1024
"""Characters of a text that is cut anywhere: a block of 16 Ki units of UTF-16 is put down as it is (markdown.js)."""

SECONDS = 10.0
"""What one input may take of the browser."""

HTML = (
    *(
        "<script>ran=1</script>",
        "<img src=x onerror=ran=1>",
        "<svg onload=ran=1>",
        "<iframe srcdoc='<script>parent.ran=1</script>'>",
    ),
    *(
        "[a](javascript:ran=1)",
        '![a](x" onerror="ran=1)',
        "<javascript:ran=1>",
        "[a](data:text/html,<script>ran=1</script>)",
    ),
    *(
        '[a](https://x.example "t" onclick=ran=1)',
        '```x" onclick=ran=1\ny\n```',
        "<style>*{}</style>",
        "<a href=x>",
        "<base href=//x>",
    ),
)


CHROMIUM = shutil.which("chromium-headless-shell") or shutil.which("chromium")


def missing() -> str | None:
    """Why there is no browser here."""
    if CHROMIUM is None:
        return "chromium is not installed"
    return None if importlib.util.find_spec("playwright") else "playwright is not installed"


def fuzz(run: Run, tally: Tally, count: int) -> None:
    """All of it."""
    hostile = st.lists(st.sampled_from(HTML) | DOCUMENTS, max_size=4).map("\n".join)
    with run.case(tally, -1), _page() as page:
        looks: list[Look[Any]] = [
            Look(st.tuples(ANY | hostile, CUTS), lambda made: _same(page, *made)),
            Look(DOCUMENTS, lambda text: _keeps(page, text)),
            Look(PUMPED, lambda pumped: _grows(page, pumped), 5),
        ]
        search(run, tally, looks)


@contextlib.contextmanager
def _page() -> Iterator[Any]:
    """A tab that has the page's modules, and no network."""
    from playwright.sync_api import Route, sync_playwright

    def answer(route: Route) -> None:
        name = route.request.url.removeprefix(PLACE).lstrip("/")
        if not name:
            return route.fulfill(content_type="text/html", body=DOCUMENT)
        path = Path(__file__).with_name("page.js") if name == "fuzz.js" else WEB / name
        return route.fulfill(content_type="text/javascript", body=path.read_text())

    flags = ["--no-sandbox"] if os.geteuid() == 0 else []
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=flags)
        try:
            page = browser.new_page()
            page.route("**/*", answer)
            page.goto(PLACE)
            page.wait_for_function("Boolean(window.tried)")
            page.set_default_timeout(SECONDS * 1000)
            yield page
        finally:
            browser.close()


def _tried(page: Any, text: str, parts: Sequence[str]) -> dict[str, Any]:
    found: dict[str, Any] = page.evaluate("([whole, pieces]) => window.tried(whole, pieces)", [text, list(parts)])
    return found


def _same(page: Any, text: str, cuts: Sequence[int] | None) -> None:
    text = text.encode("utf-8", "replace").decode()[:LONGEST]
    found = _tried(page, text, pieces(text, cuts))
    if found["wrong"] or found["ran"]:
        raise Wrong("what acts is in the page", found)
    if acts := forbidden(found["text"]):
        raise Wrong("what acts is shown", acts)
    if found["one"] != found["other"]:
        raise Wrong("cut elsewhere it is another", f"{found['one']!r} but {found['other']!r}")


def _keeps(page: Any, text: str) -> None:
    shown = words(_tried(page, text, [text])["text"])
    if lost := [word for word in words(text) if text.count(word) > shown.count(word)]:
        raise Wrong("words are missing", lost)


def _grows(page: Any, pumped: Pumped[str]) -> None:
    for step in (1 << 20, 997):
        seconds_grow_evenly(pumped, partial(_timed, page, step), SIZES)


def _timed(page: Any, step: int, text: str) -> float:
    return float(page.evaluate("([text, step]) => window.timed(text, step)", [text, step])) / 1000
