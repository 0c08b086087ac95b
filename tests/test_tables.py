"""Tables on a terminal, and headings: whole while they come, however tall, and readable, however narrow it is."""

from __future__ import annotations

import itertools
import random
import re
import unicodedata
from collections.abc import Iterator, Sequence
from functools import partial

import pytest

from ptstream.cli.markdown import Rendered
from ptstream.cli.wrapping import most_cells
from tests.emulator import Reflowing
from tests.test_drawing import Drawn, seeds

WORDS = re.findall(
    r"\S+",
    """the quick fox id naïve données 名前 太陽の光 空気 השם שלום الاسم مرحبا विवरण मात्राएँ பெயர் имя описание 이름 설명
    snake_case_name --an-option **bold** `code` [a](b) application/json 2026-11-30T08:00:00Z
    https://example.com/a/path?with=a&query=1#and-more""",
)

PLAIN = [word for word in WORDS if not any(unicodedata.category(each)[0] == "M" for each in word)]
"""Those of which all terminals agree how wide they are."""

SIZES = ((80, 24), (40, 12))


def numbered(text: random.Random, among: Sequence[str], words: int, first: int) -> Iterator[str]:
    """So many words, each with a number of its own."""
    for number in range(first, first + words):
        yield f"{text.choice(among)} m{number:04}" if text.random() < 0.3 else f"m{number:04}"


def table(text: random.Random, columns: int, rows: int, tall: float, among: Sequence[str] = WORDS) -> str:
    """A table some of whose cells may be taller than a screen, its last row without an end."""
    count, lines = 0, []
    lines.append(f"|{'|'.join(text.choice(among) for _ in range(columns))}|")
    for _ in range(rows):
        cells = []
        for _ in range(columns):
            words = text.randint(60, 200) if text.random() < tall else text.randint(1, 6)
            cells.append(" ".join(numbered(text, among, words, count)))
            count += words
        lines.append(f"| {' | '.join(cells)}{text.choice((' |', ''))}")
    return "\n".join([lines[0], "|" + "---|" * columns, *lines[1:]])


def words_of(text: str) -> list[str]:
    return re.findall(r"m\d{4}", text)


def check_all_is_seen(source: str, size: tuple[int, int], length: int) -> None:
    """While it comes: what fits on the screen, what scrolled off above it, once; at last what comes of the whole."""
    whole, drawn = Drawn(size, 0), Drawn(size, 0)
    whole.feed(source)
    above: list[str] = []
    for begin in range(0, len(source), length):
        drawn.feed(source[begin : begin + length])
        assert sorted(words_of("\n".join(drawn.terminal.rows))) == sorted(words_of(source[: begin + length]))
        assert drawn.terminal.above[: len(above)] == above
        above = drawn.terminal.above
    assert drawn.end() == whole.end()


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize(
    "source",
    [
        "# {}",
        "- ## {}\n\nend",
        "| a | b |\n|---|---|\n| {} | c |",
        "| a | b |\n|---|---|\n| c | {} |\n| d | e |",
        "| a | b |\n|---|---|\n" + "| c | d |\n" * 12 + "| c | **e** {} |\n| d | e |",
        "> | a |\n> |---|\n> | {}",
        "- | a | b |\n  |---|---|\n  | c | {}",
    ],
)
def test_what_is_taller_than_the_screen_is_seen_while_it_comes(source: str, size: tuple[int, int]) -> None:
    words = " ".join(f"m{number:04}" for number in range(size[0] * size[1] // 6 + 20))
    check_all_is_seen(source.replace("{}", words), size, 13)


@pytest.mark.parametrize("seed", [None] * 3)
def test_of_any_table_all_is_seen_that_has_come(seed: int | None) -> None:
    [seed] = [seed] if seed is not None else seeds(1)
    print("seed", seed)
    text = random.Random(seed)
    size = text.randint(40, 120), text.randint(12, 40)
    source = table(text, text.randint(1, 5), text.randint(1, 12), text.choice((0, 0.1)))
    check_all_is_seen(source, size, text.choice((11, 40)))


@pytest.mark.parametrize(
    ("source", "rows"),
    [
        (
            "| alphabetical | betabetical | gammabetical |\n|---|---|---|",
            ["alphabetical", "betabetical", "gammabetical"],
        ),
        ("| a | b |\n|---|---|\n| x | y |\n|| y |", ["a  b", "─" * 4, "x  y", "   y"]),
        (
            "- | a | |\n  |---|---|\n  | averyveryverylongword | anotherverylongword |",
            [
                " • a: averyveryverylongword",
                "   anotherverylongword",
            ],
        ),
        (
            "| a | b |\n|---|---|\n| x | y |\n| z | alphabetical-omega |\n| x | y |",
            [
                "a  b",
                "─" * 21,
                "x  y",
                "z  alphabetical-omega",
                "x  y",
            ],
        ),
    ],
)
def test_how_a_table_looks(source: str, rows: list[str]) -> None:
    drawn = Drawn((30, 24), 0)
    drawn.feed(source)
    assert drawn.end()[3:] == rows


def test_resized_at_any_moment_no_word_of_a_table_is_missing_or_there_twice() -> None:
    """But one may be cut in two that was being written: in a cell that ends above the end of its row."""
    for seed in seeds(6):
        print("seed", seed)
        text = random.Random(seed)
        source = table(text, text.randint(1, 5), text.randint(1, 8), text.choice((0, 0.1)), PLAIN)
        terminal = Reflowing(text.randint(24, 200), text.randint(5, 60))
        rendered = Rendered(partial(getattr, terminal, "size"), partial(next, itertools.count(0, 0.05)))
        for begin in range(0, len(source), 10):
            terminal.feed(rendered.feed(source[begin : begin + 10]))
            if text.random() < 0.08:
                terminal.columns, terminal.height = text.randint(24, 200), text.randint(5, 60)
        terminal.feed(rendered.end())
        shown = words_of("\n".join(terminal.lines))
        assert sorted(set(shown)) == sorted(shown)
        assert len(set(words_of(source)) - set(shown)) <= 1


@pytest.mark.parametrize(
    ("columns", "size"), [(8, (80, 24)), (4, (40, 12)), (3, (40, 12)), (6, (80, 24)), (2, (24, 8))]
)
def test_no_word_is_broken_that_fits_into_a_row(columns: int, size: tuple[int, int]) -> None:
    for seed in seeds(2):
        print("seed", seed)
        text = random.Random(seed)
        rows = [[" ".join(text.choice(WORDS) for _ in range(3)) for _ in range(columns)] for _ in range(6)]
        # Short: a heading that is taller than the screen is a paragraph before the line below it makes it one.
        headings = [f"h{number}" for number in range(columns)]
        source = "\n".join(f"|{'|'.join(row)}|" for row in [headings, ["---"] * columns, *rows])
        drawn = Drawn(size, 0)
        drawn.feed(source)
        shown = "\n".join(drawn.end())
        for word in {re.sub(r"[*`]", "", word) for row in rows for cell in row for word in cell.split()}:
            if word.isascii() and "](" not in word and most_cells(word) < size[0]:
                assert word in shown
