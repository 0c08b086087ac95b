"""Markdown while it is being written: on a terminal, resized ones included, nothing is missing and nothing is twice."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import unicodedata
from collections.abc import Iterable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import ptstream
from ptstream.cli.markdown import FRAMES, Rendered
from ptstream.cli.markdown_syntax import _is_east_asian, _is_punctuation
from tests.conftest import needs
from tests.emulator import Reflowing
from tests.markdown_cases import CASES

SIZES = [(80, 24), (40, 10)]

ANSWER = """\
# m01 Why the sky is blue

m02 Sunlight is **m03 scattered** by the air, and `m04` blue light more than red. \
m05 That is why one sees blue wherever one looks, and why the sun is yellow, orange and at last red. \
m06 空が青いのは、太陽の光が空気の分子によって散乱されるからです。 m07

1. m08 first
2. m09 second, with an item below
   - m10 inner, which is long enough that it must be wrapped on a narrow terminal, and even twice there
   - m11 inner
3. m12 third

```python
def m13(x):
    '''m14'''

    return "m15 " + x  # a long line of code that the terminal wraps by itself, so that it is copied as one
```

| m16 | m17 |
|-----|----:|
| m18 | m19 |

> m20 quoted
> m21 quoted

m22 [a link](https://example.com/m23) and <b>m24</b>

---

- m25
- m26 the end"""


class Clock:
    """Time that passes when it is told to."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def whole(text: str, size: tuple[int, int]) -> list[str]:
    """The lines of a text that came at once."""
    rendered = Rendered(lambda: size, Clock())
    terminal = Reflowing(size[0])
    terminal.feed(rendered.feed(text) + rendered.end())
    return terminal.lines


def marks(lines: Iterable[str]) -> list[str]:
    return re.findall(r"m\d\d", "".join(lines))


def drawn(text: str, size: tuple[int, int] = (40, 10)) -> str:
    """What the terminal is sent for a text whose end is not there yet."""
    return Rendered(lambda: size, Clock()).feed(text)


def tokens(text: str) -> list[str]:
    return re.findall(r"\s*\S{1,4}", text)


@pytest.mark.parametrize("size", SIZES)
def test_a_text_in_pieces_ends_as_the_whole_text_does(size: tuple[int, int]) -> None:
    clock = Clock()
    rendered = Rendered(lambda: size, clock)
    terminal = Reflowing(size[0])
    for character in ANSWER:
        clock.now += 1
        terminal.feed(rendered.feed(character))
    terminal.feed(rendered.end())
    assert terminal.lines == whole(ANSWER, size)


@pytest.mark.parametrize(
    "text", ["u\nq\\\n- a", "q\\\n# h", "q\\\n1. a", "q\\\n> g", "q\\\n```\nx", "q\\\n-b", "q\\\n"]
)
def test_a_backslash_before_what_ends_its_paragraph(text: str) -> None:
    """Which until then might be a line of it."""
    rendered, terminal = Rendered(lambda: (40, 10), (clock := Clock())), Reflowing(40)
    for character in text:
        clock.now += 1
        terminal.feed(rendered.feed(character))
    terminal.feed(rendered.end())
    assert terminal.lines == whole(text, (40, 10))


FRAGMENTS = st.sampled_from(
    [
        *("# h", "- a", "* b", "1. c", "2. d", "   - e", "```", "```py", "~~~", "    f", "> g", "---", "***", "==="),
        *("| h | i |", "|---|---|", "j `k", "**l", "<div>", "[m]: n", "[o](p)", "q\\", "全角", "\t", "  ", "", "", ""),
        *("- | a | b |\n  |---|---|\n  | c | d |", "- ```\n  w\n  ```"),
        *("&#27;[2J", "\x1b[2J", "r&#x2028;s", "t&#13;u"),
    ]
)


@settings(max_examples=200, deadline=None)
@given(st.lists(FRAGMENTS, max_size=12), st.sampled_from(["\n", "\n\n", "\r\n"]), st.data())
def test_any_text_cut_anywhere_ends_as_the_whole_does(lines: list[str], end: str, data: st.DataObject) -> None:
    text = end.join(lines)
    clock = Clock()
    rendered = Rendered(lambda: (40, 10), clock)
    terminal = Reflowing(40)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(text)), max_size=20)))
    for begin, stop in zip([0, *cuts], [*cuts, len(text)], strict=True):
        clock.now += 1
        terminal.feed(rendered.feed(text[begin:stop]))
    terminal.feed(rendered.end())
    assert terminal.lines == whole(text, (40, 10))
    assert not re.search(r"[\x00-\x09\x0b-\x1f\x7f-\x9f]", "".join(terminal.lines))


@pytest.mark.parametrize(
    ("text", "lines"),
    [
        ("", [""]),
        ("\n\n", [""]),
        ("one\ntwo", ["one", "two", ""]),
        ("[a](https://b.c) <https://d.e> ![f](g.png)", ["a (https://b.c) https://d.e !f (g.png)", ""]),
        ("<b>a</b>\n\n<div>b</div>", ["<b>a</b>", "", "<div>b</div>", ""]),
        ("[a][1]\n\n[1]: https://b.c", ["[a][1]", "", "[1]: https://b.c", ""]),
        ("[https://b.c](https://d.e)", ["https://b.c (https://d.e)", ""]),
        ("[b.c](https://b.c)", ["b.c (https://b.c)", ""]),
        ("[https://b.c](https://b.c@d.e/f@g)", ["https://b.c (https://d.e/f@g)", ""]),
        ("[https://b.c](https:///b.c:x@d.e)", ["https://b.c (https://d.e)", ""]),
        ("<https://b.c@d.e>", ["https://b.c@d.e (https://d.e)", ""]),
        ("[https://b.c@d.e](https://b.c@d.e)", ["https://b.c@d.e (https://d.e)", ""]),
        ("[b.c](https://b\u0441.c)", ["b.c (https://xn--b-7tb.c)", ""]),
        ("<https://b\u0441.c>", ["https://b\u0441.c (https://xn--b-7tb.c)", ""]),
        ('[*b*`.c`](https://d.e "b.c")', ["b.c (https://d.e)", ""]),
        ("[a@b.c](mailto:a@b.c) [a@b.c](mailto:d@e.f)", ["a@b.c a@b.c (mailto:d@e.f)", ""]),
        ("[\x1b]8;;https://d.e\x1b\\b.c\x1b]8;;\x1b\\](https://b.c)", ["b.c (https://b.c)", ""]),
        (">" * 40 + "deep", [">" * 39, ">deep", ""]),
        ("a **bc", ["a **bc", ""]),
        ("- a\n\n  b\n- c", [" • a", "", "   b", " • c", ""]),
        ("- a\n  ```sh\n  echo 1\n    2\n  ```\n- b", [" • a", "echo 1", "  2", " • b", ""]),
        ("> ```\n> " + "x" * 60 + "\n> ```", ["▌", "x" * 60, ""]),
        ("a\n---", ["a", "", "─" * 20, ""]),
        (r"\( x_1*y_2 \) and \( x_2*y_1 \)", [r"\( x_1*y_2 \) and \( x_2*y_1 \)", ""]),
        (r"$a*b*c$, $f_*=g_*$, 5 $ and *6* $", ["$a*b*c$, $f_*=g_*$, 5 $ and 6 $", ""]),
        (r"\[ a*b*c \] costs $5 *or* $6", [r"\[ a*b*c \] costs $5 or $6", ""]),
        ("$$\nx * y * z \\\\\n- w\n$$\n*b*", ["$$", "x * y * z \\\\", "- w", "$$", "", "b", ""]),
        (
            "这里有**“你好”**世界，**重要（非常）**内容，**真。**她",
            ["这里有“你好”世界，重要（非常）内容，", "真。她", ""],
        ),
        ("これは**「重要なこと」**です。**강조(強調)**입니다", ["これは「重要なこと」です。강조(強調)입", "니다", ""]),
        ("snake_case_name and **kwargs", ["snake_case_name and **kwargs", ""]),
        ("-", [" •", ""]),
        ("```\n" + "x" * 100 + "\n\n  y\n", ["x" * 100, "", "  y", ""]),
        ("```\nx\n```\n\ny", ["x", "", "y", ""]),
        ("  ```\n    x\n  ```", ["  x", ""]),
        ("- | a |\n  |---|\n  | b |\n- c", [" • a", "   ─", "   b", " • c", ""]),
        ("9. a\n10. b\n1. c", ["  9 a", " 10 b", " 11 c", ""]),
        ("&#27;[2J&#x202e;a", ["\N{REPLACEMENT CHARACTER}[2Ja", ""]),
        ("\x1b]0;title\x07*a*", ["a", ""]),
    ],
)
def test_what_is_written_is_shown(text: str, lines: list[str]) -> None:
    assert whole(text, (40, 10)) == lines


def styled(drawn: str) -> str:
    """A text with its styles as the table of cases has them."""
    runs: list[tuple[list[str], str]] = []
    style: list[str] = []
    for code, text in re.findall(r"\x1b\[([\d;]*)m|([^\x1b]+)", drawn):
        if text:
            runs.append((style, text))
        style = [] if text else [each for each in code.split(";") if each in ("1", "3")]
    return "".join(tagged(text, bold="1" in style, italic="3" in style) for style, text in runs)


def tagged(text: str, *, bold: bool, italic: bool) -> str:
    text = f"<i>{text}</i>" if italic else text
    return f"<b>{text}</b>" if bold else text


def test_what_models_write_beyond_commonmark() -> None:
    for text, shown in CASES.items():
        rendered = Rendered(lambda: (600, 50), Clock())
        assert styled((rendered.feed(text) + rendered.end()).rstrip("\n")) == shown


@needs("node")
def test_the_page_knows_the_same_characters() -> None:
    """Those that Unicode has had for long; since then some symbols have become wide."""
    symbols = re.compile("[\u3248-\u324f\u4dc0-\u4dff\u2630-\u2637\u268a-\u268f\U0001d300-\U0001d3ff]")
    old = unicodedata.ucd_3_2_0
    known = [
        chr(code)
        for code in range(sys.maxunicode)
        if old.category(chr(code)) not in ("Cn", "Cs") and not symbols.match(chr(code))
    ]
    source = Path(ptstream.__file__).parent / "web" / "page" / "markdown-syntax.js"
    program = f"""
        import {{ readFileSync }} from "node:fs"
        const source = readFileSync({json.dumps(str(source))}, "utf8") + "; export {{ EAST_ASIAN, PUNCTUATION }}"
        const {{ EAST_ASIAN, PUNCTUATION }} = await import("data:text/javascript," + encodeURIComponent(source))
        const known = JSON.parse(readFileSync(0, "utf8"))
        console.log(JSON.stringify(known.map((each) => [EAST_ASIAN.test(each), PUNCTUATION.test(each)])))
    """
    line = ["node", "--input-type=module", "-e", program]
    done = subprocess.run(line, input=json.dumps(known), capture_output=True, check=True, encoding="utf-8")
    found = zip(known, json.loads(done.stdout), strict=True)
    assert [each for each, is_ in found if is_ != [_is_east_asian(each), _is_punctuation(each)]] == []


def test_a_table_cuts_no_cell() -> None:
    cell = "abcdefghij" * 8
    shown = "".join(whole(f"| a | b |\n|---|---|\n| {cell} | c |", (40, 10)))
    assert "".join(re.findall("[a-j]", shown)).count("abcdefghij") >= 3
    assert len(re.findall("[d-j]", shown)) == 7 * 8


def test_it_is_drawn_once_a_frame_and_then_completely() -> None:
    clock = Clock()
    rendered = Rendered(lambda: (40, 10), clock)
    assert rendered.feed("one") == "one"
    clock.now = 0.5 / FRAMES
    assert rendered.feed(" two") == rendered.draw() == ""
    clock.now = 1 / FRAMES
    assert rendered.draw() == " two"
    clock.now = 2 / FRAMES
    assert rendered.draw() == ""
    assert rendered.end() == "\n"


def test_hidden_it_comes_back() -> None:
    clock = Clock()
    rendered = Rendered(lambda: (40, 10), clock)
    assert rendered.feed("one **two\nthree") == "one **two\nthree"
    assert rendered.hide() == "\r\x1b[2K\x1b[A\x1b[2K"
    assert rendered.hide() == ""
    clock.now = 1
    assert rendered.draw() == "one **two\nthree"


def test_another_text_may_follow() -> None:
    rendered = Rendered(lambda: (40, 10), Clock())
    terminal = Reflowing(40)
    for text in ("```\none", "*two*", "", "- three"):
        terminal.feed(rendered.feed(text) + rendered.end())
    assert terminal.lines == ["one", "two", " • three", ""]
