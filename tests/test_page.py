"""The page in a real browser: entering, driving, reading, two panes, searching; by keyboard and on a phone."""

from __future__ import annotations

import http.server
import json
import os
import re
import stat
import threading
from pathlib import Path
from typing import Literal

import httpx
import pytest
from playwright.sync_api import Browser, BrowserContext, Page, expect

from ptstream.engine.sqlite.store import Store
from ptstream.streams import GenerationRequest
from tests.browser import browser, needs_browser, visiting  # noqa: F401
from tests.conftest import ID, until
from tests.endpoint import PIECES, TEXT
from tests.page import ALONE, ROOM, Site, context, page, site, user  # noqa: F401

pytestmark = needs_browser

LET_IN = re.compile("has not been let in")

ENDED = re.compile("session has ended")


def sent(page: Page, prompt: str, model: str | None = None) -> str:
    """The id of the stream that a prompt makes."""
    before = page.url
    if model:
        page.get_by_label("Model").select_option(model)
    page.get_by_label("Prompt").fill(prompt)
    page.get_by_label("Prompt").press("Enter")
    page.wait_for_url(lambda url: url != before and "#" in url)
    return page.url.partition("#")[2]


def status(page: Page, word: str) -> None:
    """Wait until the open stream has that status."""
    expect(page.locator("#stream .status")).to_have_text(word)


# --- entering


def test_the_link_lets_in_once(site: Site, browser: Browser) -> None:
    link = site.link()
    with visiting(browser) as one, visiting(browser) as other:
        first, second = one.new_page(), other.new_page()
        first.goto(link)
        first.wait_for_url(ROOM)
        expect(first.locator("#list")).to_be_visible()
        expect(first.get_by_text(LET_IN)).to_be_hidden()
        cookie = one.cookies()[0]
        assert (cookie["httpOnly"], cookie["sameSite"]) == (True, "Strict")
        answer = second.goto(link)
        assert answer is not None
        assert answer.status == 403
        assert "ptstream web" in second.content()


@ALONE
def test_the_browser_is_not_told_the_link_where_others_see_it(site: Site, page: Page, tmp_path: Path) -> None:
    (tmp_path / "browser").write_text(f'#!/bin/sh\nprintf "%s\\n" "$@" > {tmp_path}/arguments\n')
    (tmp_path / "browser").chmod(0o700)
    site.cli.run("web", env={"BROWSER": f"{tmp_path}/browser", "DISPLAY": ":0"})
    arguments = until(lambda: (tmp_path / "arguments").exists() and (tmp_path / "arguments").read_text().split())
    assert not [argument for argument in arguments if "key=" in argument]
    (address,) = arguments
    assert stat.S_IMODE(os.stat(address.removeprefix("file://")).st_mode) == 0o600
    page.goto(address)
    page.wait_for_url(ROOM)
    expect(page.locator("#list")).to_be_visible()
    expect(page.get_by_text(LET_IN)).to_be_hidden()


def test_without_the_cookie_or_with_another_one_there_is_nothing_to_see(site: Site, browser: Browser) -> None:
    site.replayed("Nobody else's business.", prompt="secret")
    with visiting(browser) as context:
        page, room = context.new_page(), f"{site.url}/{'0' * 32}/"
        for value, said in ((None, LET_IN), ("wrong", ENDED)):
            if value:
                port = site.url.rpartition(":")[2]
                context.add_cookies([{"name": f"ptstream-{port}", "value": value, "url": room}])
            page.goto(room)
            expect(page.get_by_text(said)).to_be_visible()
            expect(page.get_by_text("ptstream web", exact=True).locator("visible=true").first).to_be_visible()
            assert "secret" not in page.content()
        # A link that is opened in another tab of the browser helps this one.
        context.new_page().goto(site.link())
        page.bring_to_front()
        expect(page.get_by_text("secret")).to_be_visible()
        expect(page.get_by_text(ENDED)).to_be_hidden()


@ALONE
def test_a_server_on_another_port_is_not_sent_the_cookie(site: Site, page: Page) -> None:
    """It may be another user's; cookies know hosts and paths, and no ports."""
    seen: list[str | None] = []

    class Other(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            seen.append(self.headers["cookie"])
            self.send_response(200)
            self.send_header("content-length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    site.enter(page)
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Other) as other:
        threading.Thread(target=other.serve_forever, daemon=True).start()
        page.goto(f"http://127.0.0.1:{other.server_port}/streams")
        other.shutdown()
    assert set(seen) == {None}


def test_the_token_and_another_one(site: Site) -> None:
    token = site.cli.out("daemon", "token").strip()
    for word, code in ((token, 200), ("x" + token, 401), ("x", 401)):
        assert httpx.get(f"{site.url}/streams", headers={"authorization": f"Bearer {word}"}).status_code == code


# --- driving


def test_a_prompt_is_driven_and_its_text_seen_live(site: Site, page: Page) -> None:
    site.enter(page)
    expect(page.get_by_label("Model").locator("option").first).to_have_text("slow/slow (default)")
    id = sent(page, "Tell me of the night.")
    assert ID.fullmatch(id)
    status(page, "streaming")
    page.wait_for_function("() => document.querySelector('.text').textContent.length > 3")
    seen = page.locator(".text").text_content() or ""
    assert TEXT.startswith(seen.rstrip("\n"))
    expect(page.locator("#list a[aria-current]")).to_contain_text("Tell me of the night.")
    status(page, "done")
    expect(page.locator(".text")).to_have_text(TEXT)
    assert site.text(id) == TEXT
    expect(page.locator("#list a[aria-current] .size")).to_have_text(f"{len(TEXT)} B")
    expect(page.get_by_label("Prompt")).to_have_value("")


@ALONE
def test_shift_and_enter_is_a_new_line_and_nothing_is_sent_without_words(site: Site, page: Page) -> None:
    site.enter(page)
    prompt = page.get_by_label("Prompt")
    prompt.fill("  ")
    prompt.press("Enter")
    prompt.fill("one")
    prompt.press("Shift+Enter")
    prompt.type("two")
    expect(prompt).to_have_value("one\ntwo")
    page.reload()
    expect(prompt).to_have_value("one\ntwo")
    assert page.url == f"{site.room}/"
    page.get_by_role("button", name="Send").click()
    status(page, "done")
    assert site.told(page.url.partition("#")[2])["prompt"] == "one\ntwo"


def test_what_a_model_thinks_is_folded(site: Site, page: Page) -> None:
    site.enter(page)
    sent(page, "Think.", "thinking/reasoning")
    status(page, "done")
    fold = page.locator("details.remarks")
    expect(fold).to_be_visible()
    expect(fold.locator(".reasoning")).to_be_hidden()
    fold.locator("summary").click()
    expect(fold.locator(".reasoning")).to_have_text("Let me think. Rain.")
    expect(page.locator(".text")).to_have_text(TEXT)


def test_what_there_is_to_know_of_a_good_end_is_told(site: Site, page: Page) -> None:
    id = site.cli.out("drive", "--detach", "-m", "stalling/length", "-p", "x").strip()
    site.enter(page, id)
    status(page, "done")
    expect(page.locator("#stream .note")).to_have_text(re.compile("the answer was cut off"))


def test_cancel_and_go_on_from_there_and_answer(site: Site, page: Page) -> None:
    site.enter(page)
    begun = "".join(PIECES[:3])
    first = sent(page, "Stall.", "stalling/stall")
    expect(page.locator(".text")).to_have_text(begun.strip())
    status(page, "streaming")
    expect(page.get_by_role("button", name="Go on from here")).to_be_hidden()
    page.get_by_role("button", name="Cancel").click()
    status(page, "cancelled")
    assert site.text(first) == begun
    expect(page.locator("#stream .error")).to_have_text(f"cancelled at byte {len(begun)}")

    page.get_by_role("button", name="Go on from here").click()
    expect(page.locator(".text")).to_have_text((begun + begun).strip())
    second = page.url.partition("#")[2]
    assert (site.told(second)["parent"], site.told(second)["seam"]) == (first, len(begun))
    expect(page.locator("#stream .about")).to_contain_text(f"goes on from {first} at byte {len(begun)}")
    page.get_by_role("button", name="Cancel").click()
    status(page, "cancelled")

    third = sent(page, "And then?", "slow/slow")
    status(page, "done")
    assert (site.told(third)["parent"], site.text(third)) == (second, TEXT)
    expect(page.locator("#stream .about")).to_contain_text(f"turn 2, comes after {second}")
    expect(page.locator(".turn .prompt")).to_have_text(["Stall.", "And then?"])
    expect(page.locator(".turn .text")).to_have_text([(begun + begun).strip(), TEXT])
    page.locator("#stream .about a").click()
    expect(page.locator(".turn .text")).to_have_text([(begun + begun).strip()])
    expect(page.locator(".turn .next")).to_have_text("↳ And then?")


def test_what_is_refused_is_said(site: Site, page: Page) -> None:
    id = site.replayed("Once.")
    site.enter(page, id)
    page.get_by_role("button", name="Go on from here").click()
    expect(page.get_by_role("alert")).to_contain_text("over the network only models are asked")
    page.get_by_role("button", name="Dismiss").click()
    expect(page.get_by_role("alert")).to_be_hidden()
    page.goto(f"{site.room}/#nosuchstream")
    expect(page.get_by_role("alert")).to_contain_text("no stream")


def test_a_pending_stream_is_started(site: Site, page: Page) -> None:
    id = site.cli.out("create", "Later.").strip()
    site.enter(page, id)
    status(page, "pending")
    page.get_by_role("button", name="Start").click()
    status(page, "done")
    expect(page.locator(".text")).to_have_text(TEXT)


def test_delete_asks_first(site: Site, page: Page) -> None:
    id = site.replayed("To be deleted.", prompt="to be deleted")
    site.enter(page, id)
    page.get_by_role("button", name="Delete").click()
    page.get_by_role("button", name="Keep it").click()
    expect(page.locator(".text")).to_have_text("To be deleted.")
    page.get_by_role("button", name="Delete").click()
    page.keyboard.press("Escape")
    expect(page.get_by_role("dialog")).to_be_hidden()
    page.get_by_role("button", name="Delete").click()
    page.get_by_role("dialog").get_by_role("button", name="Delete").click()
    expect(page.locator("#hello")).to_be_visible()
    expect(page.locator("#list")).not_to_contain_text("to be deleted")
    assert site.cli.run("show", id, code=3)


# --- a conversation


def prompts(page: Page, *words: str) -> None:
    """Wait until just these are shown, in this order; those that wait included."""
    expect(page.locator(".prompt")).to_have_text(list(words))


def test_what_is_asked_while_an_answer_comes_is_its_next_turn(site: Site, page: Page, context: BrowserContext) -> None:
    """In this tab, in another one, reloaded, and on the way back."""
    site.enter(page)
    first = sent(page, "Stall.", "stalling/stall")
    page.locator("#stream .status", has_text="streaming").wait_for()
    expect(page.locator("#composer .place")).to_contain_text("Next turn of this conversation")
    other = context.new_page()
    site.enter(other, first)
    status(other, "streaming")
    for words in ("Two?", "Three?", "Never."):
        page.get_by_label("Model").select_option("slow/slow")
        page.get_by_label("Prompt").fill(words)
        page.get_by_label("Prompt").press("Enter")
    prompts(page, "Stall.", "Two?", "Three?", "Never.")
    page.get_by_role("button", name="Take back").last.click()
    expect(page.get_by_label("Prompt")).to_have_value("Never.")
    page.reload()
    prompts(page, "Stall.", "Two?", "Three?")
    assert page.url.endswith(first)
    page.get_by_role("button", name="Cancel").click()
    prompts(page, "Stall.", "Two?", "Three?")
    expect(page.locator("#stream .about")).to_contain_text("turn 3, comes after")
    status(page, "done")
    third = page.url.partition("#")[2]
    second = site.told(third)["parent"]
    assert (site.told(second)["parent"], site.told(second)["prompt"], site.told(third)["prompt"]) == (
        first,
        "Two?",
        "Three?",
    )
    begun = "".join(PIECES[:3])
    for tab in (page, other):
        expect(tab.locator(".turn .text")).to_have_text([begun.strip(), TEXT, TEXT])
        expect(tab.locator("#list a.before .title")).to_have_text(["↳ Three?", "↳ Two?", "Stall."])
    expect(page.locator(".turn .why:visible")).to_have_text(f"cancelled at byte {len(begun)}")
    page.wait_for_function("""() => { const s = document.querySelector('.scroller')
        return s.scrollHeight - s.clientHeight - s.scrollTop < 2 }""")

    thread = [line.split("\t")[0] for line in site.cli.out("show", "--thread", third).splitlines()]
    assert [each.get_attribute("href") for each in page.locator("#list a.before").all()][::-1] == [
        f"#{id}" for id in thread
    ]
    again = site.cli.out("drive", "--detach", "--again", third).strip()
    page.goto(f"{site.room}/#{again}")
    expect(page.locator("#stream .about")).to_contain_text(f"turn 3, asked again, like {third}")
    prompts(page, "Stall.", "Two?", "Three?")
    page.go_back()
    expect(page.locator("#stream .about")).to_contain_text("turn 3, comes after")

    page.go_back()
    prompts(page, "Stall.", "Two?")
    expect(page.locator(".turn .next:visible")).to_have_text("↳ Three?")
    page.go_forward()
    prompts(page, "Stall.", "Two?", "Three?")
    page.get_by_role("link", name="As written").click()
    expect(page.locator(".turn .text.raw")).to_have_text([begun, TEXT, TEXT], use_inner_text=False)
    page.get_by_role("link", name="New conversation").click()
    expect(page.locator("#composer .place span")).to_have_text("A new conversation")
    expect(page.get_by_label("Prompt")).to_be_focused()
    page.get_by_label("Prompt").fill("")
    alone = sent(page, "Alone.", "slow/slow")
    prompts(page, "Alone.")
    assert site.told(alone)["parent"] is None


def test_a_question_that_waits_outlives_its_tab_and_is_asked_once(
    site: Site, page: Page, context: BrowserContext
) -> None:
    site.enter(page)
    first = sent(page, "Stall.", "stalling/stall")
    page.locator("#stream .status", has_text="streaming").wait_for()
    page.get_by_label("Model").select_option("slow/slow")
    page.get_by_label("Prompt").fill("Two?")
    page.get_by_label("Prompt").press("Enter")
    prompts(page, "Stall.", "Two?")
    page.get_by_label("Model").select_option("slow/slow")
    page.get_by_label("Prompt").fill("Three?")
    page.get_by_label("Prompt").press("Enter")
    prompts(page, "Stall.", "Two?", "Three?")
    tabs = [context.new_page() for _ in range(3)]
    page.close()
    for tab in tabs:
        site.enter(tab, first)
        prompts(tab, "Stall.", "Two?", "Three?")
    site.cli.run("cancel", first)
    for tab in tabs:
        expect(tab.locator("#stream .about")).to_contain_text("turn 3, comes after")
        status(tab, "done")
        prompts(tab, "Stall.", "Two?", "Three?")
    streams = [json.loads(line) for line in site.cli.out("ls", "--json").splitlines()]
    second = [each["id"] for each in streams if each["parent"] == first]
    assert len(second) == 1
    assert len([each for each in streams if each["parent"] == second[0]]) == 1
    assert tabs[0].evaluate("localStorage.getItem('ptstream-questions')") == "[]"


def test_a_question_whose_answer_before_fails_is_given_back(site: Site, page: Page) -> None:
    id = site.cli.out("create", "-m", "slow/error_inside", "To fail.").strip()
    site.enter(page, id)
    status(page, "pending")
    page.get_by_label("Prompt").fill("And then?")
    page.get_by_label("Prompt").press("Enter")
    prompts(page, "To fail.", "And then?")
    page.get_by_role("button", name="Start").click()
    status(page, "error")
    expect(page.get_by_label("Prompt")).to_have_value("And then?")
    expect(page.get_by_role("alert")).to_contain_text("in the prompt box again")
    prompts(page, "To fail.")
    page.get_by_label("Prompt").fill("")
    page.get_by_role("link", name="New conversation").click()
    sent(page, "Stall.", "stalling/stall")
    status(page, "streaming")
    page.get_by_label("Prompt").fill("And then?")
    page.get_by_label("Prompt").press("Enter")
    prompts(page, "Stall.", "And then?")
    page.get_by_role("button", name="Delete").click()
    page.get_by_role("dialog").get_by_role("button", name="Delete").click()
    expect(page.get_by_label("Prompt")).to_have_value("And then?")
    expect(page.locator("#hello")).to_be_visible()
    page.get_by_label("Prompt").fill("")


# --- reading


def test_a_command_is_shown_as_written_and_can_be_rendered(site: Site, page: Page, tmp_path: Path) -> None:
    written = "# one\\n\\n*two*\\033[31m\\n9%%\\r\\033[32m10%%\\n"
    program = f"printf '1%%\\r2%%\\r\\n' >&2; until [ -e {tmp_path}/go ]; do sleep 0.05; done; printf '{written}'"
    id = site.cli.out("drive", "--detach", "--", "sh", "-c", program).strip()
    site.enter(page, id)
    page.locator(".remarks summary").click()
    expect(page.locator(".remarks .stderr")).to_have_text("2%\n", use_inner_text=False)
    (tmp_path / "go").touch()
    status(page, "done")
    expect(page.locator(".text.raw")).to_have_text("# one\n\n*two*\n10%\n", use_inner_text=False)
    expect(page.locator(".text.raw .ansi-2")).to_have_text("10%")
    page.get_by_role("link", name="Rendered").click()
    expect(page.locator(".text h2")).to_have_text("one")
    assert page.url.endswith(f"#{id}/markdown")
    page.reload()
    expect(page.locator(".text em")).to_have_text("two")
    page.go_back()
    expect(page.locator(".text.raw")).to_contain_text("# one")
    expect(page.get_by_role("link", name="As written")).to_have_attribute("aria-current", "true")


def test_it_stays_at_the_end_only_while_the_reader_is_there(site: Site, page: Page) -> None:
    at_end = """(word) => { const s = document.querySelector('.scroller')
    return s.textContent.includes(word) && s.scrollHeight - s.clientHeight - s.scrollTop < 2 }"""
    with site.written() as stream:
        stream.write("".join(f"line {number}.\n\n" for number in range(100)))
        site.enter(page, stream.id)
        expect(page.locator(".text")).to_contain_text("line 99.")
        page.wait_for_function(at_end, arg="line 99.")
        stream.write("more.\n\n" * 50)
        page.wait_for_function(at_end, arg="more")
        expect(page.get_by_role("button", name="Jump to end")).to_be_hidden()
        page.locator(".scroller").hover()
        page.mouse.wheel(0, -900)
        expect(page.get_by_role("button", name="Jump to end")).to_be_visible()
        place = page.evaluate("document.querySelector('.scroller').scrollTop")
        stream.write("even more.\n\n" * 50 + "last.\n")
        expect(page.locator(".text")).to_contain_text("last.")
        assert page.evaluate("document.querySelector('.scroller').scrollTop") == place
        page.get_by_role("button", name="Jump to end").click()
        page.wait_for_function(at_end, arg="last.")
        stream.write("\nthe very last.\n")
        expect(page.get_by_text("the very last.")).to_be_in_viewport()
        stream.end()


# --- two panes


def test_two_panes_on_one_stream(site: Site, page: Page) -> None:
    """The one is ahead of the other, which has nothing but whole sentences."""
    sentences = [f"This is sentence number {number}, e.g. the {number}th. " for number in range(6)]
    with site.written("--title", "two panes") as stream:
        site.enter(page, f"{stream.id}/panes")
        left, right = page.locator(".pane .text").first, page.locator(".pane .text").last
        whole = ""
        for sentence in sentences:
            for word in re.findall(r"\S+ ", sentence):
                stream.send(word)
                expect(left).to_have_text(stream.text, use_inner_text=False)
                assert (whole + sentence).startswith(right.text_content() or "")
            expect(right).to_have_text(whole, use_inner_text=False)  # whether it ends there, the next word tells
            whole += sentence
        stream.end()
        text = stream.text
        status(page, "done")
        for pane in (left, right):
            expect(pane).to_have_text(text, use_inner_text=False)
            assert pane.text_content() == text == site.text(stream.id)
        pieces = site.told(stream.id)["attempts"][0]["pieces"]
    counts = [re.findall(r"([\d,]+) (\w+)", each) for each in page.locator(".counts").all_text_contents()]
    counted = [{unit.removesuffix("s"): int(number.replace(",", "")) for number, unit in each} for each in counts]
    assert counted[0]["byte"] == counted[1]["byte"] == len(text)
    assert counted[0]["piece"] == pieces
    assert 0 < counted[1]["row"] < counted[0]["piece"] / 4
    assert 0 < counted[1]["event"] < counted[0]["event"] <= counted[0]["piece"]


# --- searching


def look_for(page: Page, words: str) -> None:
    """By keyboard, to the end of a search; again, where a busy machine has had no time for all of it."""
    said = page.locator("#results").get_by_role("status")
    page.keyboard.press("/")
    page.keyboard.type(words)
    page.keyboard.press("Enter")
    expect(said).to_contain_text("Found")
    while re.search("the first|in the time", said.inner_text()):
        page.keyboard.press("Enter")
        expect(said).to_contain_text("Found")


@pytest.mark.parametrize("view", ["", "raw"])
def test_what_was_found_in_the_last_block(site: Site, page: Page, view: str) -> None:
    """Which is drawn anew when it is whole. Afterwards no other text is thought to have more."""
    site.replayed("word and word again. " * 800 + "here is needleone.", prompt="one block")
    short = site.replayed("Short.", prompt="a short one")
    site.enter(page)
    look_for(page, "needleone")
    page.locator("#results a").first.click()
    status(page, "done")
    if view:
        page.get_by_role("link", name="As written").click()
    # One look for all of it: while the view changes there is a moment with neither.
    inside = """() => { const [range] = CSS.highlights.get('hit') ?? []
      const box = range?.getBoundingClientRect()
      const frame = document.querySelector('.scroller')?.getBoundingClientRect()
      return String(range) === 'needleone' && frame && box.top >= frame.top && box.bottom <= frame.bottom }"""
    page.wait_for_function(inside)
    page.keyboard.press("Escape")
    expect(page.locator("#list")).to_be_visible()
    page.goto(f"{site.room}/#{short}")
    expect(page.locator(".text")).to_have_text("Short.")
    expect(page.get_by_role("button", name="Jump to end")).to_be_hidden()


def test_what_is_drawn_anew_at_its_end_has_no_more(site: Site, page: Page) -> None:
    """A block that is put down is laid out again, and is as large as before: then nothing is below it."""
    with site.written() as stream:
        stream.write("Short.")
        site.enter(page, f"{stream.id}?at=0")
        expect(page.locator(".text")).to_have_text("Short.")
        page.evaluate("() => new Promise((drawn) => requestAnimationFrame(() => requestAnimationFrame(drawn)))")
        stream.end()
        status(page, "done")
        expect(page.get_by_role("button", name="Jump to end")).to_be_hidden()


HELD = """
  const waiting = []
  globalThis.requestAnimationFrame = (draw) => waiting.push(draw)
  const drawn = () => new Promise((done) => setTimeout(done, 1))
  globalThis.frames_pass = async (number) => {
    for (; number; number--, await drawn()) for (const draw of waiting.splice(0)) draw(performance.now())
  }
"""
"""Frames pass when they are told to; what should be drawn with one is drawn a little later all the same."""


@ALONE
def test_what_was_found_is_drawn_anew_while_it_is_scrolled_to(site: Site, page: Page) -> None:
    """The place is where it is drawn now, and not where it was."""
    with site.written("--title", "growing") as stream:
        stream.write("A line.\n\n" * 300 + "Here is a needletwo")
        page.add_init_script(HELD)
        site.enter(page, f"{stream.id}?at={stream.text.index('needletwo')}&q=needletwo")
        marked = "() => [...(CSS.highlights.get('hit') ?? [])].map(String).join() === 'needletwo'"
        page.wait_for_function(marked, polling=50)
        page.evaluate("() => { globalThis.before = [...CSS.highlights.get('hit')][0] }")
        stream.write(" and *more* of it.\n\nThe end.")
        page.wait_for_function("() => before.collapsed", polling=50)
        stream.write(" Or not.")
        page.wait_for_function(marked, polling=50)
        page.evaluate("frames_pass(70)")
        expect(page.get_by_text("Here is a needletwo")).to_be_in_viewport()
        stream.end()


def test_search_and_jump_to_what_was_found(site: Site, page: Page) -> None:
    lines = [f"Paragraph {number} of many.\n\n" for number in range(2000)]
    lines[1500] = "Here *stands* the Wombat, at last.\n\n"
    site.replayed("".join(lines), prompt="a long one")
    with site.written("--title", "an unfinished one") as stream:
        stream.write("No end yet, but a wombat")
        site.enter(page)
        look_for(page, "wombat")
        results = page.locator("#results a")
        expect(results).to_have_count(2)
        expect(page.locator("#results")).to_contain_text("Found: 2 places")
        expect(results.locator("mark").first).to_have_text("wombat")
        results.filter(has_text="a long one").click()
        expect(page.get_by_text("Here stands the Wombat")).to_be_in_viewport()
        page.wait_for_function("() => [...CSS.highlights.get('hit') ?? []].join('') === 'Wombat'")
        page.reload()
        expect(page.get_by_text("Here stands the Wombat")).to_be_in_viewport()
        look_for(page, "wombat")
        results.filter(has_text="an unfinished one").click()
        expect(page.locator(".text")).to_have_text("No end yet, but a wombat")
        page.wait_for_function("() => [...CSS.highlights.get('hit') ?? []].join('') === 'wombat'")
        look_for(page, "no such words anywhere")
        expect(page.locator("#results")).to_contain_text("Found nowhere.")
        page.keyboard.press("Escape")
        expect(page.locator("#list")).to_be_visible()
        stream.end()


# --- by keyboard, on a phone, in both schemes


def test_everything_is_reached_by_keyboard(site: Site, page: Page) -> None:
    older, newer = site.replayed("The older.", prompt="older"), site.replayed("The newer.", prompt="newer")
    site.enter(page)
    expect(page.locator("#list")).to_contain_text("newer")
    page.keyboard.press("j")
    page.wait_for_url(re.compile(newer))
    page.keyboard.press("j")
    page.wait_for_url(re.compile(older))
    expect(page.locator(".text")).to_have_text("The older.")
    page.keyboard.press("k")
    page.wait_for_url(re.compile(newer))
    page.keyboard.press("ArrowDown")
    page.keyboard.press("Enter")
    page.wait_for_url(re.compile(older))
    page.keyboard.press("r")
    expect(page.get_by_label("Prompt")).to_be_focused()
    page.keyboard.type("jk/nr")
    expect(page.get_by_label("Prompt")).to_have_value("jk/nr")
    page.get_by_label("Prompt").fill("")
    page.keyboard.press("Escape")
    expect(page.get_by_label("Prompt")).not_to_be_focused()
    expect(page.locator(".text")).to_have_text("The older.")
    reached = set()
    for _ in range(page.locator("a, button, input, select, textarea, [tabindex]").count() + 2):
        page.keyboard.press("Tab")
        name, outline = page.evaluate(
            """() => { const e = document.activeElement
            const name = e.getAttribute('aria-label') || e.name || e.textContent
            return [name, e === document.body ? "" : getComputedStyle(e).outlineStyle] }"""
        )
        assert outline != "none", name
        reached.add(name)
    wanted = {
        "Search all text",
        "As written",
        "Two panes",
        "Go on from here",
        "Delete",
        "Text",
        "Prompt",
        "model",
        "Send",
    }
    assert wanted <= reached
    page.keyboard.press("Escape")
    page.keyboard.press("Escape")
    page.wait_for_url(f"{site.room}/#")
    expect(page.locator("#hello")).to_be_visible()
    page.go_back()
    expect(page.locator(".text")).to_have_text("The older.")
    page.keyboard.press("n")
    page.wait_for_url(f"{site.room}/#new")
    expect(page.get_by_label("Prompt")).to_be_focused()
    expect(page.locator("#hello")).to_be_visible()


def test_on_a_phone_there_is_one_column_and_no_scrolling_to_the_side(site: Site, browser: Browser) -> None:
    table = f"|{' wide |' * 60}\n|{'-|' * 60}\n|{' cell |' * 60}\n"
    wide = f"# A title\n\n{'x' * 2000}\n\n{table}\n```\n{'code ' * 300}\n```\n"
    id = site.replayed(wide, prompt="y" * 300)
    with visiting(browser, viewport={"width": 390, "height": 844}, has_touch=True, is_mobile=True) as phone:
        page = phone.new_page()
        site.enter(page)
        width = "Math.max(document.documentElement.scrollWidth, document.body.scrollWidth)"
        expect(page.locator("#stream")).to_be_hidden()
        page.locator("#list a").first.tap()
        expect(page.locator("#list")).to_be_hidden()
        expect(page.locator(".text h2")).to_have_text("A title")
        assert page.evaluate(width) == 390
        for view in ("raw", "panes"):
            page.goto(f"{site.room}/#{id}/{view}")
            expect(page.locator(".text").first).to_contain_text("# A title")
            assert page.evaluate(width) == 390
        page.get_by_role("link", name="Streams").tap()
        expect(page.locator("#list")).to_be_visible()
        assert page.evaluate(width) == 390
        page.get_by_role("link", name="New", exact=True).tap()
        expect(page.get_by_label("Prompt")).to_be_focused()
        assert page.evaluate(width) == 390
        page.get_by_role("link", name="Streams").tap()
        expect(page.locator("#list")).to_be_visible()


CONTRAST = """() => {
  const channel = (value) => (value /= 255) <= 0.03928 ? value / 12.92 : ((value + 0.055) / 1.055) ** 2.4
  const parts = (colour) => colour.match(/[\\d.]+/g).map(Number)
  const light = (colour) => {
    const [r, g, b] = parts(colour).map(channel)
    return 0.2126 * r + 0.7152 * g + 0.0722 * b
  }
  const behind = (element) => {
    for (; element; element = element.parentElement) {
      const colour = getComputedStyle(element).backgroundColor
      if (colour.startsWith("rgb") && (parts(colour)[3] ?? 1) === 1) return colour
    }
  }
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT)
  const poor = []
  for (let node; (node = walker.nextNode()); ) {
    const element = node.parentElement
    const plain = !element.closest("label:has(input:disabled), option, noscript")
    if (!plain || !node.data.trim() || !element.checkVisibility()) continue
    const [one, other] = [light(getComputedStyle(element).color), light(behind(element))].sort((a, b) => b - a)
    if ((one + 0.05) / (other + 0.05) < 4.5) poor.push([node.data, (one + 0.05) / (other + 0.05)])
  }
  return poor
}"""


@ALONE
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_every_word_stands_out_in_both_schemes(site: Site, page: Page, scheme: Literal["light", "dark"]) -> None:
    text = "# Title\n\nSome *text* with `code` and [a link](https://example.org).\n\n> quoted\n\n"
    text += "```js\nlet it = 1\n```\n\n|a|\n|-|\n|1|\n"
    id = site.replayed(text)
    colours = "".join(f"\\033[{code}mcolour \\033[m" for code in (2, *range(30, 38), *range(90, 98)))
    bad = site.cli.out("drive", "--detach", "--", "sh", "-c", f"printf '{colours}'; exit 3").strip()
    page.emulate_media(color_scheme=scheme)
    site.enter(page, id)
    expect(page.locator(".text h2")).to_have_text("Title")
    assert page.evaluate(CONTRAST) == []
    page.goto(f"{site.room}/#{bad}")
    expect(page.locator("#stream .error")).to_be_visible()
    expect(page.locator(".text pre > span")).to_have_count(17)
    assert page.evaluate(CONTRAST) == []
    dark = page.evaluate("getComputedStyle(document.body).backgroundColor") != "rgb(255, 255, 255)"
    assert dark == (scheme == "dark")


# --- loading


def test_loaded_again_it_asks_for_its_html_alone(site: Site, browser: Browser) -> None:
    files = "() => performance.getEntriesByType('resource').filter(each => /[/]web[/]/.test(each.name))"
    with visiting(browser) as user:
        page = user.new_page()
        site.enter(page)
        expect(page.locator("#list")).to_be_visible()
        first = page.evaluate(f"({files})().map(each => [each.name, each.transferSize > 0])")
        page.reload()
        expect(page.locator("#list")).to_be_visible()
        again = page.evaluate(f"({files})().map(each => [each.name, each.transferSize > 0])")
        html = page.request.get(site.room + "/").text()
    assert {asked for _, asked in first} == {True}
    assert {asked for _, asked in again} == {False}
    assert {name for name, _ in again} == {name for name, _ in first}
    # What the HTML names in advance is what the modules import, and nothing else.
    named = set(re.findall(r'rel="modulepreload" href="([^"]+)"', html))
    scripts = {name.removeprefix(site.room + "/") for name, _ in first if name.endswith(".js")}
    assert named == {name for name in scripts if not name.endswith("/page.js")}
    # What apps load is asked for each time: its address stays when it changes.
    assert httpx.get(f"{site.url}/web/ptstream.js").headers["cache-control"] == "no-cache"


# --- more than other tests should have to list


@ALONE
def test_more_than_a_hundred_streams(site: Site, page: Page) -> None:
    with Store(site.cli.home) as store:
        for number in range(101):
            store.create(GenerationRequest(prompt=f"prompt {number}"))
    site.enter(page)
    expect(page.locator("#list li")).to_have_count(100)
    page.get_by_role("button", name="More").click()
    expect(page.get_by_role("button", name="More")).to_be_hidden()
    assert page.locator("#list li").count() > 100
