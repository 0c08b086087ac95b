"""Does a sentence end at this stop?

`sentencex` knows the abbreviations of some thirty languages, and is asked. Here is what it does not know: that
the next word may not be whole yet, which language it is, stops and abbreviations in the scripts and languages
that it takes for English, and that a sentence does not end inside brackets, quotes or code.

An answer must be certain: a sentence taken for two is worse than two taken for one.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable
from dataclasses import dataclass

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

_OPENERS = "\"'«»„“”‘’‚‹›([{*_~`「『（【〔〈《¿¡"
_CONTINUING = "-–—−/,;:.!?…)]}&=+%"
_UNITS = "$€£¥₹#№§<>~≈±"
_QUOTED = {"」": "「", "』": "『", "”": "“", "’": "‘", "»": "«"}
_BRACKETS = (("(", ")"), ("（", "）"), ("「", "」"), ("『", "』"), ("《", "》"), ("【", "】"))
_PLAIN = str.maketrans(dict.fromkeys("\"'«»„“”‘’‚‹›()[]{}*_~`", " "))

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

_LAST_WORD = re.compile(r"[^\s\"“”„«»()\[\]*_`]+\Z")
_WHOLE_WORD = re.compile(r"\S+(?=\s)|\S{30}")
_INITIALS = re.compile(r"[^\W\d_]|(?:[^\W\d_]{1,3}\.)+-?[^\W\d_]{1,3}")
_SPACED_INITIALS = re.compile(r"(?<![^\W_])(?:[^\W\d_]{1,2}\.[ \xa0\u202f]?)+[^\W\d_]{1,2}\Z")
_COUNTED = re.compile(r"(?:\d|\b[IVX]+)[ \xa0\u202f]?[^\W\d_]+\Z")
_ROMAN = re.compile("[IVXLC]+")
_VOWEL = re.compile("[aeiouyаеёиоуыэюяіїєўαεηιουω]")
_MONTH = re.compile(
    "Jan|Jän|Feb|Fév|Mär|Mar|Apr|Avr|Mai|May|Jun|Jul|Aug|Sep|Okt|Oct|Nov|Dez|Dec|Déc|Jahrh|Jh"
    "|Oca|Şub|Nis|Haz|Tem|Ağu|Eyl|Eki|Kas|Ara"
)


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


_ORDINALS = _words("de da no sv fi cs sk pl hu tr")
"""Languages in which a full stop behind a number makes it `third` of `three`."""

_ASKED = {code: code for code in _words("bg ca da de el en es fi fr it kk nl pl pt ru sk uk")}
_ASKED |= {"cs": "sk", "no": "da"}
"""What to tell the segmenter for a language with capitals; the rest it would take for English."""

_TITLES = _words("""
    dr prof mr mrs ms messrs lt col sgt capt maj gov pres jr mme mlle mgr fr frl dipl ing dott avv arch geom
    dhr mevr drs ir jhr mw dra sra srta lic arq exmo exma excmo eng dna dl dlui inż hab św ks płk doc mudr judr
    rndr phdr docent özv ifj doç öğr gör av yrd müh ts pgs ths gs bpk hj
    акад проф доц д-р инж тов ім им чл-кор κα κος κκ δρ καθ
""")
_PLACES = _words("""
    séc ul al os pl jud jl av avda ave blvd rd bd cad sok mah apt blv str tp kab kec prov pt cía st mt hl şti ltd
    ул пр просп пл пер наб обл р-н вул бул
""")
_ADVERBS = _words("""
    ca bzw ggf inkl exkl zzgl vgl evtl sog geb gest allg mio mrd insb bijv jfr resp bl
    np tzn tzw tj zob por zwł m.in např tzv srov vb örn krş bkz yakl böl vö ún kb ld esim ks vrt
    mis lih spt dkk tgl cf vs viz approx
    напр ср см ок св т.е прибл пор див δηλ βλ πρβλ περ π.χ
""")
_SHORTENED = _TITLES | _PLACES | _ADVERBS
"""Words that are shortened also in front of a capital. All languages together, so that nobody has to guess the
language for them; left out is what is a word in another language to end a sentence with."""

_ENDING = _words("""
    etc usw usf uvm itd itp ecc enz osv jne yms stb dll dsb apod atd aj κ.λπ κλπ κτλ m.m m.fl v.v s.r.o o.o ș.a
    ș.a.m.d т.д т.п т.ч н.э тыс млн млрд руб грн чел
""")
"""Shortened words that often end a sentence: in front of a capital they do."""


def sentencex(language: str, text: str) -> list[int]:
    """The segmenter."""
    from sentencex import get_sentence_boundaries

    return [boundary["end_index"] for boundary in get_sentence_boundaries(language, text)]


def ends(text: str, stop: int, begin: int, said: str, segmenter: Segmenter) -> bool | None:
    """Whether a sentence ends with the stop at index `stop` of `text`, so that the next begins at `begin`.

    None: not to be told before more of what follows is known. The text before is `said`, to tell the language by.
    """
    following = text[begin:].lstrip(_OPENERS)
    if not following:
        return None
    if _goes_on(following[0]) or _within(text[:begin]):
        return False
    mark = text[stop]
    if mark in FULL:
        return not (mark == "．" and following[0].isdigit()) and _ends_wide(text[:begin], stop)
    if mark in ";:\u037e":
        return bool((_ARMENIAN if mark == ":" else _GREEK).search(text, 0, stop))
    if mark in "…‥" or text[stop : stop + 2] == "..":
        return not following[0].isdigit()
    place = Place(text[:stop], mark, following, said)
    if mark == "!" and following[0].isupper():
        return _agrees(FALLBACK, place, following[0], segmenter)  # not so behind a name like Yahoo!
    return _ends_dotted(place, segmenter) if mark == "." else True


def _goes_on(first: str) -> bool:
    """Whether the first letter behind a stop continues the sentence. Georgian is all small letters to Unicode."""
    return first in _CONTINUING or (first.islower() and not _GEORGIAN.match(first))


def _within(text: str) -> bool:
    """Whether `text` ends inside brackets, quotes or code that are still open."""
    near = text[-MEMORY:]
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


def _ends_wide(text: str, stop: int) -> bool:
    """A quoted stop is the sentence's end if the quote was announced (他说：“…。”).

    Otherwise the sentence may go on about it (「…。」と, “…。”他说).
    """
    quote = next((char for char in text[stop:] if char in _QUOTED), "")
    if not quote:
        return True
    opening = text.rfind(_QUOTED[quote], 0, stop)
    return opening > 0 and text[:opening].rstrip()[-1:] in tuple("，：、,:")


@dataclass(frozen=True, slots=True)
class Place:
    """A stop: the text before it, what may be the next sentence as far as it is known, what was said before."""

    before: str
    mark: str
    following: str
    said: str

    def word(self) -> str:
        """The word that the stop stands behind, without what is elided before it (`l'`)."""
        found = _LAST_WORD.search(self.before)
        return found[0].replace("’", "'").rpartition("'")[2] if found else ""

    def language(self) -> str:
        """The language of the text."""
        return guess((self.said + self.before)[-SAMPLE:])


def _ends_dotted(place: Place, segmenter: Segmenter) -> bool | None:
    word, first = place.word(), place.following[0]
    if not word:
        return True
    if _OWN_STOP.search(word):
        return place.language() == "mr"
    if first in _UNITS and len(place.following) < 2:
        return None
    if place.following.lstrip(_UNITS)[:1].isdigit():
        return False
    if word[-1].isdigit():
        return _ends_number(place, word)
    if not first.isupper():
        return _ends_uncased(word)
    return _ends_cased(place, word, segmenter)


def _ends_number(place: Place, word: str) -> bool | None:
    """A number and a full stop: `3. Oktober`, `1892. 3. 4. 평안북도`, or the end."""
    if _HANGUL.match(place.following):
        return False
    if not word.isdigit() or len(word) > 2 or not place.following[0].isupper():
        return True
    if len(place.before.split()) <= 2:
        return False  # a label: Step 1.
    if len(place.following) < 4:
        return None
    return not _MONTH.match(place.following) and place.language() != "de"


def _ends_uncased(word: str) -> bool:
    """In scripts without capitals one letter, or two of an Indic script, are a shortened word."""
    if word.lower() in _SHORTENED or _INITIALS.fullmatch(word):
        return False
    letters = sum(unicodedata.category(char).startswith("L") for char in word)
    return letters > (2 if _INDIC.search(word) else 1)


def _ends_cased(place: Place, word: str, segmenter: Segmenter) -> bool | None:
    """In front of a capital: it may begin a sentence, or be a name."""
    if word.lower() in _ENDING or word.lower() in _SHORTENED:
        return word.lower() in _ENDING
    language = place.language()
    if _INITIALS.fullmatch(word):
        if place.before.lstrip(f"{_OPENERS} \n>") == word:
            return False  # a label: Q.
        return _asked(language, place, segmenter) if language == "en" else _ends_initials(place.before, word)
    if _is_squeezed(word):
        return _counts(place.before)
    if _ROMAN.fullmatch(word) and language in _ORDINALS:
        return False
    if language not in _ASKED or is_common(word, language):
        return True
    if _agrees(_ASKED[language], place, place.following[0], segmenter):
        return True
    return _asked(_ASKED[language], place, segmenter)


def _ends_initials(before: str, word: str) -> bool:
    """`J. R. R.` and `z. B.` do not end a sentence; `т. д.` and the letter that counts years (`1863 г.`) may."""
    spaced = _SPACED_INITIALS.search(before)
    if spaced:
        return re.sub(r"\s", "", spaced[0]).lower() in _ENDING
    return len(word) == 1 and word.islower() and _counts(before)


def _counts(before: str) -> bool:
    """Whether `before` ends in a number and its unit or kind of year, and that is not just how a sentence begins."""
    return bool(_COUNTED.search(before)) and len(before.split()) > 3


def _is_squeezed(word: str) -> bool:
    """Whether a word has no vowel and is no acronym: nobody can say `Bkz`, `Mgr` or `стр`."""
    return word.isalpha() and not word.isupper() and not _VOWEL.search(unicodedata.normalize("NFD", word.lower()))


def _asked(language: str, place: Place, segmenter: Segmenter) -> bool | None:
    """What the segmenter says with the whole next word."""
    whole = _WHOLE_WORD.match(place.following)
    return _agrees(language, place, whole[0], segmenter) if whole else None


def _agrees(language: str, place: Place, following: str, segmenter: Segmenter) -> bool:
    # Quotes and brackets have been judged here, and would only confuse it.
    head = f"{place.before[-MEMORY:]}{place.mark} ".translate(_PLAIN)
    return len(head) in segmenter(language, head + following.translate(_PLAIN))
