"""A text in the page: whole and once, whatever the line does; harmless, whatever it says; fluent, however long."""

from __future__ import annotations

import contextlib
import random
import re

import pytest
from playwright.sync_api import BrowserContext, Page, expect

from tests.browser import browser, needs_browser  # noqa: F401
from tests.conftest import until
from tests.markdown_cases import CASES
from tests.page import ALONE, Network, Site, context, network, page, site, user  # noqa: F401

pytestmark = needs_browser

OFFLINE = "Offline, trying again."


def shown(page: Page) -> str:
    """The text as it is in the page."""
    return page.locator(".text").first.text_content() or ""


def shows(page: Page, text: str) -> None:
    """Wait until the page shows exactly this text; it must be shown as written."""
    units = len(text.encode("utf-16-le")) // 2
    page.wait_for_function(
        "(units) => (document.querySelector('.text')?.textContent.length ?? -1) >= units", arg=units, polling=50
    )
    assert shown(page) == text


# --- the line


def test_reloaded_in_mid_stream_nothing_is_lost_or_repeated(site: Site, page: Page) -> None:
    with site.written() as stream:
        stream.write("One. Two. And a half")
        site.enter(page, f"{stream.id}/raw")
        shows(page, stream.text)
        page.reload()
        shows(page, stream.text)
        stream.write(" sentence. 三。")
        page.reload()
        stream.write("Four")
        shows(page, stream.text)
        stream.end()
        expect(page.locator("#stream .status")).to_have_text("done")
        shows(page, stream.text)
        page.reload()
        shows(page, stream.text)
        assert stream.text == site.cli.out("cat", stream.id)


def test_offline_and_on_again(site: Site, page: Page, context: BrowserContext, network: Network) -> None:
    with site.written() as stream:
        stream.write("Before. ")
        site.enter(page, f"{stream.id}/panes", at=network.url)
        until(lambda: shown(page) == stream.text)
        context.set_offline(True)
        network.cut()  # the browser keeps what is open
        expect(page.get_by_text(OFFLINE)).to_be_visible()
        stream.write("Meanwhile. ")
        assert shown(page) == "Before. "
        context.set_offline(False)
        expect(page.get_by_text(OFFLINE)).to_be_hidden()
        until(lambda: shown(page) == stream.text)
        stream.write("Afterwards.")
        stream.end()
        for pane in page.locator(".pane .text").all():
            expect(pane).to_have_text(stream.text)
            assert pane.text_content() == stream.text == site.cli.out("cat", stream.id)


@ALONE
def test_cut_off_again_and_again(site: Site, page: Page, network: Network) -> None:
    with site.written() as stream:
        site.enter(page, f"{stream.id}/raw", at=network.url)
        for number in range(5):
            stream.write(f"Sentence {number} is wh")
            network.cut(down=number == 3)
            if network.down:
                expect(page.get_by_text(OFFLINE)).to_be_visible()
            stream.write("ole. ")
            network.down = False
            shows(page, stream.text)
        expect(page.get_by_text(OFFLINE)).to_be_hidden()
        network.cut()
        stream.end()
        expect(page.locator("#stream .status")).to_have_text("done")
        shows(page, site.cli.out("cat", stream.id))


@ALONE
def test_asleep_in_mid_stream(site: Site, page: Page, network: Network) -> None:
    """Frozen as a browser freezes a page: nothing of it runs, and what it is connected to is gone meanwhile."""
    with site.written() as stream:
        stream.write("Awake. ")
        site.enter(page, f"{stream.id}/raw", at=network.url)
        shows(page, stream.text)
        session = page.context.new_cdp_session(page)
        session.send("Page.setWebLifecycleState", {"state": "frozen"})
        stream.write("Asleep. ")
        network.cut()
        session.send("Page.setWebLifecycleState", {"state": "active"})
        shows(page, stream.text)
        stream.write("Awake again.")
        stream.end()
        shows(page, stream.text)


@ALONE
def test_out_of_sight_it_holds_no_connection_and_comes_back_to_all(site: Site, page: Page) -> None:
    """A browser has six to a daemon, for all its tabs."""
    hide = """(hidden) => { Object.defineProperty(document, 'hidden', { value: hidden, configurable: true })
    document.dispatchEvent(new Event('visibilitychange')) }"""
    with site.written() as stream:
        stream.write("Seen. ")
        reading: set[str] = set()
        page.on("request", lambda request: reading.add(request.url) if "/text?" in request.url else None)
        page.on("requestfailed", lambda request: reading.discard(request.url))
        site.enter(page, f"{stream.id}/panes")
        until(lambda: shown(page) == stream.text)
        assert len(reading) == 2
        page.evaluate(hide, True)
        until(lambda: shown(page) and not reading)
        stream.write("Unseen. ")
        assert shown(page) == "Seen. "
        page.evaluate(hide, False)
        until(lambda: shown(page) == stream.text)
        stream.end()
        shows(page, stream.text)


def test_more_windows_than_a_browser_has_connections(site: Site, context: BrowserContext) -> None:
    with contextlib.ExitStack() as stack:
        streams = [stack.enter_context(site.written()) for _ in range(5)]
        windows = [context.new_page() for _ in streams]
        for window, stream in zip(windows, streams, strict=True):
            stream.write("One. ")
            site.enter(window, f"{stream.id}/{'panes' if stream is streams[0] else 'raw'}")
            shows(window, "One. ")
        for stream in streams:
            stream.write("Two. And ")
        for window, stream in zip(windows, streams, strict=True):
            shows(window, stream.text)
            expect(window.locator("#list li").first).to_be_visible()
            stream.end()
            expect(window.locator("#stream .status")).to_have_text("done")
            shows(window, stream.text)


@ALONE
def test_what_is_thought_is_shown_without_a_connection_that_lasts(site: Site, page: Page) -> None:
    page.add_init_script(
        "Object.defineProperty(navigator, 'locks', { value: undefined })"
    )  # then the text has the only one
    id = site.cli.out("drive", "--detach", "-m", "thinking/reasoning", "-p", "Think.").strip()
    site.enter(page, f"{id}/raw")
    expect(page.locator(".remarks")).to_be_visible()
    expect(page.locator("#stream .status")).to_have_text("done")


def test_a_prompt_sent_offline_is_kept(site: Site, page: Page, context: BrowserContext) -> None:
    site.enter(page)
    context.set_offline(True)
    page.get_by_label("Prompt").fill("Do not lose me.")
    page.get_by_label("Prompt").press("Enter")
    expect(page.get_by_role("alert")).to_contain_text("cannot be reached")
    expect(page.get_by_label("Prompt")).to_have_value("Do not lose me.")
    context.set_offline(False)
    page.get_by_label("Prompt").press("Enter")
    expect(page.locator("#stream .status")).to_have_text("done")
    expect(page.get_by_label("Prompt")).to_have_value("")
    expect(page.get_by_role("alert")).to_be_hidden()


# --- what it says

HOSTILE = """\
<script>window.ran = 1</script> <img src=x onerror="window.ran = 2"> <svg onload="window.ran = 3"></svg>

<iframe srcdoc="<script>parent.ran = 4</script>"></iframe><style>* { display: none }</style>

<!-- a comment that hides --> this <!-- and never ends

[one](javascript:window.ran=5) [two](JaVaScRiPt&colon;window.ran=6) [three](data:text/html,<script>alert(7)</script>)
[four](  java&#10;script:window.ran=8) [five](/streams) [six](//evil.example/x) [seven](#new) [eight](file:///etc/passwd)
<javascript:window.ran=9> <https://evil.example/auto> [nine](https://evil.example/"onmouseover="window.ran=10)
[ten](<https://evil.example/a b> "title\\" onclick=window.ran=11") [eleven](mailto:a@b.example) [twelve](vbscript:x)

![](https://evil.example/1.png) ![pixel](https://evil.example/2.png "t") ![local](/web/icon.svg)
![d](data:image/svg+xml,x)
[![inside](https://evil.example/3.png)](https://evil.example/4)

[reference]: https://evil.example/5 "hidden"

[reference] ![reference]

| <b onclick="window.ran=12">a</b> | [x](javascript:window.ran=13) |
|---|---|
| ![](https://evil.example/6.png) | `<script>window.ran=14</script>` |

```"><script>window.ran=15</script>
<script>window.ran = 16</script>
```

Text \u202ethat is turned\u202c and \u2066isolated\u2069, \x1b]0;a title\x07 \x1b[31mred\x1b[0m \x9b31m.
And &#x202e;turned by &#8294;references, **&#x202d;bold** [link&#x202e;](https://evil.example/7) ![p&#x202e;](x).

"""

BOMBS = [
    ">" * 10_000 + " deep",
    "- " * 10_000 + "deep",
    "[" * 10_000,
    "[a](" * 5_000,
    "![" * 5_000,
    "*a **b " * 4_000,
    "`" * 3_001 + " a " + "``" * 3_000,
    "|a" * 5_000 + "|\n" + "|-" * 5_000 + "|\n" + "|b" * 5_000,
    "\n".join(" " * number + "- item" for number in range(300)),
    "&#x" * 5_000 + "\\" * 5_001,
    "<a " * 5_000,
    "x" * 100_000,
    "```\n" + "y" * 200_000 + "\n```",
    "z" * 200_000,
]

ADDRESSES = """() => [...document.querySelectorAll('.text a')].map(a => [a.getAttribute('href'), a.rel, a.target])"""

WILD = """() => {
  const names = ['script', 'img', 'iframe', 'style', 'svg', 'object', 'embed', 'link', 'meta', 'form', 'video', 'audio',
    'base', 'input', 'math', 'template']
  const wild = [...document.querySelectorAll('#stream *')].filter(e => names.includes(e.localName))
  const attributes = [...document.querySelectorAll('.text *')].flatMap(e => [...e.attributes].map(a => a.name))
  const known = ['class', 'href', 'rel', 'target', 'title', 'referrerpolicy', 'start', 'tabindex', 'data-language',
    'data-address']
  return [...wild.map(e => e.outerHTML), ...attributes.filter(name => !known.includes(name))]
}"""


@pytest.mark.parametrize("pieces", [0, 3000])
def test_a_hostile_text_does_nothing(site: Site, page: Page, context: BrowserContext, pieces: int) -> None:
    """All at once, and as it is written: what is unfinished is drawn, too."""
    asked: list[str] = []
    context.on("request", lambda request: asked.append(request.url))
    page.on("dialog", lambda dialog: asked.append(dialog.message))
    id = site.replayed(HOSTILE, rate=pieces, prompt=HOSTILE[:150])
    site.enter(page, id)
    expect(page.locator("#stream .status")).to_have_text("done")
    expect(page.locator(".text")).to_contain_text("isolated, red")
    assert page.evaluate("window.ran") is None
    assert page.evaluate(WILD) == []
    links = page.evaluate(ADDRESSES)
    assert {re.sub(r"\d.*", "", address) for address, *_ in links} <= {
        "https://evil.example/",
        "https://evil.example/auto",
        "https://evil.example/%",
        "https://evil.example/a%",
        "https://evil.example/%22onmouseover=%22window.ran=",
        "mailto:a@b.example",
    }
    assert {tuple(more) for _, *more in links} == {("noopener noreferrer nofollow", "_blank")}
    text = shown(page)
    # Nothing is hidden: what is not followed is there to be read.
    for word in (
        "<script>window.ran = 1</script>",
        "a comment that hides",
        "javascript:window.ran=5",
        "/etc/passwd",
        "pixel",
    ):
        assert word in text
    assert not re.search("[\u202a-\u202e\u2066-\u2069\x1b\x07\x80-\x9f]", page.locator("body").inner_text())
    page.locator(".text").hover()
    for link in page.locator(".text span[data-address]").all():
        link.click()
    assert page.url == f"{site.room}/#{id}"
    assert page.evaluate("window.ran") is None
    page.goto(f"{site.room}/#{id}/panes")
    expect(page.locator(".pane .text").first).to_contain_text("isolated")
    assert page.evaluate(WILD) == []
    assert [url for url in asked if not url.startswith(site.url)] == []


def test_bombs_go_off_and_the_page_stays_usable(site: Site, page: Page) -> None:
    text = "\n\n".join([*BOMBS, "After all.\n"])
    id = site.passed(text)
    site.enter(page, id)
    expect(page.get_by_text("After all.")).to_be_attached()
    page.get_by_role("button", name="Jump to end").click()
    expect(page.get_by_text("After all.")).to_be_in_viewport()
    assert page.evaluate(WILD) == []
    for character, count in (("x", 100_000), ("y", 200_000), ("z", 200_000)):
        assert shown(page).count(character * 1000) >= count // 1000 - 20
    assert page.evaluate(
        "document.querySelector('.scroller').scrollWidth <= document.querySelector('.scroller').clientWidth"
    )
    page.goto(f"{site.room}/#{id}/raw")
    shows(page, text)


def test_rendered_in_pieces_it_is_what_it_is_at_once(site: Site, page: Page) -> None:
    """Wherever it is cut; an item of a list is looked at by itself."""
    site.enter(page)
    random.seed(7)
    blocks = [
        "# T",
        "para *a* `b`\nmore",
        "> q\n> r",
        "|a|b|\n|-|:-:|\n|1|2|\n|3|4|",
        "```py\nx = 1\n\n\ny\n```",
        "---",
    ]
    blocks += ["$$\nx*y*z\n$$", "\\\\[\na * b", "so \\\\(a*b*c\\\\) and $a_1*b$\nmore*。*a"]
    blocks += [
        "1. a\n2. b\n   - c\n3. d",
        "- <div>\n- b\n\n- c\n- d\n\n  e",
        "~~~\n```\n~~~",
        "    code\n    more",
        "Set\n===",
        "1) x\n2) y",
        "- [l](http://x.y)\n* z",
    ]
    for _ in range(20):
        text = "\n\n".join(random.choices(blocks, k=12)) + random.choice(["", "\n", "\n\n", "\n``", "\n```\nopen"])
        cuts = sorted(random.sample(range(len(text)), 40))
        pieces = [text[begin:end] for begin, end in zip([0, *cuts], [*cuts, len(text)], strict=True)]
        whole, cut = page.evaluate(
            """async ([whole, pieces]) => {
              const { Markdown } = await import("/web/page/markdown.js")
              return [whole, pieces].map((texts) => {
                const target = document.createElement("div")
                const markdown = new Markdown(target)
                for (const text of texts) {
                  markdown.add(text)
                  if (texts.length > 1) markdown.draw()
                }
                markdown.end()
                return target.innerHTML
              })
            }""",
            [[text], pieces],
        )
        assert cut == whole, text


LINKS = {
    "[Why](https://evil.example/x)": "Why",
    "[https://bank.example](https://bank.example/a)": "https://bank.example",
    "[www.bank.example](http://bank.example:80)": "www.bank.example",
    "[https://bank.example](https://evil.example/x)": "https://bank.example (https://evil.example/x)",
    "[bank.example](https://evil.example)": "bank.example (https://evil.example/)",
    "[my **bank**`.example`, Ltd](https://evil.example)": "my bank.example, Ltd (https://evil.example/)",
    "[bank.example](https://bank.example.evil.example)": "bank.example (https://bank.example.evil.example/)",
    "[bank.example](https://bank.example@evil.example)": "bank.example (https://evil.example/)",
    "[bank.example](https:///bank.example:x@evil.example)": "bank.example (https://evil.example/)",
    "<https://bank.example@evil.example>": "https://bank.example@evil.example (https://evil.example/)",
    "[b\u0430nk.example](https://b\u0430nk.example)": "b\u0430nk.example (https://xn--bnk-6cd.example/)",
    "<https://b\u0430nk.example>": "https://b\u0430nk.example (https://xn--bnk-6cd.example/)",
    "[bank\u200d.example](https://evil.example)": "bank\u200d.example (https://evil.example/)",
    "[bank\uff0eexample](https://evil.example)": "bank\uff0eexample (https://evil.example/)",
    "[bank\u3002example](https://evil.example)": "bank\u3002example (https://evil.example/)",
    "[bank\u2024example](https://evil.example)": "bank\u2024example (https://evil.example/)",
    "[http://localhost](https://evil.example)": "http://localhost (https://evil.example/)",
    "[127.0.0.1](https://evil.example)": "127.0.0.1 (https://evil.example/)",
    "[Python 3.14](https://python.org)": "Python 3.14",
    "[a.b@bank.example](mailto:a.b@bank.example)": "a.b@bank.example",
    "[a@bank.example](mailto:a@evil.example)": "a@bank.example (mailto:a@evil.example)",
    "![https://bank.example](https://evil.example)": "https://bank.example (https://evil.example/)",
    "[x](javascript:alert)": "x (javascript:alert)",
    "[bank.example](https://evil.example/&#x202e;\u202e)": "bank.example (https://evil.example/%E2%80%AE%E2%80%AE)",
    "a&#x202e;b&#x200f;c&#xe0041;d&#x2028;e&#27;[31m ![&#x202e;f](https://g.example)": "abcd\ne\ufffd[31m &#x202e;f",
    "[bank&#x200d;.example](https://evil.example)": "bank\u200d.example (https://evil.example/)",
    "[x](https://%zz)": "x (https://%25zz)",
}
"""Markdown, and what is read of it."""


def test_a_link_whose_text_names_another_host_shows_where_it_leads(site: Site, page: Page) -> None:
    site.enter(page)
    shown = page.evaluate(
        """async (texts) => {
          const { Markdown } = await import("/web/page/markdown.js")
          return texts.map((text) => {
            const target = document.createElement("div")
            const markdown = new Markdown(target)
            markdown.add(text)
            markdown.end()
            const hrefs = [...target.querySelectorAll("a")].map((link) => link.href)
            return [target.textContent, hrefs.every((href) => !href.includes("@") || href.startsWith("mailto:"))]
          })
        }""",
        list(LINKS),
    )
    assert shown == [[text, True] for text in LINKS.values()]


def test_what_models_write_beyond_commonmark_is_shown_as_on_a_terminal(site: Site, page: Page) -> None:
    site.enter(page)
    shown = page.evaluate(
        """async (texts) => {
          const styled = (target) => {
            const walker = document.createTreeWalker(target, NodeFilter.SHOW_TEXT)
            let said = ""
            for (let node; (node = walker.nextNode()); ) {
              if (!node.data) continue
              const [bold, italic] = ["strong", "em"].map((name) => node.parentElement.closest(name))
              const text = italic ? `<i>${node.data}</i>` : node.data
              said += bold ? `<b>${text}</b>` : text
            }
            return said
          }
          const { Markdown } = await import("/web/page/markdown.js")
          return texts.map((text) => {
            const target = document.createElement("div")
            const markdown = new Markdown(target)
            for (const character of text) {
              markdown.add(character)
              markdown.draw()
            }
            markdown.end()
            return styled(target)
          })
        }""",
        list(CASES),
    )
    assert shown == list(CASES.values())


LINES = {
    "plain\n": "plain\n",
    "\r 10%\r 20%\r\n": " 20%\n",
    "one\ntwo\rthree": "one\nthree",
    "one\r\r\ntwo\r": "one\ntwo",
    "a\rb\nc\n\rd\re": "b\nc\ne",
    "\x1b[31mred\x1b[0m plain": "<ansi-1>red</> plain",
    "\x1b[1;32mok\x1b[22;39m: \x9b4mline\x1b[24m": "<bold ansi-2>ok</>: <underlined>line</>",
    "\x1b[31m10%\r\x1b[32m20%\x1b[m\rdone\n": "done\n",
    "a \x1b[33mb\x1b[m c\rd": "d",
    "x\n\x1b[91m1\r2\x1b[m3\n": "x\n<ansi-9>2</>3\n",
    "\x1b[8mhidden\x1b[38;2;1;1;1mx\x1b[48;5;1my\x1b[38;5;12mz\x1b[38:5:1mw": "hiddenxy<ansi-12>zw</>",
    "\x1b[2J\x1b[5A\x1b]0;t\x07<b>a</b>\x1b[3": "<b>a</b>3",
}
"""What a command writes, and what stands there: a run with its classes before it."""


def test_a_command_redraws_its_line_and_has_colours(site: Site, page: Page) -> None:
    """Wherever it is cut; and the page does not grow with a line that is drawn again and again."""
    site.enter(page)
    shown, nodes = page.evaluate(
        """async (texts) => {
          const { PlainText } = await import("/web/page/plain-text.js")
          const { LineFilter } = await import("/web/page/untrusted.js")
          const shown = (pieces) => {
            const target = document.createElement("div")
            const [text, filter] = [new PlainText(target), new LineFilter()]
            for (const piece of pieces) text.add(filter.feed(piece))
            text.add(filter.end())
            return target
          }
          const named = (node) => node.textContent && `<${node.className}>${node.textContent}</>`
          const written = (node) => node instanceof Text ? node.data : named(node)
          const read = (target) => [...target.querySelectorAll("pre")]
            .flatMap((block) => [...block.childNodes].map(written)).join("")
          const state = (step) => `\\r\\x1b[3${step % 8}m${step}\\x1b[m of 3000 ${"#".repeat(50)}`
          const long = shown(Array.from({ length: 3000 }, (_, step) => state(step)))
          const [block] = long.querySelectorAll("pre")
          const kept = [long.textContent, long.querySelectorAll("*").length, block.childNodes.length]
          return [texts.map((text) => [read(shown([text])), read(shown(text))]), kept]
        }""",
        list(LINES),
    )
    assert shown == [[text, text] for text in LINES.values()]
    assert nodes[0] == f"2999 of 3000 {'#' * 50}"
    assert max(nodes[1:]) < 10


# --- its length

WATCH = """
  window.watching?.forEach((each) => each.disconnect())
  window.work = []
  window.long = []
  const tasks = new PerformanceObserver((list) => long.push(...list.getEntries().map((e) => e.duration)))
  tasks.observe({ type: 'longtask' })
  const changes = new MutationObserver((changes) => {
    const grown = (change) => change.type === 'characterData'
      ? Math.max(0, change.target.data.length - change.oldValue.length)
      : [...change.addedNodes].reduce((sum, node) => sum + node.textContent.length, 0)
    if (changes.some(({ target }) => target.parentElement?.closest('.text'))) {
      work.push(changes.reduce((sum, change) => sum + grown(change), 0))
    }
  })
  changes.observe(document, { subtree: true, childList: true, characterData: true, characterDataOldValue: true })
  window.watching = [tasks, changes]
"""

SLICE = 32 * 1024

LONG = {
    "lines": "".join(f"{number}\n" for number in range(20_000)),
    "list": "".join(f"- item *{number}*\n" for number in range(10_000)),
    "paragraphs": "".join(f"Paragraph **{number}**, with `code`.\n\n" for number in range(5_000)),
    "code": "```\n" + "".join(f"print({number})\n" for number in range(10_000)) + "```\n",
    "2 MB": "".join(
        f"## {number}\n\n" + "Some words of a long text, and more of them. " * 40 + "\n\n" for number in range(1_100)
    ),
}
"""Each more than what may be drawn at once; the last one more than the page takes from the network unshown."""


@pytest.mark.parametrize("kind", LONG)
@pytest.mark.parametrize("view", ["markdown", "raw"])
def test_a_long_text_is_shown_in_slices(
    site: Site, page: Page, kind: str, view: str, capsys: pytest.CaptureFixture[str]
) -> None:
    text = LONG[kind]
    id = site.passed(text)
    site.enter(page)
    page.evaluate(f"() => {{ {WATCH} }}")
    site.enter(page, f"{id}/{view}")
    expect(page.locator("#stream .size")).to_have_attribute("title", f"{len(text):,} bytes")
    page.keyboard.press("/")
    expect(page.get_by_role("searchbox")).to_be_focused()
    page.keyboard.press("Escape")
    expect(page.get_by_role("searchbox")).not_to_be_focused()
    last = re.findall(r"\d+", text)[-1]
    page.wait_for_function(
        # Not in the last one alone: that may be the end of a slice, a line of nothing.
        "(last) => [...document.querySelectorAll('.run, .tail')].slice(-4).some(e => e.textContent.includes(last))",
        arg=last,
        polling=100,
    )
    page.get_by_role("button", name="Jump to end").click()
    page.wait_for_function("""() => { const s = document.querySelector('.scroller')
        return s.scrollHeight - s.clientHeight - s.scrollTop < 2 }""")
    if view == "raw":
        assert shown(page) == text
    work, long = page.evaluate("[work, long]")
    # A slice, and what is unfinished below it; what grows after it was put down counts twice.
    assert max(work) <= 4 * SLICE
    assert len(work) >= len(text) / SLICE
    with capsys.disabled():
        took = f"{len(long)} tasks over 50 ms, the longest {max(long, default=0):.0f} ms"
        print(f"\n{kind}, {view}: {len(text):,} characters in {len(work)} slices of at most {max(work):,}; {took}")
