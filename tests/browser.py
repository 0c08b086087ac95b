"""A real browser: Debian's chromium, without a window.

Playwright keeps an event loop running in the thread that uses it, so that nothing else there can run one: hence one
browser a module, and no test beside it that is a coroutine itself.
"""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Iterator
from typing import Any

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, expect, sync_playwright

from tests.conftest import LIMIT

CHROMIUM = shutil.which("chromium-headless-shell") or shutil.which("chromium")
"""The shell is the same browser without what draws a window, and takes a third of the processor time."""

FLAGS = [
    # Fewer processes and fewer threads, of which a page's own scripts see nothing, are less work.
    *("--renderer-process-limit=1", "--js-flags=--single-threaded"),
    # Root is refused a sandbox.
    *(["--no-sandbox"] if os.geteuid() == 0 else []),
]

LONGEST = LIMIT * 1000
"""The same in milliseconds, as Playwright counts."""

expect.set_options(timeout=LONGEST)

needs_browser = pytest.mark.skipif(CHROMIUM is None, reason="chromium is not installed")


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """The browser."""
    with sync_playwright() as playwright:
        running = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield running
        running.close()


@contextlib.contextmanager
def visiting(browser: Browser, **options: Any) -> Iterator[BrowserContext]:
    """One more user of the browser: cookies of its own."""
    with browser.new_context(**options) as made:
        made.set_default_timeout(LONGEST)
        yield made


@pytest.fixture
def context(browser: Browser) -> Iterator[BrowserContext]:
    """The user of the browser, where a test has one."""
    with visiting(browser) as made:
        yield made


@contextlib.contextmanager
def watched(tab: Page) -> Iterator[Page]:
    """A tab whose scripts raise nothing that nobody catches."""
    errors: list[str] = []

    def heard(error: Exception) -> None:
        errors.append(str(error))

    tab.on("pageerror", heard)
    yield tab
    tab.remove_listener("pageerror", heard)
    assert errors == []


@pytest.fixture
def page(context: BrowserContext) -> Iterator[Page]:
    """A tab."""
    with watched(context.new_page()) as tab:
        yield tab
        tab.close()
