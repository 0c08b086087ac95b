"""What a terminal may be sent: no control of any kind, whatever the text and however it is cut."""

from __future__ import annotations

import json
import random
import re
import subprocess
import sys
import unicodedata
from pathlib import Path

import pyte
import pytest
from hypothesis import given
from hypothesis import strategies as st

import ptstream
from ptstream.cli import control_sequences
from ptstream.cli.control_sequences import FORBIDDEN, LIMIT, CommandFilter, Filter, clean
from tests.conftest import needs

PAGE = Path(ptstream.__file__).parent / "web" / "page" / "untrusted.js"

SGR = r"\x1b\[[\d;:]*m"

BIDI = "\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069"
"""All that have Unicode's property Bidi_Control."""

HIDDEN = "\xad\u2060\u2061\u2064\u206a\u206f\ufeff\ufff0\ufff9\ufffb\U0001bca0\U0001d173\U000e0001\U000e0041\U000e0fff"
"""Some that have Default_Ignorable_Code_Point, and interlinear annotations."""

CONTROLS = [*map(chr, range(0x20)), "\x7f", *map(chr, range(0x80, 0xA0)), *BIDI, *HIDDEN, "\u2028", "\u2029"]
UNSEEN = ["\u034f", "\u180b", "\u180e", "\u200b", "\u200c", "\u200d", "\ufe00", "\ufe0f", "\U000e0100", "\U000e01ef"]
FRAGMENTS = [
    *("\x1b[", "\x1b]", "\x1b]0;", "\x1b]52;c;", "\x1bP", "\x1bX", "\x1b^", "\x1b_", "\x1b\\"),
    *("\x1b(", "\x1b#8", "\x1bN", "\x1bO", "\x1bc", "\x1b[31m", "\x1b[?25l", "\x1b[2J", "\x1b[1;1H"),
    *("\x9b5A", "\x9d2;t\x9c", "\r\n", "word", " ", "1;2", "m", "é", "あ", "👩‍👩‍👧", "❤\ufe0f", "\u200d"),
]
HOSTILE = st.lists(st.one_of(st.sampled_from(CONTROLS + FRAGMENTS + UNSEEN * 3), st.text(max_size=3))).map("".join)


def filtered(*pieces: str) -> str:
    sieve = Filter()
    return "".join([*map(sieve.feed, pieces), sieve.end()])


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain\ttext\n", "plain\ttext\n"),
        ("\x1b[31mred\x1b[0m", "red"),
        ("\x1b[38:2::1:2:3mred\x9b0m", "red"),
        ("\x1b]0;title\x07text", "text"),
        ("\x1b]52;c;aGk=\x1b\\text", "text"),
        ("\x9d0;title\x9ctext", "text"),
        ("\x1bPq#0!4~\x1b\\text", "text"),
        ("\x1bXsos\x1b\\\x1b^pm\x1b\\\x1b_apc\x1b\\text", "text"),
        ("\x1b(0\x1b#8\x1b%G\x1bctext", "text"),
        ("\x1bNtext", "text"),
        ("one\r\ntwo", "one\ntwo"),
        ("10%\r20%\r", "10%\n20%\n"),
        ("N\bNA\bA", "NNAA"),
        ("a\x00\x07\x0b\x0c\x7f\x85b", "ab"),
        ("\u202eabc\u202c \u2066def\u2069", "abc def"),
        ("שלום\u200f! \u200eabc \u061cأ", "שלום! abc أ"),
        ("\ufeffa\xadb\u2060c", "abc"),
        ("🏴\U000e0067\U000e0062\U000e007f a\U000e0069\U000e0067\U000e006e\U000e006fb", "🏴 ab"),
        ("a\ufff9b\ufffac\ufffb", "abc"),
        ("one\u2028two\u2029three", "one\ntwo\nthree"),
        ("x" + "".join(chr(0xE0100 + byte) for byte in b"hidden"), "x\U000e0168\U000e0169\U000e0164"),
        ("x" + "\u200b\u200c" * 50 + "y", "x\u200b\u200c\u200by"),
        *[
            (text, text)
            for text in (
                "👩\u200d👩\u200d👧 ❤\ufe0f\u200d🔥 1\ufe0f\u20e3",
                "می\u200cخواهم ශ්\u200dරී ខ្មែរ\u200bខ្មែរ",
                "葛\U000e0100城 ᠨᠢ\u180eᠠ ᠠ\u180b",
                "ل\u200d\u200c\u200dا",
                "a\u200cb",
            )
        ],
        ("\u3000全角\u00a0nbsp", "\u3000全角\u00a0nbsp"),
        ("\ud83d", "\ud83d"),
    ],
)
def test_takes_out_what_acts_and_leaves_what_is_read(text: str, shown: str) -> None:
    assert filtered(text) == clean(text) == shown


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("\x1b]0;title\nnext line", "0;title\nnext line"),
        ("\x1b]0;title\x1b[31mred", "0;titlered"),
        ("\x1b]0;title\x18text", "0;titletext"),
        ("â\x80\x9cquoted\x80\x9d and on\n", "âquoted and on\n"),
        ("\x1b]0;" + "x" * 2 * LIMIT, "0;" + "x" * 2 * LIMIT),
        ("\x1b[31", "31"),
        ("\x1b[31\nm", "31\nm"),
        ("\x1b[" + "1" * 100 + "m", "1" * 100 + "m"),
        ("\x1b", ""),
        ("\x1bé", "é"),
    ],
)
def test_a_broken_sequence_swallows_nothing(text: str, shown: str) -> None:
    assert filtered(text) == filtered(*text) == shown


@pytest.mark.parametrize("length", [LIMIT - 1, LIMIT, LIMIT + 1])
def test_the_limit_of_a_body_does_not_depend_on_its_pieces(length: int) -> None:
    body = "x" * length
    text = f"\x1b]{body}\x1b\\end"
    shown = "end" if length <= LIMIT else body + "end"
    assert filtered(text) == filtered(text[:9], text[9:-5], *text[-5:]) == shown


def commanded(*pieces: str, colours: bool = True) -> str:
    sieve = CommandFilter(colours)
    return "".join([*map(sieve.feed, pieces), sieve.end()])


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain\n", "plain\n"),
        ("\x1b[31mred\x1b[0m plain\n", "\x1b[31mred\x1b[0m plain\n"),
        ("\x9b1;38;5;8mbold", "\x1b[1;38;5;8mbold\x1b[0m"),
        ("\x1b[38:2::1:2:3mx\x1b[m", "\x1b[38:2::1:2:3mx\x1b[m"),
        ("\x1b[8mhidden\x1b[1;8;4mx\x1b[m", "hidden\x1b[1;4mx\x1b[m"),
        ("\x1b[?25lx\x1b[>4;1m\x1b[2Jy\x1b[5A\x1b]0;title\x07z", "xyz"),
        ("\r 10%\r 20%\r\n", "\r\x1b[K 10%\r\x1b[K 20%\n"),
        ("one\r\r\ntwo\r", "one\ntwo"),
        ("a\u2028b\x85", "a\nb"),
    ],
)
def test_of_a_command_colours_are_kept_and_its_lines_begin_anew(text: str, shown: str) -> None:
    assert commanded(text) == shown
    screens = [pyte.Screen(40, 5), pyte.Screen(40, 5)]
    for screen, pieces in zip(screens, ((text,), text), strict=True):
        pyte.Stream(screen).feed(commanded(*pieces).replace("\n", "\r\n"))
        assert screen.cursor.attrs == screen.default_char
    assert screens[0].buffer == screens[1].buffer or ":" in text  # which pyte does not know


def test_colour_goes_on_behind_what_others_write() -> None:
    sieve = CommandFilter(True)
    assert [sieve.feed("\x1b[31mred"), sieve.feed("red"), sieve.feed("\x1b["), sieve.feed("0mplain"), sieve.end()] == [
        "\x1b[31mred\x1b[0m",
        "\x1b[31mred\x1b[0m",
        "",
        "\x1b[31m\x1b[0mplain\x1b[0m",
        "",
    ]
    assert commanded("\x1b[31mred\x1b[0m", colours=False) == "red"


@given(HOSTILE)
def test_a_command_moves_nothing_but_its_line(text: str) -> None:
    shown = re.sub(r"\r\x1b\[K|\x1b\[[\d;:]*m", "", commanded(text))
    assert not re.search(f"[{FORBIDDEN}]", shown)


def test_one_line_for_names_and_titles() -> None:
    assert clean(" a\n\tb\r\n  c\x1b[2Jd\u2028e ", one_line=True) == "a b cd e"


def test_what_may_be_a_sequence_waits_and_nothing_else_does() -> None:
    sieve = Filter()
    pieces = ["one\x1b", "[3", "1mtwo", "\r", "three"]
    assert [sieve.feed(piece) for piece in pieces] == ["one", "", "two", "", "\nthree"]


@given(HOSTILE)
def test_nothing_forbidden_comes_out_and_a_second_time_changes_nothing(text: str) -> None:
    shown = filtered(text)
    assert not re.search(f"[{FORBIDDEN}]", shown)
    assert filtered(shown) == shown


@given(HOSTILE, st.data())
def test_cut_anywhere_it_is_the_same(text: str, data: st.DataObject) -> None:
    cuts = sorted(data.draw(st.lists(st.integers(0, len(text)), max_size=8)))
    pieces = [text[a:b] for a, b in zip([0, *cuts], [*cuts, len(text)], strict=True)]
    assert filtered(*pieces) == filtered(*text) == filtered(text) == clean(text)


@given(st.text(st.characters(exclude_categories=("Cc", "Cf", "Cn", "Cs", "Zl", "Zp"), exclude_characters=UNSEEN)))
def test_text_without_controls_is_left_alone(text: str) -> None:
    assert filtered(*text) == text or re.search(f"[{control_sequences.UNSEEN}]{{4}}", text)


def test_no_more_unseen_characters_than_writing_needs_follow_each_other() -> None:
    for character in UNSEEN:
        assert filtered(*("a" + character * 9 + "b")) == "a" + character * control_sequences.IN_A_ROW + "b"
    sieve = Filter()
    pieces = ["\ufe0f\ufe0f", "\x1b[m", "", "\ufe0f\ufe0f", "a"]
    assert [sieve.feed(piece) for piece in pieces] == ["\ufe0f\ufe0f", "", "", "\ufe0f", "a"]


def test_every_format_character_is_taken_out_or_known() -> None:
    """As this Python's Unicode has them: those that are left in are seen, or writing needs them."""
    left = {chr(code) for code in range(sys.maxunicode) if unicodedata.category(chr(code)) in ("Cf", "Zl", "Zp")}
    left -= set(re.findall(f"[{FORBIDDEN}]", "".join(left)))
    needed = {"\u180e", "\u200b", "\u200c", "\u200d"}
    signs = re.compile("[\u0600-\u0605\u06dd\u070f\u0890\u0891\u08e2\U000110bd\U000110cd\U00013430-\U0001343f]")
    assert {character for character in left if not signs.match(character)} == needed


# --- the page's


@needs("node")
def test_the_page_takes_out_the_same() -> None:
    texts = [*CONTROLS, *FRAGMENTS, *(f"a{character * 9}b" for character in UNSEEN)]
    random.seed(seed := random.randrange(10**9))
    print("seed", seed)
    texts += ["".join(random.choices(CONTROLS + FRAGMENTS + UNSEEN * 3, k=12)) for _ in range(2000)]
    texts += [chr(code) for code in range(0x20000) if not 0xD800 <= code < 0xE000]
    texts += [chr(code) for code in range(0xE0000, 0xE1000)]
    program = f"""
        import {{ readFileSync }} from "node:fs"
        const source = readFileSync({json.dumps(str(PAGE))}, "utf8")
        const module = "data:text/javascript," + encodeURIComponent(source)
        const {{ Filter, LineFilter, clean, oneLine }} = await import(module)
        const filtered = (texts, filter = new Filter()) => {{
          return texts.map((text) => filter.feed(text)).join("") + filter.end()
        }}
        const texts = JSON.parse(readFileSync(0, "utf8"))
        const shown = texts.map((text) => [clean(text), filtered([...text]), oneLine(text),
          filtered([text], new LineFilter()), filtered([...text], new LineFilter())])
        console.log(JSON.stringify(shown))
    """
    line = ["node", "--input-type=module", "-e", program]
    done = subprocess.run(line, input=json.dumps(texts), capture_output=True, check=True, encoding="utf-8")
    for text, (whole, cut, in_one_line, *as_lines) in zip(texts, json.loads(done.stdout), strict=True):
        assert whole == cut == clean(text), ascii(text)
        if "\ufeff" not in text:
            assert in_one_line.split() == clean(text, one_line=True).split(), ascii(text)
        drawn = re.sub(SGR, "", commanded(text).replace("\r\x1b[K", "\r"))
        assert [re.sub(SGR, "", each) for each in as_lines] == [drawn, drawn], ascii(text)


@given(HOSTILE)
def test_a_terminal_only_gets_text(text: str) -> None:
    screen = pyte.HistoryScreen(40, 10)
    modes = set(screen.mode)
    pyte.Stream(screen).feed("prompt$ " + filtered(text).replace("\ud800", "?"))
    assert (screen.title, screen.mode, screen.cursor.hidden, screen.margins) == ("", modes, False, None)
    assert screen.cursor.attrs == screen.default_char


def test_plain_text_needs_no_regular_expressions() -> None:
    program = (
        "import sys; from ptstream.cli.control_sequences import Filter, clean; sys.modules['re'] = None\n"
        "assert Filter().feed('Grüße, мир 世界!\\n\\t') + Filter().end() + clean('a\\nb', one_line=True)"
    )
    subprocess.run([sys.executable, "-c", program], check=True)
