"""Does a sentence end at this candidate?

The terminator decides by which rules: those of quotes and pairs here, those of the full stop in `full_stops`.

`sentencex` knows the abbreviations of some thirty languages, and is asked. The rules are for what it does not know:
that the next word may not be whole yet, which language it is, terminators and abbreviations in the scripts and
languages that it takes for English, that a sentence may begin with a number, a dash or a list's label, and that it
does not end inside brackets, quotes or code.

An answer must be certain: a sentence taken for two is worse than two taken for one.
"""

from __future__ import annotations

import re

from ptstream.sentences.abbreviations import REPORTING
from ptstream.sentences.candidate import Candidate
from ptstream.sentences.full_stops import ends_at_full_stop
from ptstream.sentences.languages import FALLBACK
from ptstream.sentences.quotes import CLOSERS, MEMORY, OPENERS, OPENING_QUOTES, is_open_at_end
from ptstream.sentences.segmenter import Segmenter, agrees
from ptstream.sentences.terminators import EMOTICON, TERMINATORS

_CONTINUING = "-–—−/,;:.!?…)]}&=+%"
_GREEK = re.compile(r"[\u0370-\u03ff\u1f00-\u1fff][»)\"]*\Z")
_ARMENIAN = re.compile(r"[\u0530-\u058f][»)\"]*\Z")
_GEORGIAN = re.compile("[\u10a0-\u10ff]")
_DIALOGUE_DASH = re.compile(r"[-–—―]+[ \xa0]*")
"""How one begins to speak in a dialogue: `– Yes.`"""

_LIST_LABEL = re.compile(r"[a-z]{1,4}\)+\s")
_CAMEL = re.compile("[a-z]{1,5}[A-Z]")
_MAY_BECOME = re.compile(r"[a-z]{1,5}\)*")
"""What a small letter begins that may begin a sentence all the same: `b)`, `iOS`; and what may still become that."""

_EMOTICON = re.compile(EMOTICON)

_LONGEST_CLAUSE = 24
_CLAUSE = re.compile(rf"[^\n:{TERMINATORS.replace(';:', '')}]{{0,{_LONGEST_CLAUSE}}}")
_REPORTING = re.compile(REPORTING)


def ends_sentence(text: str, at: int, begin: int, earlier: str, segmenter: Segmenter) -> bool | None:
    """Whether a sentence ends with the terminator at index `at` of `text`, so that the next begins at `begin`.

    None: undecided before more of what follows is known. The text before is `earlier`, which shows the language.
    """
    following = _beginning(text, at, begin)
    if not following:
        return None if following is None else False
    verdict = _judge(text, at, begin, Candidate(text[:at], text[at], following, earlier), segmenter)
    return verdict and not is_open_at_end(text[:begin])


def _judge(text: str, at: int, begin: int, candidate: Candidate, segmenter: Segmenter) -> bool | None:
    """As `ends_sentence`, brackets and quotes that are still open left out."""
    first = candidate.following[0]
    if candidate.terminator in ";:\u037e":
        if _EMOTICON.match(text, at) and text[:at][-1:].isspace():
            return first.isupper()
        return bool((_ARMENIAN if candidate.terminator == ":" else _GREEK).search(candidate.near()))
    if candidate.terminator == "．" and first.isdigit():
        return False
    if not _is_cased(first) and (quote := next((char for char in text[at:begin] if char in OPENING_QUOTES), "")):
        return _ends_quoted(candidate, quote)
    return _judge_by_terminator(candidate, text[at : at + 2] == "..", segmenter)


def _judge_by_terminator(candidate: Candidate, dots: bool, segmenter: Segmenter) -> bool | None:
    first = candidate.following[0]
    if candidate.terminator in "…‥" or dots:
        return not first.isdigit()
    if candidate.terminator == "!" and first.isupper():
        return agrees(FALLBACK, candidate, first, segmenter)  # not so behind a name like Yahoo!
    return ends_at_full_stop(candidate, segmenter) if candidate.terminator == "." else True


def _beginning(text: str, at: int, begin: int) -> str | None:
    """What may be the next sentence, from its first letter or number on; empty if it goes on with the same one.

    None: undecided yet. What begins a sentence without a capital (`iOS`, code, a list's next label) is given
    as if it had one.
    """
    dash = _DIALOGUE_DASH.match(text, begin)
    following = text[dash.end() if dash else begin :]
    word = following.lstrip(OPENERS)
    if not word:
        return None
    if dash and (not word[0].isupper() or any(char in CLOSERS for char in text[at:begin])):
        return ""  # “Why?” – he asked
    if word[0].islower() and not _GEORGIAN.match(word):
        return _uncapitalized(word, following[: len(following) - len(word)])
    if word[0] in ":;" and len(word) < 3:
        return None  # perhaps an emoticon
    return "" if word[0] in _CONTINUING else word


def _uncapitalized(word: str, opened: str) -> str | None:
    """What begins with a small letter, as `_beginning` gives it; `opened` stands between it and the terminator."""
    if "`" in opened:
        return "Code "
    if _LIST_LABEL.match(word):
        return "1) Next "
    if _CAMEL.match(word):
        return word[0].upper() + word[1:]
    return None if _MAY_BECOME.fullmatch(word) else ""


def _is_cased(first: str) -> bool:
    return first.isupper() or first.isdigit() or bool(_GEORGIAN.match(first))


def _ends_quoted(candidate: Candidate, quote: str) -> bool | None:
    """Whether a quoted terminator ends the sentence too, in scripts without capitals.

    It does if the quote was announced (他说：“…。”), and if it stands for itself; otherwise the sentence goes on
    about it (「…。」と, “…。”他说).
    """
    before = candidate.before[-MEMORY:]
    before = before[: max(0, before.rfind(OPENING_QUOTES[quote]))].rstrip()
    if before and before[-1] not in TERMINATORS:
        return before[-1] in "，：、,"
    if before and before[-1] in ":;":
        return True
    clause = _CLAUSE.match(candidate.following)
    clause_text = clause[0] if clause else ""
    if _REPORTING.search(clause_text):
        return False
    return None if len(clause_text) == len(candidate.following) < _LONGEST_CLAUSE else True
