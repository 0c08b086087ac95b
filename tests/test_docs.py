"""The manual in a browser: what mandoc makes of the pages, served to whoever asks."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from playwright.sync_api import Browser

from ptstream.daemon.page_files import HEADERS
from tests.browser import browser, needs_browser, visiting
from tests.conftest import Face, listening, needs
from tests.docs import HTML, PAGES, html_of

__all__ = ["browser"]

each_page = pytest.mark.parametrize("page", PAGES, ids=[page.name for page in PAGES])


@pytest.fixture(scope="module")
def face() -> Iterator[Face]:
    """A daemon that listens."""
    with listening() as made:
        yield made


@needs("mandoc")
@each_page
def test_what_is_committed_is_what_mandoc_makes(page: Path) -> None:
    """`python -m tests.docs` makes it anew."""
    assert (HTML / f"{page.name}.html").read_text("utf-8") == html_of(page)


def test_there_is_nothing_else() -> None:
    assert {path.name for path in HTML.iterdir()} == {"style.css", *(f"{page.name}.html" for page in PAGES)}


@each_page
def test_its_links_lead_somewhere_and_its_looks_are_in_the_style_sheet(page: Path) -> None:
    text = (HTML / f"{page.name}.html").read_text("utf-8")
    assert not re.search(r"<style|<script|\sstyle=|\son\w+=", text)
    for target in re.findall(r'href="([^"]*)"', text):
        file, _, fragment = target.partition("#")
        if not target.startswith("https://"):
            there = (HTML / (file or f"{page.name}.html")).read_text("utf-8")
            assert not fragment or f'id="{fragment}"' in there, target


def test_everybody_is_shown_the_manual(face: Face) -> None:
    for path in ("/docs", "/docs/"):
        answer = httpx.get(face.url + path)
        assert (answer.status_code, answer.headers["location"]) == (303, "/docs/ptstream.1.html")
    for path in ("ptstream.1.html", "style.css", "ptstream-http.7.html"):
        answer = httpx.get(f"{face.url}/docs/{path}")
        assert answer.content == (HTML / path).read_bytes()
        assert answer.headers.items() >= HEADERS.items()
    assert httpx.get(f"{face.url}/docs/other.1.html").status_code == 404
    assert httpx.get(f"{face.url}/docs/%2e%2e/daemon/docs.py").status_code in (401, 404)
    assert httpx.post(f"{face.url}/docs/ptstream.1.html").status_code == 405


@needs_browser
def test_a_browser_has_nothing_to_complain_of(face: Face, browser: Browser) -> None:
    with visiting(browser) as context:
        page = context.new_page()
        said: list[str] = []
        page.on("console", lambda each: said.append(each.text) if "favicon" not in each.location["url"] else None)
        page.goto(f"{face.url}/docs")
        page.click("a.Xr:text('ptstream-http(7)')")
        page.wait_for_url("**/ptstream-http.7.html")
        assert page.evaluate("getComputedStyle(document.body).maxWidth") != "none"
        assert "streams over HTTP" in page.inner_text("body")
    assert said == []
