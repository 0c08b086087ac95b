"""The cutter: nothing is lost, nothing is cut that belongs together, and the work does not grow with what waits."""

from __future__ import annotations

from itertools import accumulate

import pytest
from hypothesis import given
from hypothesis import strategies as st
from wcwidth import iter_graphemes

from ptstream.languages import guess
from ptstream.sentences import LONGEST_WORD, Cutter, Sentences
from ptstream.stops import sentencex
from ptstream.streams import Flush
from tests.bench.cases import MARK, development, held_out
from tests.bench.sentences import WAYS, ours, score, segmenter

NEVER = 1e9
"""Seconds; bytes."""

RUNS = [
    "Hello there. ",
    "Dr. Smith paid 3.14 at https://a.b/c. ",
    "Wait... what? ",
    "你好。世界！",
    "「はい。」と言った。",
    "यह एक है। क्षत्रिय ",
    "كيف حالك؟ ",
    "กำลัง ครับ ",
    "👨‍👩‍👧‍👦 ",
    "🇩🇪🇫🇷🇩",
    "👍🏽! ",
    "e\u0301\u0323. ",
    "각각",
    "\u0600\u0661 ",
    "\u200d",
    "\ufe0f",
    " \u0301",
    "\r\n",
    "\n\n",
    "\r",
    "```\n",
    "~~~\n",
    "| a. B | c |\n",
    "- x. Y\n",
    "1. ",
    "« Oui. » ",
    "„Ja.“ ",
    '"No." ',
    "(A. B.) ",
    "[1] ",
    "`a. B` ",
    "\0",
    "\ufeff",
]

texts = st.lists(st.one_of(st.sampled_from(RUNS), st.text(max_size=8))).map("".join)
"""Any text, most of it such as is easily cut in the wrong place."""


@st.composite
def in_pieces(draw: st.DrawFn, text: st.SearchStrategy[str] = texts, largest: int = 30) -> list[str]:
    """A text cut anywhere into pieces."""
    whole = draw(text)
    pieces = []
    while whole:
        size = draw(st.integers(1, largest))
        pieces.append(whole[:size])
        whole = whole[size:]
    return pieces


rules = st.sampled_from(Flush)


def chunks(cutter: Cutter, pieces: list[str]) -> list[str]:
    """What the cutter gives when it is asked after each piece, its clock stopped; the last one is the rest."""
    out = []
    for piece in pieces:
        cutter.push(piece, 0.0)
        out.append(cutter.take(0.0))
    return [*filter(None, out), cutter.rest()]


def cut(text: str, size: int = 3, rule: Flush = Flush.SENTENCES) -> list[str]:
    """`text` as it is flushed when it comes in pieces of `size` characters."""
    pieces = [text[at : at + size] for at in range(0, len(text), size)]
    return chunks(Cutter(rule), pieces)


# Nothing is lost


@given(in_pieces(), rules, st.lists(st.floats(0, 8)), st.integers(1, 60))
def test_all_that_was_pushed_comes_out_in_order(
    pieces: list[str], rule: Flush, pauses: list[float], max_bytes: int
) -> None:
    cutter = Cutter(rule, max_bytes=max_bytes)
    now, out = 0.0, ""
    for index, piece in enumerate(pieces):
        now += pauses[index % len(pauses)] if pauses else 0.0
        cutter.push(piece, now)
        out += cutter.take(now)
        assert cutter.pending == len("".join(pieces[: index + 1]).encode()) - len(out.encode())
    out += cutter.rest()
    assert out == "".join(pieces)
    assert cutter.pending == 0
    assert cutter.rest() == cutter.take(NEVER) == ""


def test_an_empty_piece_is_nothing() -> None:
    cutter = Cutter(Flush.SENTENCES)
    cutter.push("", 0.0)
    assert cutter.take(NEVER) == cutter.rest() == ""
    assert cutter.deadline() is None


# Nothing is cut that belongs together


@given(in_pieces(), rules, st.floats(0, 6))
def test_a_flush_by_choice_never_splits_a_grapheme_cluster(pieces: list[str], rule: Flush, pause: float) -> None:
    cutter = Cutter(rule, max_bytes=int(NEVER))
    ends, at = [], 0
    for index, piece in enumerate(pieces):
        cutter.push(piece, index * pause)
        at += len(cutter.take(index * pause))
        ends.append(at)
    borders = {0, *accumulate(map(len, iter_graphemes("".join(pieces))))}
    assert set(ends) <= borders


@given(in_pieces(), st.integers(1, 40))
def test_a_cap_splits_a_cluster_only_if_there_is_no_border(pieces: list[str], max_bytes: int) -> None:
    text = "".join(pieces)
    borders = {0, *accumulate(map(len, iter_graphemes(text)))}
    cutter, at, pushed = Cutter(Flush.SENTENCES, max_bytes=max_bytes), 0, 0
    for piece in pieces:
        cutter.push(piece, 0.0)
        pushed += len(piece)
        begin, at = at, at + len(cutter.take(0.0))
        assert cutter.pending <= max_bytes
        if begin in borders and at not in borders:
            assert at == pushed


@given(in_pieces())
def test_where_it_is_cut_does_not_depend_on_the_pieces(pieces: list[str]) -> None:
    text = "".join(pieces)
    by_character = set(accumulate(map(len, chunks(Cutter(Flush.SENTENCES), list(text)))))
    by_piece = [*accumulate(map(len, chunks(Cutter(Flush.SENTENCES), pieces)))]
    assert set(by_piece) <= by_character
    one, other = Sentences(), Sentences()
    one.push(text)
    for piece in pieces:
        other.push(piece)
    assert one.boundary == other.boundary


@pytest.mark.parametrize(
    "text",
    [
        "It is 3.14 m and 1.000,50 euros wide",
        "Use it, e.g. Python, i.e. not C, etc. and so on",
        "Ask Dr. Smith, Prof. Jones and Mrs. Miller",
        "J. R. R. Tolkien and A. A. Milne",
        "See https://a.b/c.d?e=f. for this, or www.a.b. or a@b.c. and so on",
        "Well... perhaps it is… not so",
        "Am 3. Oktober und im 19. Jahrhundert",
        "Das ist z. B. Gold, d. h. ca. Mitte Mai",
        "M. Dupont et Mme. Durand, av. Foch, n. 5",
        "В 6 г. до н. э. жил И. И. Иванов на ул. Мира",
        "Mieszka przy ul. Długiej, tj. blisko, np. Anna",
        "डॉ. शर्मा और प्रो. गुप्ता",
        "د. أحمد هنا",
        "ดร. สมชาย อยู่ที่ อ. เมือง",
        "ዶ. አበበ",
        "圆周率约为3.14或３．１４",
        '他说"我不知道。"然后走了',
        "「はい。」と言った",
        "“我不知道。”他说",
        '"Who is it?" he asked',
        "He (see Fig. 3. Then 4.) left",
        "He said: “Go. Now. Please",
        "Call `a.b. C` or",
        "Yahoo! and Jeopardy! are",
        "Was it on Yahoo! Answers",
        "Q. What is it",
        "Step 1. Open the lid",
        "| Dr. | A. B. | C! D? |",
        "# 1. What. Is! This",
        "3. Do this. Then that",
        "- Do this. Then that",
    ],
)
@pytest.mark.parametrize("size", [1, 2, 5, 100])
def test_never_cut(text: str, size: int) -> None:
    assert cut(text + " x", size) == [text + " x"]


@pytest.mark.parametrize(
    "marked",
    [
        "One sentence. ‖Another one! ‖Is it? ‖Yes",
        "She left. ‖“Why?” ‖Nobody knew. ‖«Oui.» ‖Well",
        "Sure! 😊 ‖Here is 👍🏽. ‖Good",
        "He was here.[1][2] ‖Then he left. [3] ‖Good",
        "**Bold.** ‖*Slanted.* ‖Good",
        "Das war 1990. ‖Dann kam er",
        "« Non ! » ‖Il vient. ‖Bien",
        "Τι κάνεις; ‖Καλά; ‖Ναι",
        "Բարև։ ‖Լավ: ‖Ոչ",
        "你好。‖世界！‖真的吗？！‖他说：“不。”‖好",
        "नमस्ते! ‖यह है। ‖वह है॥ ‖हाँ",
        "مرحبا. ‖كيف حالك؟ ‖بخير۔ ‖نعم",
        "ሰላም። ‖እንዴት",
        "သည်။ ‖ဟုတ်",
        "សួស្តី។ ‖តើ",
        "สวัสดีครับ ‖ขอบคุณค่ะ ‖ดี",
        "안녕하세요. ‖오늘",
        "გამარჯობა. ‖კარგად",
        "First line.\n‖Second",
        "Title\n‖\nText. ‖More",
        "A line that somebody wrapped because it was far too long for\nhim. ‖Then",
        "Roses are red\n‖Violets are blue\n‖\nSo",
        "```python\n‖a. B\n‖\nc\n‖```\n‖After. ‖It",
        "~~~\n‖```\n‖a. B\n‖~~~\n‖After. ‖It",
        "| a. B | c |\n‖| - | - |\n‖After. ‖It",
        "1. Do it. Now.\n‖2. Or not\n‖* Or so. Fine\n‖So. ‖It",
        "# 1. A. B\n‖So. ‖It",
        "Line one.\r\n‖Line two.\r\n‖x",
    ],
)
def test_cut_where_marked(marked: str) -> None:
    assert cut(marked.replace(MARK, ""), 1) == marked.split(MARK)


# Time and size


def test_text_that_has_waited_is_cut_at_a_word() -> None:
    cutter = Cutter(Flush.SENTENCES, max_delay=10.0)
    cutter.push("so it goes on and o", 1.0)
    assert cutter.take(10.9) == ""
    assert cutter.deadline() == 11.0
    assert cutter.take(11.0) == "so it goes on and "
    assert cutter.deadline() is None, "a word may go on for ever"
    cutter.push("n again", 12.0)
    assert cutter.deadline() == 11.0, "its first letter has waited since"
    assert cutter.take(12.0) == "on "


def test_a_sentence_leaves_and_the_rest_waits_for_its_own_time() -> None:
    cutter = Cutter(Flush.SENTENCES, max_delay=10.0)
    cutter.push("One. ", 0.0)
    cutter.push("Two is ", 5.0)
    assert cutter.deadline() == 0.0
    assert cutter.take(5.0) == "One. "
    assert cutter.deadline() == 15.0


@pytest.mark.parametrize(("text", "taken"), [("ไปที่นั่น", 8), ("今日は雨が降", 5), ("x" * (LONGEST_WORD + 9), None)])
def test_text_without_spaces_has_waited(text: str, taken: int | None) -> None:
    cutter = Cutter(Flush.SENTENCES)
    cutter.push(text, 0.0)
    assert len(cutter.take(10.0)) == (len(text) - 1 if taken is None else taken)


@given(in_pieces(), rules, st.floats(0, 6))
def test_a_deadline_is_kept_and_never_past(pieces: list[str], rule: Flush, pause: float) -> None:
    cutter, now = Cutter(rule), 0.0
    for piece in pieces:
        cutter.push(piece, now)
        due = cutter.deadline()
        ready = cutter.take(now)
        assert (due is not None and due <= now) == bool(ready)
        due = cutter.deadline()
        assert due is None or due > now
        now += pause
        if due is not None and due <= now:
            assert cutter.take(due)


def test_a_cap_cuts_at_a_word_else_at_a_character() -> None:
    cutter = Cutter(Flush.SENTENCES, max_bytes=10)
    cutter.push("some words go", 0.0)
    assert cutter.deadline() == 0.0
    assert cutter.take(0.0) == "some words "
    cutter.push("x" * 20, 0.0)
    assert cutter.take(0.0) == "go" + "x" * 19
    cutter.push(huge := "e" + "\u0301" * 20, 0.0)
    assert cutter.take(0.0) == "x" + huge, "no border at all"


# Lines


@given(in_pieces())
def test_lines_are_cut_behind_their_last_line_feed(pieces: list[str]) -> None:
    cutter, seen = Cutter(Flush.LINES, max_bytes=int(NEVER)), ""
    for piece in pieces:
        seen += piece
        cutter.push(piece, 0.0)
        assert cutter.take(0.0) == seen[: seen.rfind("\n") + 1]
        seen = seen[seen.rfind("\n") + 1 :]


def test_lines_know_no_sentences() -> None:
    assert cut("One. Two.\r\nThree. Four", 1, Flush.LINES) == ["One. Two.\r\n", "Three. Four"]


# Work


@pytest.mark.parametrize(
    "run", [". A", "a. B", "A. ", ".", "! ", "x", "x ", "\n", "(A. ", "1. ", "。", "```\n", "3.14"]
)
def test_the_work_grows_with_the_text_alone(run: str) -> None:
    def work(size: int) -> int:
        handed = 0

        def counting(language: str, text: str) -> list[int]:
            nonlocal handed
            handed += len(text)
            return sentencex(language, text)

        scanner = Sentences(counting)
        for character in run * (size // len(run)):
            scanner.push(character)
        return handed

    assert work(16000) <= 4.5 * work(4000) + 1000


# How well


def test_a_language_is_told_by_a_sentence() -> None:
    told = {case.language: guess(case.text) for case in development()}
    assert told == {language: language for language in told}


def test_flushes_are_right_and_complete() -> None:
    precision, recall = score(ours, held_out())
    assert precision >= 0.95
    assert recall >= 0.95


def test_better_than_the_segmenter_alone() -> None:
    told = score(segmenter(None, lookahead=True), development())
    assert all(mine > its for mine, its in zip(score(WAYS["ptstream, told nothing"], development()), told, strict=True))
