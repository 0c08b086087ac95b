"""Does a sentence end at this stop?

`sentencex` knows the abbreviations of some thirty languages, and is asked. Here is what it does not know: that
the next word may not be whole yet, which language it is, stops and abbreviations in the scripts and languages
that it takes for English, that a sentence may begin with a number, a dash or a list's label, and that it does
not end inside brackets, quotes or code.

An answer must be certain: a sentence taken for two is worse than two taken for one.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable
from dataclasses import dataclass, replace

from ptstream.abbreviations import ENDING, NUMBERED, NUMBERED_IN, SHORTENED, SPOKEN, TRAILING
from ptstream.languages import FALLBACK, guess, is_common

Segmenter = Callable[[str, str], list[int]]
"""Language and text in; out, the indices of characters where sentences end, white space behind included."""

MEMORY = 200
"""Characters after which brackets and quotes are no longer expected to be closed."""

SAMPLE = 300
"""Characters by which the language is told."""

NATIVE = "؟۔։।॥።፧፨။។៕᠃᠉꓿꛳܀܁܂჻⸮᙮᱾᱿꣎꣏꧈꧉꩝꩞꩟꫰꫱꯫"
"""Stops that are nothing else, of scripts that may do without a space behind them."""

FULL = "。！？｡．"
"""Stops as wide as a character of Chinese or Japanese."""

STOPS = ".!?…‥‼⁇⁈⁉‽;:\u037e" + NATIVE + FULL
"""Characters that may end a sentence; semicolon and colon do so in Greek and in Armenian only."""

CLOSERS = "\"'»«”’“›‹)\\]}*_~`」』）】〕〉》"
"""What may stand between a stop and the white space behind it, as members of a set in a pattern."""

SMILE = r"[:;]-?[)(DP](?!\w)"
"""A face made of punctuation, as a pattern."""

_OPENERS = "\"'«»„“”‘’‚‹›([{*_~`「『（【〔〈《¿¡"
_CONTINUING = "-–—−/,;:.!?…)]}&=+%"
_UNITS = "$€£¥₹#№§<>~≈±"
_QUOTED = {"」": "「", "』": "『", "”": "“", "’": "‘", "»": "«", '"': '"'}
_BRACKETS = (("(", ")"), ("（", "）"), ("「", "」"), ("『", "』"), ("《", "》"), ("【", "】"))
_PLAIN = str.maketrans(dict.fromkeys("\"'«»„“”‘’‚‹›()[]{}*_~`", " "))

_CONTRACTION = re.compile(r"(?<=[^\W\d_]{2})['’](?=[^\W\d_]{1,2}\b)")
"""The apostrophe in a word that is one word to the segmenter, too: `can't`, `cat's`."""

_OUTSIDE_WORDS = r"(?<![^\W\u2e80-\u9fff\uac00-\ud7af])"
"""What follows does not stand behind a letter, unless of a script without spaces."""

_CLOSED = re.compile(rf'`[^`]*`|{_OUTSIDE_WORDS}"[^"]*"')
_OPEN = re.compile(rf'{_OUTSIDE_WORDS}[`"](?=\S)')
_GREEK = re.compile(r"[\u0370-\u03ff\u1f00-\u1fff][»)\"]*\Z")
_ARMENIAN = re.compile(r"[\u0530-\u058f][»)\"]*\Z")
_GEORGIAN = re.compile("[\u10a0-\u10ff]")
_HANGUL = re.compile("[\u1100-\u11ff\uac00-\ud7af]")
_INDIC = re.compile("[\u0900-\u0dff]")
_OWN_STOP = re.compile("[\u0530-\u058f\u0900-\u09ff\u0e00-\u0fff\u1000-\u109f\u1200-\u139f\u1780-\u17ff]\\W*\\Z")
"""Behind a letter of these scripts a full stop shortens a word: their sentences end in a stop of their own."""

_FEW_WORDS = 60
"""Characters before a stop that hold the word it stands behind and what belongs to that."""

_LAST_WORD = re.compile(r"[^\s\"“”„«»()\[\]*_`]+\Z")
_WHOLE_WORD = re.compile(r"\S+(?=\s)|\S{30}")
_INITIALS = re.compile(r"[^\W\d_]|(?:[^\W\d_]{1,3}\.)+-?[^\W\d_]{1,3}")
_SPACED_INITIALS = re.compile(r"(?<![^\W_])(?:[^\W\d_]{1,2}\.[ \xa0\u202f]?)+[^\W\d_]{1,2}\Z")
_ERA = re.compile(r"\d ?(?:[ap]\. ?m|[ad]\. ?[Cc]|p\. ?n\. ?e|n\. ?e|[πμ]\. ?Χ|[πμ]\. ?μ|(?:до )?н\. ?[эе])\Z")
"""Before or after noon or Christ, behind a number: such words often end a sentence."""

_COUNTED = re.compile(r"(?:\d|\b[IVX]+)[ \xa0\u202f]?[^\W\d_]+\Z")
_ROMAN = re.compile("[IVXLC]+")
_VOWEL = re.compile("[aeiouyæøœıаеиоуыэюяъіїєәөүұαεηιουω]")
_SYLLABIC = re.compile(r"[^\W\d_][rl][^\W\d_]")
"""What Czech and Slovak say without a vowel: `prst`, `vlk`."""

_TURN = re.compile(r"[-–—―]+[ \xa0]*")
"""How one begins to speak in a dialogue: `– Yes.`"""

_LABEL = re.compile(r"[a-z]{1,4}\)+\s")
_CAMEL = re.compile("[a-z]{1,5}[A-Z]")
_MAY_BECOME = re.compile(r"[a-z]{1,5}\)*")
"""What a small letter begins that may begin a sentence all the same: `b)`, `iOS`; and what may still become that."""

_SMILE = re.compile(SMILE)

_LONGEST_CLAUSE = 24
_CLAUSE = re.compile(rf"[^\n:{STOPS.replace(';:', '')}]{{0,{_LONGEST_CLAUSE}}}")
_SPOKEN = re.compile(SPOKEN)
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

_ASKED = {
    code: code
    for code in ["bg", "ca", "da", "de", "el", "en", "es", "fi", "fr", "it", "kk", "nl", "pl", "pt", "ru", "sk", "uk"]
}
_ASKED |= {"cs": "sk", "no": "da"}
"""What to tell the segmenter for a language with capitals; the rest it would take for English."""


def sentencex(language: str, text: str) -> list[int]:
    """The segmenter."""
    from sentencex import get_sentence_boundaries

    return [boundary["end_index"] for boundary in get_sentence_boundaries(language, text)]


def ends(text: str, stop: int, begin: int, said: str, segmenter: Segmenter) -> bool | None:
    """Whether a sentence ends with the stop at index `stop` of `text`, so that the next begins at `begin`.

    None: not to be told before more of what follows is known. The text before is `said`, to tell the language by.
    """
    following = _beginning(text, stop, begin)
    if not following:
        return None if following is None else False
    verdict = _ends_in(text, stop, begin, Place(text[:stop], text[stop], following, said), segmenter)
    return verdict and not _within(text[:begin])


def _ends_in(text: str, stop: int, begin: int, place: Place, segmenter: Segmenter) -> bool | None:
    """As `ends`, brackets and quotes that are still open left out."""
    first = place.following[0]
    if place.mark in ";:\u037e":
        if _SMILE.match(text, stop) and text[:stop][-1:].isspace():
            return first.isupper()
        return bool((_ARMENIAN if place.mark == ":" else _GREEK).search(place.near()))
    if place.mark == "．" and first.isdigit():
        return False
    if not _is_cased(first) and (quote := next((char for char in text[stop:begin] if char in _QUOTED), "")):
        return _ends_quoted(place, quote)
    return _ends_at(place.mark, text[stop : stop + 2] == "..", place, segmenter)


def _ends_at(mark: str, dots: bool, place: Place, segmenter: Segmenter) -> bool | None:
    first = place.following[0]
    if mark in "…‥" or dots:
        return not first.isdigit()
    if mark == "!" and first.isupper():
        return _agrees(FALLBACK, place, first, segmenter)  # not so behind a name like Yahoo!
    return _ends_dotted(place, segmenter) if mark == "." else True


def _beginning(text: str, stop: int, begin: int) -> str | None:
    """What may be the next sentence, from its first letter or number on; empty if it goes on with the same one.

    None: not to be told yet. What begins a sentence without a capital (`iOS`, code, a list's next label) is given
    as if it had one.
    """
    turn = _TURN.match(text, begin)
    following = text[turn.end() if turn else begin :]
    word = following.lstrip(_OPENERS)
    if not word:
        return None
    if turn and (not word[0].isupper() or any(char in CLOSERS for char in text[stop:begin])):
        return ""  # “Why?” – he asked
    if word[0].islower() and not _GEORGIAN.match(word):
        return _uncapitalized(word, following[: len(following) - len(word)])
    if word[0] in ":;" and len(word) < 3:
        return None  # perhaps a smile
    return "" if word[0] in _CONTINUING else word


def _uncapitalized(word: str, opened: str) -> str | None:
    """What begins with a small letter, as `_beginning` gives it; `opened` stands between it and the stop."""
    if "`" in opened:
        return "Code "
    if _LABEL.match(word):
        return "1) Next "
    if _CAMEL.match(word):
        return word[0].upper() + word[1:]
    return None if _MAY_BECOME.fullmatch(word) else ""


def _is_cased(first: str) -> bool:
    return first.isupper() or first.isdigit() or bool(_GEORGIAN.match(first))


def _within(text: str) -> bool:
    """Whether `text` ends inside brackets, quotes or code that are still open."""
    near = text[-MEMORY:].replace(":(", "").replace(":-(", "")
    if _OPEN.search(_CLOSED.sub("", near[near.rfind("\n") + 1 :])):
        return True
    return any(near.rfind(opener) > max(map(near.rfind, closers)) for opener, closers in _pairs(near))


def _pairs(text: str) -> list[tuple[str, str]]:
    """What opens and what closes; of quotes, that depends on the language: „…“ and “…”, «…» and »…«."""
    high = ("„", "“”") if "„" in text else ("“", "”")
    return [*_BRACKETS, high, ("»", "«") if points_inward(text) else ("«", "»")]


def points_inward(text: str) -> bool:
    """Whether »quotes« point to what they quote, as in German and Danish."""
    left, right = text.find("«"), text.find("»")
    return right >= 0 and not 0 <= left < right


def _ends_quoted(place: Place, quote: str) -> bool | None:
    """Whether a quoted stop ends the sentence too, in scripts without capitals.

    It does if the quote was announced (他说：“…。”), and if it stands for itself; otherwise the sentence goes on
    about it (「…。」と, “…。”他说).
    """
    before = place.before[-MEMORY:]
    before = before[: max(0, before.rfind(_QUOTED[quote]))].rstrip()
    if before and before[-1] not in STOPS:
        return before[-1] in "，：、,"
    if before and before[-1] in ":;":
        return True
    clause = _CLAUSE.match(place.following)
    told = clause[0] if clause else ""
    if _SPOKEN.search(told):
        return False
    return None if len(told) == len(place.following) < _LONGEST_CLAUSE else True


@dataclass(frozen=True, slots=True)
class Place:
    """A stop: the text before it, what may be the next sentence as far as it is known, what was said before."""

    before: str
    mark: str
    following: str
    said: str

    def near(self) -> str:
        """The last few words of the text before."""
        return self.before[-_FEW_WORDS:]

    def word(self) -> str:
        """The word that the stop stands behind, without what is elided before it (`l'`)."""
        found = _LAST_WORD.search(self.near())
        elided, _, word = found[0].replace("’", "'").rpartition("'") if found else ("", "", "")
        return elided + word if len(word) <= 2 < len(elided) else word

    def sample(self) -> str:
        """The text before, as much of it as tells the language."""
        return (self.said + self.before)[-SAMPLE:]

    def language(self) -> str:
        """The language of the text."""
        return guess(self.sample())


def _ends_dotted(place: Place, segmenter: Segmenter) -> bool | None:
    word, first = place.word(), place.following[0]
    if not word:
        return True
    if _OWN_STOP.search(word):
        return bool(_INDIC.search(word)) and _ends_indic(place, word)
    if first.isdigit() or first in _UNITS:
        return _ends_before_number(place, word, segmenter)
    if word[-1].isdigit():
        return _ends_number(place, word)
    return _ends_cased(place, word, segmenter) if first.isupper() else _ends_uncased(word)


def _ends_before_number(place: Place, word: str, segmenter: Segmenter) -> bool | None:
    """A full stop in front of a number: `No. 5`, `3. 4. 1999`, or a sentence that begins with one."""
    number = _NUMBER.match(place.following)
    behind = place.following[number.end() :] if number else place.following
    if len(behind) < 5:
        return None
    if word[-1].isdigit():
        return not (_DAY.fullmatch(word) or behind[0] == ".")
    low, language = word.lower(), place.language()
    if low in NUMBERED or low in NUMBERED_IN.get(language, ()) or low.endswith(_STREETS):
        return False
    if _INITIALS.fullmatch(word) and not _ERA.search(place.near()):
        return False
    if not word[-1].isalnum():
        return True
    if not word[-1].islower() and not word[-1].isupper():
        return _ends_uncased(word)
    if (_may_be_short(low) or behind[0] in ",;)") and not _OF_SOMETHING.match(behind):
        return is_common(low, language)
    return _ends_cased(replace(place, following="Next "), word, segmenter)


def _may_be_short(word: str) -> bool:
    """Whether a word looks like one that is cut off: few letters, the last one no vowel."""
    return len(word) <= 4 and not _VOWEL.match(unicodedata.normalize("NFD", word[-1]))


def _ends_number(place: Place, word: str) -> bool | None:
    """A number and a full stop: `3. Oktober`, `1892. 3. 4. 평안북도`, or the end."""
    if _HANGUL.match(place.following) or _LABELLED.search(place.before):
        return False
    if not word.isdigit() or len(word) > 2 or not place.following[0].isupper():
        return True
    following = _WHOLE_WORD.match(place.following)
    if not following:
        return None
    if _MONTH.match(following[0]):
        return False
    language = place.language()
    return language not in _NAMED_BY_ORDINALS or is_common(following[0].lower(), language) or _is_counted(place.before)


def _is_counted(before: str) -> bool:
    """Whether the number that `before` ends in has its kind before it: `Nr. 5`, `S. 12`."""
    return (before.split()[-2:-1] or [""])[0].rstrip(".").lower() in NUMBERED


def _ends_indic(place: Place, word: str) -> bool:
    """Where a text has shown no stop of its own, as in Marathi, a full stop ends its sentences."""
    if word in SHORTENED or any(stop in place.sample() for stop in "।॥"):
        return False
    return _letters(word) > 1 or is_common(word, "hi") or is_common(word, "mr")


def _ends_uncased(word: str) -> bool:
    """In scripts without capitals one letter, or two of an Indic script, are a shortened word."""
    if word.lower() in SHORTENED or _INITIALS.fullmatch(word):
        return False
    return _letters(word) > (2 if _INDIC.search(word) else 1)


def _letters(word: str) -> int:
    return sum(unicodedata.category(char).startswith("L") for char in word)


def _ends_cased(place: Place, word: str, segmenter: Segmenter) -> bool | None:
    """In front of a capital: it may begin a sentence, or be a name."""
    low, language = word.lower(), place.language()
    if low in ENDING or word in SHORTENED or (low in SHORTENED and not _is_acronym(word)):
        return low in ENDING or (low in TRAILING and _begins_commonly(place, language))
    if _INITIALS.fullmatch(word):
        if place.before.lstrip(f"{_OPENERS} \n>") == word:
            return False  # a label: Q.
        return _ends_initials(place, word, language, segmenter)
    if _is_squeezed(word, language):
        return _counts(place.before)
    if _ROMAN.fullmatch(word) and language in _ORDINALS:
        return False
    if language not in _ASKED or is_common(low, language):
        return True
    if _agrees(_ASKED[language], place, place.following[0], segmenter):
        return True
    return _asked(_ASKED[language], place, segmenter)


def _ends_initials(place: Place, word: str, language: str, segmenter: Segmenter) -> bool | None:
    """`J. R. R.` and `z. B.` do not end a sentence; `т. д.` and the letter that counts years (`1863 г.`) may.

    So may others, in front of a word that is no name.
    """
    spaced = _SPACED_INITIALS.search(place.near())
    low = re.sub(r"\s", "", spaced[0]).lower() if spaced else word.lower()
    if low in ENDING or low in SHORTENED:
        return low in ENDING
    if language != "en" and len(word) == 1 and word.islower() and word not in "ad" and _counts(place.before):
        return True
    common = _begins_commonly(place, language)
    return _asked(language, place, segmenter) if common is False and language == "en" else common


def _begins_commonly(place: Place, language: str) -> bool | None:
    """Whether what follows begins with a common word, which in front of a name's rest is seldom a capital."""
    following = _WHOLE_WORD.match(place.following)
    if not following:
        return None
    word = following[0].rstrip(",:").lower()
    long = len(word) > 1 or bool(_ERA.search(place.near()))
    return long and language != "nl" and is_common(word, language)


def _counts(before: str) -> bool:
    """Whether `before` ends in a number and its unit or kind of year, and that is not just how a sentence begins."""
    return bool(_COUNTED.search(before[-_FEW_WORDS:])) and len(before.split()) > 3


def _is_squeezed(word: str, language: str) -> bool:
    """Whether a word has no vowel and is no acronym: nobody can say `Bkz`, `Mgr` or `стр`."""
    low = unicodedata.normalize("NFD", word.lower())
    spoken = _VOWEL.search(low) or (language in ("cs", "sk") and _SYLLABIC.search(low))
    return word.isalpha() and low.islower() and not word.isupper() and not spoken


def _is_acronym(word: str) -> bool:
    return len(word) > 1 and word.isupper()


def _asked(language: str, place: Place, segmenter: Segmenter) -> bool | None:
    """What the segmenter says with the whole next word."""
    whole = _WHOLE_WORD.match(place.following)
    return _agrees(language, place, whole[0], segmenter) if whole else None


def _agrees(language: str, place: Place, following: str, segmenter: Segmenter) -> bool:
    # Quotes and brackets have been judged here, and would only confuse it.
    head = f"{_CONTRACTION.sub('', place.before[-MEMORY:])}{place.mark} ".translate(_PLAIN)
    return len(head) in segmenter(language, head + following.translate(_PLAIN))
