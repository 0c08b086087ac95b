"""A text while it is being written, on a real emulator: what stood there stays, and the end is the whole text's."""

from __future__ import annotations

import itertools
import random
import re
import subprocess
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path

import pytest

from ptstream.cli.markdown import Rendered, reflows
from ptstream.cli.markdown_whole import WholeMarkdown
from tests.conftest import needs, until
from tests.emulator import Cutting, Emulator, Reflowing

ABOVE = ["KEEP-1", "KEEP-2", "KEEP-3"]

WORDS = re.findall(
    r"\S+",
    """the quick **brown** fox *jumps* over `the lazy` dog _under_ snake_case [link](https://a.example/x) [1] a*b 2 * 3
    $5 and $x_1*y$ \\( a*b \\) &amp; <https://b.c> ~~gone~~ **open *op `tick < a<b | pipe (paren) ~ ~~ __ under__
    空が青いのは、太陽の光 हिन्दी में मात्राएँ தமிழ் বাংলা မြန်မာ 👩‍👩‍👧 ❤️ é สวัสดีชาวโลก 강조(強調) שלום مرحبا
    averyveryverylongwordthatmustbefoldedsomewhere \\\\ \\*""",
)


class Text:
    """Random Markdown, in any script."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)

    def words(self, most: int) -> str:
        return " ".join(self.random.choice(WORDS) for _ in range(self.random.randint(1, most)))

    def blocks(self, most: int, depth: int = 0) -> str:
        return "\n\n".join(self.block(depth) for _ in range(self.random.randint(1, most)))

    def block(self, depth: int) -> str:
        if depth < 3 and self.random.random() < 0.4:
            return self.nested(depth + 1)
        kinds = (self.paragraph, self.paragraph, self.heading, self.code, self.table, self.formula, self.rule)
        return self.random.choice(kinds)()

    def rule(self) -> str:
        return "---"

    def paragraph(self) -> str:
        return "\n".join(self.words(50) for _ in range(self.random.choice((1, 1, 3))))

    def heading(self) -> str:
        return f"{'#' * self.random.randint(1, 4)} {self.words(4)}"

    def code(self) -> str:
        lines = "\n".join(self.words(12) for _ in range(self.random.randint(1, 5)))
        return f"```{self.random.choice(('', 'python'))}\n{lines}\n```"

    def table(self) -> str:
        columns = self.random.randint(1, 4)
        rows = [[self.words(3).replace("|", "") for _ in range(columns)] for _ in range(self.random.randint(1, 25))]
        lines = [rows[0], [self.random.choice(("---", ":-:", "--:"))] * columns, *rows[1:]]
        return "\n".join(f"|{'|'.join(line)}|" for line in lines)

    def formula(self) -> str:
        return f"$$\n{self.words(5)}\n{self.words(5)}\n$$"

    def nested(self, depth: int) -> str:
        mark = self.random.choice(("> ", "- ", "1. "))
        indent = "> " if mark == "> " else " " * len(mark)
        items = range(self.random.randint(1, 3))
        return "\n".join(mark + self.blocks(2, depth).replace("\n", f"\n{indent}") for _ in items)

    def size(self) -> tuple[int, int]:
        wide, high = self.random.choice(((200, 60), (45, 9)))
        return self.random.randint(20, wide), self.random.randint(5, high)

    def pieces(self, text: str) -> Iterator[str]:
        at = 0
        while at < len(text):
            length = self.random.choice((1, 3, 10, 40))
            yield text[at : at + length]
            at += length


def seeds(count: int) -> list[int]:
    return [random.randrange(10**6) for _ in range(count)]


class Drawn:
    """A text on a terminal, each of its pieces drawn."""

    def __init__(self, size: tuple[int, int], spacing: int) -> None:
        self.terminal = Emulator(*size, spacing)
        self.terminal.feed("".join(f"{line}\n" for line in ABOVE))
        self.now = 0.0
        self.rendered = Rendered(self.size, lambda: self.now)

    def size(self) -> tuple[int, int]:
        return self.terminal.columns, self.terminal.lines

    def feed(self, piece: str) -> None:
        self.now += 1
        self.terminal.feed(self.rendered.feed(piece))

    def end(self) -> list[str]:
        self.terminal.feed(self.rendered.end())
        return self.terminal.rows


LOW = 10
"""Rows of a screen below which a table's heading, of several rows and inside of something else, may not be known for
one in time: a row of it then stands above the table as it was written. No word is lost."""


@pytest.mark.parametrize("spacing", [0, 1])
def test_cut_anywhere_it_ends_as_the_whole_does_and_no_row_of_the_scrollback_changes(spacing: int) -> None:
    for seed in [153757, *seeds(8)]:
        print("seed", seed)
        text = Text(seed)
        source, size = text.blocks(3)[:1500], text.size()
        whole, drawn = Drawn(size, spacing), Drawn(size, spacing)
        whole.feed(source)
        above: list[str] = []
        for piece in text.pieces(source):
            drawn.feed(piece)
            assert drawn.terminal.above[: len(above)] == above
            above = drawn.terminal.above
        rows, expected = drawn.end(), whole.end()
        if size[1] >= LOW:
            assert rows == expected
        else:
            assert set(" ".join(expected).split()) <= set(" ".join(rows).split())
        assert rows[:3] == ABOVE


KNOWN = [(251508, 0), (1181, 1), (1338, 0), (1407, 1), (300012, 0), (300358, 0)]
"""Seeds and spacings of texts that differ on a screen below that."""


@pytest.mark.parametrize(
    ("seed", "spacing"),
    [
        *((seed, seed % 2) for seed in range(1000, 1040)),
        *(pytest.param(*known, marks=pytest.mark.xfail(strict=True)) for known in KNOWN),
    ],
)
def test_cut_anywhere_it_ends_as_the_whole_does_on_a_low_screen(seed: int, spacing: int) -> None:
    text = Text(seed)
    source, size = text.blocks(3)[:1500], text.size()
    whole, drawn = Drawn(size, spacing), Drawn(size, spacing)
    whole.feed(source)
    for piece in text.pieces(source):
        drawn.feed(piece)
    assert drawn.end() == whole.end()


@pytest.mark.parametrize(
    "source",
    [
        "1. a\n1. |b|\n|-|-|\n|c|d|",
        "- a\n- |b|c|\n-|-|-|\n",
        "- a\n- - -\nb",
        " - a\n  - b\n   - c\n - d",
        "2) a\n3) b",
        "7.     a | b |\n   |---|:-:|\n c | d |\n",
        "-     a | b |\n  |---|\n",
        "- x\n-     a | b |\n  |---|---|\n",
    ],
)
def test_the_last_item_of_a_list_is_one(source: str) -> None:
    """Which by itself might be a table, whose first line it is."""
    whole, drawn = Drawn((40, 12), 0), Drawn((40, 12), 0)
    whole.feed(source)
    for character in source:
        drawn.feed(character)
    assert drawn.end() == whole.end()


def test_a_line_of_code_that_is_longer_than_the_screen_stands_once() -> None:
    source = "- - ---\n    " + "word " * 60 + "\n  -"
    whole, drawn = Drawn((24, 8), 0), Drawn((24, 8), 0)
    whole.feed(source)
    for begin in range(0, len(source), 3):
        drawn.feed(source[begin : begin + 3])
    assert drawn.end() == whole.end()


def test_everything_that_fits_is_seen_and_what_does_not_is_above_it() -> None:
    words = [f"w{number:03}" for number in range(200)]
    drawn = Drawn((40, 12), 0)
    for count, word in enumerate(words, 1):
        drawn.feed(f"{word} ")
        assert " ".join(drawn.terminal.rows[3:]).split() == words[:count]
        assert count < 80 or len([row for row in drawn.terminal.rows if row]) > 11


def test_an_asterisk_that_never_closes_holds_nothing_back_that_fits() -> None:
    drawn = Drawn((40, 24), 0)
    for number in range(100):
        drawn.feed(f"**w{number:02} ")
        assert len(re.findall(r"w\d\d", "".join(drawn.terminal.rows))) == number + 1


@pytest.mark.parametrize(
    "mark",
    ["**", "*", "_", "~~", "`", "```` ``", "[", "[a](", "$", "$$\n", r"\\(", "<https://a.example/", "- > **", "a | "],
)
def test_a_mark_that_is_open_for_longer_than_the_screen_is_high_hides_nothing(mark: str) -> None:
    """What has scrolled off is in the scrollback, once, and stays as it was; also when it is closed after all."""
    words, size = [f"w{number:03}" for number in range(160)], (40, 12)
    source = mark + " ".join(words) + f"{mark[::-1]} end"
    whole, drawn = Drawn(size, 0), Drawn(size, 0)
    whole.feed(source)
    above: list[str] = []
    come = ""
    for piece in re.findall(r"(?:\S+\s*){1,3}", source):
        drawn.feed(piece)
        come += piece
        assert re.findall(r"w\d\d\d", "".join(drawn.terminal.rows)) == re.findall(r"w\d\d\d", come)
        assert drawn.terminal.above[: len(above)] == above
        above = drawn.terminal.above
    assert drawn.end() == whole.end()


@pytest.mark.parametrize(("size", "cells"), [((80, 24), 760), ((40, 12), 140)])
def test_a_long_emphasis_is_one_and_is_seen_while_it_comes(size: tuple[int, int], cells: int) -> None:
    words = [f"w{number:03}" for number in range(cells // 5)]
    drawn = Drawn(size, 0)
    for count, word in enumerate(words):
        drawn.feed(f" {word}" if count else f"**{word}")
        assert re.findall(r"w\d\d\d", "".join(drawn.terminal.rows)) == words[: count + 1]
    drawn.feed("** end")
    assert "*" not in "".join(drawn.end())
    assert all(drawn.terminal.buffer[y][2].bold for y in range(3, min(len(drawn.terminal.rows), 12) - 1))


def test_of_short_lines_below_an_open_mark_all_are_seen() -> None:
    drawn = Drawn((40, 12), 0)
    for number in range(40):
        drawn.feed("**" * (not number) + f"w{number:03}\n")
        rows = "".join(drawn.terminal.rows)
        assert re.findall(r"w\d\d\d", rows) == [f"w{each:03}" for each in range(number + 1)]


def test_of_any_text_all_is_seen_that_has_come() -> None:
    """Whatever is open in it: but for tables, whose rows come whole."""
    for seed in seeds(4):
        print("seed", seed)
        text = Text(seed)
        source = _numbered(text, FORMS + OPENING)
        drawn = Drawn((text.random.randint(40, 120), text.random.randint(12, 40)), 0)
        come = ""
        for piece in text.pieces(source):
            drawn.feed(piece)
            come += piece
            said = re.findall(r"m\d\d\d", come)
            assert re.findall(r"m\d\d\d", "".join(drawn.terminal.rows)) == said
        drawn.end()


def test_a_table_that_narrows_leaves_nothing_behind() -> None:
    drawn = Drawn((30, 12), 0)
    drawn.feed("| a | **b |\n|---|---|\n| c | averyveryvery long cell `of")
    drawn.feed(" two` |\n\nend")
    assert drawn.end()[3:] == ["a  **b", "─" * 29, "c  averyveryvery long cell of", "   two", "", "end"]


FORMS = ("{}", "{}", "{}", "**{}**", "*{}*", "`{}`", "[{}](u)", "空{}。")

OPENING = ("{}", "{}", "{}", "{}", "**{}", "*{}", "`{}", "[{}", "[{}](", "${}", "~~{}", "{}**", "{}]", "<{}", "_{}")


def _numbered(text: Text, forms: Sequence[str] = FORMS) -> str:
    """Blocks whose every word is another."""
    count = iter(range(1000))

    def word() -> str:
        return text.random.choice(forms).format(f"m{next(count):03}")

    def words(most: int) -> str:
        return " ".join(word() for _ in range(text.random.randint(1, most)))

    def rows() -> str:
        return "\n".join(f"| {word()} | {word()} |" for _ in range(text.random.randint(1, 25)))

    kinds = (
        lambda: words(60),
        lambda: words(60),
        lambda: f"- {words(20)}\n- {words(30)}",
        lambda: f"```\n{words(10)}\n{words(30)}\n```",
        lambda: f"| a | b |\n|---|---|\n{rows()}",
        lambda: f"> {words(40)}",
    )
    return "\n\n".join(text.random.choice(kinds)() for _ in range(text.random.randint(1, 5)))


def test_resized_at_any_moment_no_word_is_missing_or_there_twice() -> None:
    for seed in [712028, *seeds(40)]:
        print("seed", seed)
        text = Text(seed)
        source = _numbered(text)
        terminal = Reflowing(text.random.randint(24, 200), text.random.randint(5, 60))
        now = itertools.count(0, 0.05)
        rendered = Rendered(partial(getattr, terminal, "size"), partial(next, now))
        for piece in text.pieces(source):
            terminal.feed(rendered.feed(piece))
            if text.random.random() < 0.08:
                terminal.columns, terminal.height = text.random.randint(24, 200), text.random.randint(5, 60)
        terminal.feed(rendered.end())
        assert re.findall(r"m\d\d\d", "".join(terminal.lines)) == re.findall(r"m\d\d\d", source)


def test_on_a_terminal_that_cuts_its_rows_nothing_above_is_touched_and_what_is_open_is_whole() -> None:
    for seed in [2373, 2487, *seeds(30)]:
        print("seed", seed)
        text = Text(seed)
        words = [f"m{number:03}" for number in range(text.random.randint(30, 70))]
        source = "\n\n".join(" ".join(words[at : at + 2]) for at in range(0, 8, 2)) + f"\n\n**{' '.join(words[8:])}"
        terminal, now = Cutting(80, 24), itertools.count()
        rendered = Rendered(lambda: (terminal.columns, 24), lambda: next(now) // 2, reflows=False)  # noqa: B023
        for piece in text.pieces(source):
            terminal.feed(rendered.feed(piece))
            if text.random.random() < 0.15:
                terminal.widen(text.random.choice((80, 60, 40)))
                terminal.feed(rendered.hide() if text.random.random() < 0.2 else rendered.draw())
        terminal.feed(rendered.end())
        assert re.findall(r"m\d\d\d", "\n".join(terminal.rows)) == words


@pytest.mark.parametrize(
    ("environ", "does"),
    [
        ({"TERM": "xterm-256color"}, True),
        ({"TERM": "linux"}, False),
        ({"TERM": "xterm-256color", "XTERM_VERSION": "XTerm(379)"}, False),
        ({"TERM": "tmux-256color", "XTERM_VERSION": "XTerm(379)", "TMUX": "/tmp/tmux-0/default,1,0"}, True),
        ({"TERM": "xterm-256color", "XTERM_VERSION": "XTerm(379)", "VTE_VERSION": "7006"}, True),
        ({"TERM": "screen", "STY": "1.pts-0.host"}, False),
    ],
)
def test_which_terminals_wrap_their_rows_again(environ: dict[str, str], does: bool) -> None:
    assert reflows(environ) == does


@needs("tmux")
@pytest.mark.parametrize("seed", [251, 1030, 510605, None])
def test_resized_in_tmux_no_word_is_missing_or_there_twice(folder: Path, seed: int | None) -> None:
    """Its own screen wraps rows again, and moves them into its history and out of it, be there room below or not."""
    tmux = ["tmux", "-S", str(folder / "tmux"), "-f", "/dev/null"]

    def said(*words: str) -> str:
        return subprocess.run([*tmux, *words], check=True, capture_output=True, encoding="utf-8").stdout

    def seen() -> list[str]:
        return re.findall(r"m\d\d\d", said("capture-pane", "-p", "-S", "-").replace("\n", ""))

    seed = random.randrange(10**6) if seed is None else seed
    print("seed", seed)
    text, size, now = Text(seed), (80, 24), itertools.count(0, 0.1)
    said("new-session", "-d", "-x", "80", "-y", "24", "sleep 600")
    try:
        with open(said("display", "-p", "#{pane_tty}").strip(), "w", encoding="utf-8") as tty:
            source = _numbered(text)
            rendered = Rendered(lambda: size, partial(next, now))
            for piece in [*text.pieces(source), ""]:
                tty.write(shown := rendered.feed(piece) if piece else rendered.end())
                tty.flush()
                if text.random.random() < 0.1 and (last := re.findall(r"m\d\d\d", shown)):
                    until(lambda: last[-1] in seen())
                    size = text.random.choice(((80, 24), (40, 12), (60, 8), (120, 40)))
                    said("resize-window", "-x", str(size[0]), "-y", str(size[1]))
            wanted = re.findall(r"m\d\d\d", source)
            until(lambda: wanted[-1] in seen())
            assert seen() == wanted
    finally:
        said("kill-server")


def test_what_is_there_already_gets_the_same_rows() -> None:
    """Cut anywhere, by `cat --render`; and in a pipe the same without colours."""
    for seed in seeds(8):
        print("seed", seed)
        text = Text(seed)
        source, size = text.blocks(4)[:3000], text.size()
        drawn = Drawn(size, 0)
        drawn.feed(source)
        formatters = [WholeMarkdown(drawn.size, color=color) for color in (True, False)]
        rows, plain = ("".join([*map(each.feed, text.pieces(source)), each.end()]) for each in formatters)
        terminal = Emulator(*size)
        terminal.feed("".join(f"{line}\n" for line in ABOVE) + rows)
        assert terminal.rows == drawn.end()
        assert plain == re.sub(r"\x1b\[[\d;]*m", "", rows)
