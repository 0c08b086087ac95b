"""The cutter: nothing is lost, nothing is cut that belongs together, and the work does not grow with what waits."""

from __future__ import annotations

from collections.abc import Callable
from itertools import accumulate, pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st
from wcwidth import iter_graphemes

from ptstream.sentences import Cutter
from ptstream.sentences.boundaries import LONGEST_WORD
from ptstream.sentences.languages import identify
from ptstream.sentences.scanner import SentenceScanner
from ptstream.sentences.segmenter import sentencex
from ptstream.streams import Flush
from tests.bench.cases import MARK, Case, development, held_out, kinds_development, kinds_held_out
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
    "2 of ",
    "Nr. 5 ",
    "– Yes. ",
    "2) ",
    "• ",
    ":) ",
    "iOS ",
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
    one, other = SentenceScanner(), SentenceScanner()
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
        "See No. 5, Fig. 3, p. 12, vol. 2 and Art. 5 of it",
        "Siehe Nr. 7, Abs. 2, Abb. 3, Bd. 4, S. 12 und Hauptstr. 5 dort",
        "См. рис. 3, табл. 2, ст. 5 и кв. 12",
        "Zob. rozdz. 3, str. 12, art. 5 i pkt 2",
        "Ks. luku 3, s. 12 ja nro 5",
        "El art. 5, la pág. 12, el núm. 3 y el cap. 4",
        "Il en a p. 12, chap. 3, art. 5 et fig. 2",
        "On 3. 4. 1999 and 1. 5. it was so",
        "“Why?” – he asked",
        "— Стой! — крикнул он",
        "1. Take 2) of them",
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


@pytest.mark.parametrize(
    "marked",
    [
        "It has three parts. ‖3 of them are old. ‖500 g of it are new. ‖$20 is left. ‖9/11 changed all. ‖Why",
        "Er kam 1990. ‖20 Jahre später ging er. ‖Das war am 3. Oktober. ‖5 Leute blieben. ‖Ja",
        "Ma 2 dzieci. ‖1 jest chore. ‖В доме 3 этажа. ‖2 из них пусты. ‖Да",
        "للبيت 3 طوابق. ‖2 منها فارغان. ‖نعم",
        "이 집은 3층입니다. ‖2층은 비어 있습니다. ‖네",
        "यह एक है। ‖2 खाली हैं। ‖हाँ",
        "这座楼有3层。‖2层是空的。‖好",
        "Vorteile: 1. Es ist billig. ‖2. Es ist schnell. ‖3. Es ist klein. ‖Gut",
        "a) Open it. ‖b) Read it. ‖c) Close it",
        "1.) The first ‖2.) The second ‖3.) The third",
        "• One thing ‖• another thing ‖• the last",
        "– Kommst du? ‖– Nein. ‖– Warum? ‖– Darum",
        "- Jest? ‖- Jest. ‖- Dobrze",
        "It runs iOS. ‖iPads do, too. ‖Use `a.b()`. ‖`c()` is old",
        "我不去.‖好吧!‖为什么?‖算了",
        "“我不知道。”他说。‖“是我。”‖这是真的。‖好",
        '그가 외쳤다. ‖"누구야?" 그가 물었다. ‖"나야." ‖사실이었다. ‖네',
        "I like it :) ‖Me too! ;-) ‖It rains. :( ‖We go. ‖Good",
        "La casa es de 1600 a. C. ‖La otra no. ‖Así",
        "He lives in the U.S. ‖They went to the U.S. Army",
        "It's fine. ‖Nobody said I can't. ‖The dogs' bowls are the cat's. ‖Ja",
        "तिला 2 मुले आहेत. ‖1 आजारी आहे. ‖श्री. पाटील",
    ],
)
@pytest.mark.parametrize("size", [1, 3])
def test_what_begins_a_sentence_that_is_no_capital_letter(marked: str, size: int) -> None:
    assert _cuts(marked.replace(MARK, ""), size) == marked.split(MARK)


def _cuts(text: str, size: int) -> list[str]:
    """`text` as the scanner cuts it, each boundary for itself."""
    scanner, found = SentenceScanner(), {0}
    for at in range(0, len(text), size):
        for character in text[at : at + size]:
            scanner.push(character)
            found.add(scanner.boundary)
    borders = [*sorted(found), len(text)]
    return [text[begin:end] for begin, end in pairwise(borders)]


def test_a_numbered_list_goes_item_by_item() -> None:
    cutter = Cutter(Flush.SENTENCES)
    items = ["1. Open the file.\n", "2. Press Enter\n", "10. Wait 5 sec. or more\n", "- 2 of them\n", "(3) Done!\n"]
    for item in items:
        cutter.push(item, 0.0)
        assert cutter.take(0.0) == item


def test_a_list_numbered_in_full_width_goes_item_by_item() -> None:
    text = "１．混ぜる\n２．加える\n３．焼く\n"
    assert _cuts(text, 1) == text.splitlines(keepends=True)


def test_a_long_item_is_cut_like_a_paragraph() -> None:
    long = "1. This item goes on for so long that it is a paragraph, with sentences. ‖It has a second one. ‖And"
    assert _cuts(long.replace(MARK, ""), 3) == long.split(MARK)


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

        scanner = SentenceScanner(counting)
        for character in run * (size // len(run)):
            scanner.push(character)
        return handed

    assert work(16000) <= 4.5 * work(4000) + 1000


# How well


def test_a_language_is_told_by_a_sentence() -> None:
    told = {case.language: identify(case.text) for case in development()}
    assert told == {language: language for language in told}


def test_a_language_is_told_by_a_few_words() -> None:
    told = [(case.language, identify(case.text)) for case in kinds_development()]
    assert sum(language == found for language, found in told) >= 0.9 * len(told)


@pytest.mark.parametrize(("cases", "least"), [(held_out, 0.95), (kinds_held_out, 0.93)])
def test_flushes_are_right_and_complete(cases: Callable[[], list[Case]], least: float) -> None:
    assert min(score(ours, cases())) >= least


@pytest.mark.parametrize("cases", [development, kinds_development])
def test_better_than_the_segmenter_alone(cases: Callable[[], list[Case]]) -> None:
    told = score(segmenter(None, lookahead=True), cases())
    assert all(mine > its for mine, its in zip(score(WAYS["ptstream, told nothing"], cases()), told, strict=True))
