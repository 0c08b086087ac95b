"""Does a sentence end at this full stop (U+002E)?

It also stands behind abbreviations, initials, ordinal numbers and the labels of lists. In front of a number, behind a
number, in scripts without capitals and in front of a capital it is judged by rules of their own.

An answer must be certain: a sentence taken for two is worse than two taken for one.
"""

from __future__ import annotations

import re
import unicodedata
from dataclasses import replace

from ptstream.sentences.abbreviations import (
    ABBREVIATIONS,
    BEFORE_NUMBERS,
    BEFORE_NUMBERS_IN,
    NAME_SUFFIXES,
    SENTENCE_FINAL,
)
from ptstream.sentences.candidate import FEW_WORDS, Candidate
from ptstream.sentences.languages import is_common
from ptstream.sentences.quotes import OPENERS
from ptstream.sentences.segmenter import SEGMENTED_AS, Segmenter, agrees

_UNITS = "$€£¥₹#№§<>~≈±"
_HANGUL = re.compile("[\u1100-\u11ff\uac00-\ud7af]")
_INDIC = re.compile("[\u0900-\u0dff]")
_OWN_TERMINATORS = re.compile("[\u0530-\u058f\u0900-\u09ff\u0e00-\u0fff\u1000-\u109f\u1200-\u139f\u1780-\u17ff]\\W*\\Z")
"""Behind a letter of these scripts a full stop shortens a word: their sentences end in terminators of their own."""

_WHOLE_WORD = re.compile(r"\S+(?=\s)|\S{30}")
_INITIALS = re.compile(r"[^\W\d_]|(?:[^\W\d_]{1,3}\.)+-?[^\W\d_]{1,3}")
_SPACED_INITIALS = re.compile(r"(?<![^\W_])(?:[^\W\d_]{1,2}\.[ \xa0\u202f]?)+[^\W\d_]{1,2}\Z")
_ERA = re.compile(r"\d ?(?:[ap]\. ?m|[ad]\. ?[Cc]|p\. ?n\. ?e|n\. ?e|[πμ]\. ?Χ|[πμ]\. ?μ|(?:до )?н\. ?[эе])\Z")
"""Before or after noon or Christ, behind a number: such words often end a sentence."""

_COUNT = re.compile(r"(?:\d|\b[IVX]+)[ \xa0\u202f]?[^\W\d_]+\Z")
_ROMAN = re.compile("[IVXLC]+")
_VOWEL = re.compile("[aeiouyæøœıаеиоуыэюяъіїєәөүұαεηιουω]")
_SYLLABIC = re.compile(r"[^\W\d_][rl][^\W\d_]")
"""What Czech and Slovak say without a vowel: `prst`, `vlk`."""

_NUMBER = re.compile(r"[^\w\s]{0,2}[ \xa0]?\d+(?:[.,/:–-]\d+)*")
_DAY = re.compile(r"\d{1,2}(?:\.\d{1,2})?")
_LABELLED = re.compile(r"(?:\A|[:：\n])\W*(?:[^\W\d_]+\s)?\d{1,3}(?:\.\d{1,3}){0,3}\Z")
"""A text that ends in the number of a step, a figure or a list's item, and is nothing else."""

_STREETS = ("str", "pl")
_OF_SOMETHING = re.compile(r"[%°]?[ \xa0][^\W\d_A-Z]|[.)]{1,2}\s")
"""What stands behind a number that begins a sentence, or an item, and seldom behind a mere number: `5 of them`."""

_MONTH = re.compile(
    "Jan|Jän|Feb|Fév|Mär|Mar|Apr|Avr|Mai|May|Jun|Jul|Aug|Sep|Okt|Oct|Nov|Dez|Dec|Déc|Jahrh|Jh"
    "|Oca|Şub|Nis|Haz|Tem|Ağu|Eyl|Eki|Kas|Ara"
)

_ORDINALS = frozenset(["de", "da", "no", "sv", "fi", "cs", "sk", "pl", "hu", "tr"])
"""Languages in which a full stop behind a number makes it `third` of `three`."""

_NAMED_BY_ORDINALS = ("de", "hu", "tr")
"""Those of them where a capital often follows: `3. Oktober`, `2. Ramses`."""


def ends_at_full_stop(candidate: Candidate, segmenter: Segmenter) -> bool | None:
    word, first = candidate.word(), candidate.following[0]
    if not word:
        return True
    if _OWN_TERMINATORS.search(word):
        return bool(_INDIC.search(word)) and _in_indic(candidate, word)
    if first.isdigit() or first in _UNITS:
        return _before_number(candidate, word, segmenter)
    if word[-1].isdigit():
        return _behind_number(candidate, word)
    return _before_capital(candidate, word, segmenter) if first.isupper() else _before_caseless(word)


def _before_number(candidate: Candidate, word: str, segmenter: Segmenter) -> bool | None:
    """A full stop in front of a number: `No. 5`, `3. 4. 1999`, or a sentence that begins with one."""
    number = _NUMBER.match(candidate.following)
    behind = candidate.following[number.end() :] if number else candidate.following
    if len(behind) < 5:
        return None
    if word[-1].isdigit():
        return not (_DAY.fullmatch(word) or behind[0] == ".")
    low, language = word.lower(), candidate.language()
    if low in BEFORE_NUMBERS or low in BEFORE_NUMBERS_IN.get(language, ()) or low.endswith(_STREETS):
        return False
    if _INITIALS.fullmatch(word) and not _ERA.search(candidate.near()):
        return False
    if not word[-1].isalnum():
        return True
    if not word[-1].islower() and not word[-1].isupper():
        return _before_caseless(word)
    if (_may_be_abbreviation(low) or behind[0] in ",;)") and not _OF_SOMETHING.match(behind):
        return is_common(low, language)
    return _before_capital(replace(candidate, following="Next "), word, segmenter)


def _may_be_abbreviation(word: str) -> bool:
    """Whether a word looks like one that is cut off: few letters, the last one no vowel."""
    return len(word) <= 4 and not _VOWEL.match(unicodedata.normalize("NFD", word[-1]))


def _behind_number(candidate: Candidate, word: str) -> bool | None:
    """A number and a full stop: `3. Oktober`, `1892. 3. 4. 평안북도`, or the end."""
    if _HANGUL.match(candidate.following) or _LABELLED.search(candidate.before):
        return False
    if not word.isdigit() or len(word) > 2 or not candidate.following[0].isupper():
        return True
    following = _WHOLE_WORD.match(candidate.following)
    if not following:
        return None
    if _MONTH.match(following[0]):
        return False
    language = candidate.language()
    return (
        language not in _NAMED_BY_ORDINALS or is_common(following[0].lower(), language) or _has_kind(candidate.before)
    )


def _has_kind(before: str) -> bool:
    """Whether the number that `before` ends in has its kind before it: `Nr. 5`, `S. 12`."""
    return (before.split()[-2:-1] or [""])[0].rstrip(".").lower() in BEFORE_NUMBERS


def _in_indic(candidate: Candidate, word: str) -> bool:
    """Where a text has shown no terminator of its own, as in Marathi, a full stop ends its sentences."""
    if word in ABBREVIATIONS or any(danda in candidate.sample() for danda in "।॥"):
        return False
    return _letters(word) > 1 or is_common(word, "hi") or is_common(word, "mr")


def _before_caseless(word: str) -> bool:
    """In scripts without capitals one letter, or two of an Indic script, are an abbreviation."""
    if word.lower() in ABBREVIATIONS or _INITIALS.fullmatch(word):
        return False
    return _letters(word) > (2 if _INDIC.search(word) else 1)


def _letters(word: str) -> int:
    return sum(unicodedata.category(char).startswith("L") for char in word)


def _before_capital(candidate: Candidate, word: str, segmenter: Segmenter) -> bool | None:
    """In front of a capital: it may begin a sentence, or be a name."""
    low, language = word.lower(), candidate.language()
    if low in SENTENCE_FINAL or word in ABBREVIATIONS or (low in ABBREVIATIONS and not _is_acronym(word)):
        return low in SENTENCE_FINAL or (low in NAME_SUFFIXES and _before_common_word(candidate, language))
    if _INITIALS.fullmatch(word):
        if candidate.before.lstrip(f"{OPENERS} \n>") == word:
            return False  # a label: Q.
        return _behind_initials(candidate, word, language, segmenter)
    if _is_unpronounceable(word, language):
        return _ends_in_count(candidate.before)
    if _ROMAN.fullmatch(word) and language in _ORDINALS:
        return False
    if language not in SEGMENTED_AS or is_common(low, language):
        return True
    if agrees(SEGMENTED_AS[language], candidate, candidate.following[0], segmenter):
        return True
    return _asked(SEGMENTED_AS[language], candidate, segmenter)


def _behind_initials(candidate: Candidate, word: str, language: str, segmenter: Segmenter) -> bool | None:
    """`J. R. R.` and `z. B.` do not end a sentence; `т. д.` and the letter that counts years (`1863 г.`) may.

    So may others, in front of a word that is no name.
    """
    spaced = _SPACED_INITIALS.search(candidate.near())
    low = re.sub(r"\s", "", spaced[0]).lower() if spaced else word.lower()
    if low in SENTENCE_FINAL or low in ABBREVIATIONS:
        return low in SENTENCE_FINAL
    if language != "en" and len(word) == 1 and word.islower() and word not in "ad" and _ends_in_count(candidate.before):
        return True
    common = _before_common_word(candidate, language)
    return _asked(language, candidate, segmenter) if common is False and language == "en" else common


def _before_common_word(candidate: Candidate, language: str) -> bool | None:
    """Whether what follows begins with a common word, which in front of a name's rest is seldom a capital."""
    following = _WHOLE_WORD.match(candidate.following)
    if not following:
        return None
    word = following[0].rstrip(",:").lower()
    long = len(word) > 1 or bool(_ERA.search(candidate.near()))
    return long and language != "nl" and is_common(word, language)


def _ends_in_count(before: str) -> bool:
    """Whether `before` ends in a number and its unit or kind of year, and that is not just how a sentence begins."""
    return bool(_COUNT.search(before[-FEW_WORDS:])) and len(before.split()) > 3


def _is_unpronounceable(word: str, language: str) -> bool:
    """Whether a word has no vowel and is no acronym: nobody can say `Bkz`, `Mgr` or `стр`."""
    low = unicodedata.normalize("NFD", word.lower())
    spoken = _VOWEL.search(low) or (language in ("cs", "sk") and _SYLLABIC.search(low))
    return word.isalpha() and low.islower() and not word.isupper() and not spoken


def _is_acronym(word: str) -> bool:
    return len(word) > 1 and word.isupper()


def _asked(language: str, candidate: Candidate, segmenter: Segmenter) -> bool | None:
    """What the segmenter says with the whole next word."""
    whole = _WHOLE_WORD.match(candidate.following)
    return agrees(language, candidate, whole[0], segmenter) if whole else None
