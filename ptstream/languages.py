"""Which language a text is in, as far as it matters for where sentences end.

The script tells most of them, and within a script the commonest short words and the rarest letters do. Measured
on hard cases, sentences are found as well with this as with fastText's model and as with the right language
told, at no dependency and nothing to load: what `stops` asks is mostly the same in all languages of a script.
"""

from __future__ import annotations

import re
import unicodedata
from collections import Counter

FALLBACK = "en"

_SCRIPTS = {
    "LATIN": "en de fr es it pt ca nl da no sv fi pl cs sk hu ro tr id vi",
    "CYRILLIC": "ru uk bg kk",
    "ARABIC": "ar fa ur",
    "DEVANAGARI": "hi mr",
    "GREEK": "el",
    "ARMENIAN": "hy",
    "HEBREW": "he",
    "BENGALI": "bn",
    "GURMUKHI": "pa",
    "GUJARATI": "gu",
    "TAMIL": "ta",
    "TELUGU": "te",
    "KANNADA": "kn",
    "MALAYALAM": "ml",
    "THAI": "th",
    "MYANMAR": "my",
    "HANGUL": "ko",
    "ETHIOPIC": "am",
    "KHMER": "km",
    "HIRAGANA": "ja",
    "KATAKANA": "ja",
    "CJK": "zh",
}
"""The languages of a script, as Unicode's names of characters begin with it; the first one is taken in doubt."""

_WORDS = {
    "en": "the of and to in is that it for with this are you was be not as have by at or from me us so do all",
    "de": "der die das und ist nicht ein eine von mit den zu im auf sich für dem auch am es er wir bis",
    "fr": "le la les des et est une dans que pour pas qui sur du au il plus ce avec un je à ne",
    "es": "el la los las y es en que de por una con para del se no su como más al lo un",
    "it": "il lo gli di che è per non una con del della sono si nel alla anche un le",
    "pt": "o os as e é em que não uma com para do da no na por um mais ao à foi",
    "ca": "el la els les i és en que de per una amb del no com més al un dels",
    "nl": "de het een van en is dat niet op te zijn voor met die ook aan om in",
    "da": "og i at det er en den til på som med for af de ikke et blev ved",
    "no": "og i at det er en den til på som med for av de ikke et ble ved",
    "sv": "och i att det är en den till på som med för av de inte ett jag om vet",
    "fi": "ja on ei se että hän oli mutta ovat kun niin myös joka tai sen en kuka",
    "pl": "i w na nie się jest z do że to jak od po przez oraz kto dla",
    "cs": "a v na je se že to s z do pro jak od po nebo jsou kdo za asi",
    "sk": "a v na je sa že to s z do pre ako od po alebo sú kto za asi",
    "hu": "a az és nem hogy is egy van ez meg de vagy mint volt ki lesz",
    "ro": "și în de la cu nu este un o pe din care mai că pentru sunt ce ora cine",
    "tr": "ve bir bu da de için ile ne çok daha olarak var değil mi kim ama",
    "id": "yang dan di ini itu dari dengan untuk tidak pada adalah ke ada saya siapa",
    "vi": "là và của có không được cho một các ở này với người tôi",
    "ru": "и в не на что с по это как из от для он его а но я кто был",
    "uk": "і в не на що з та це як від до є у й його але я хто був",
    "bg": "и в не на че с по това как от за той е са се да",
    "kk": "және мен бұл бір үшін болып деп бар емес",
    "ar": "في من على أن إلى هذا التي مع عن ما هو لا",
    "fa": "در به از که این را با است برای آن او می",
    "ur": "میں کے ہے کی اور سے کو یہ کا نے ہیں وہ",
    "hi": "है के में की और से को का यह हैं नहीं ने",
    "mr": "आहे आणि हे या आहेत नाही व ते ती होते",
}
"""Words common in one language and in as few others as may be."""

_LETTERS = {
    "de": "ß",
    "fr": "œêèù",
    "es": "ñ¿¡",
    "pt": "ãõ",
    "da": "øæ",
    "no": "øæ",
    "sv": "å",
    "fi": "ä",
    "pl": "łśżąęćń",
    "cs": "řěů",
    "sk": "ľĺŕ",
    "hu": "őű",
    "ro": "șțăşţ",
    "tr": "ğışİ",
    "vi": "ơưđạảấầẩậắằặẹẻẽếềểễệỉịọỏốồổỗộớờởợụủứừửựỳỹ",
    "ru": "ыэъё",
    "uk": "їєґі",
    "kk": "әғқңөұүһ",
    "fa": "پچژگ",
    "ur": "ٹڈڑںےہھ",
}
"""Letters that few others of the same script have."""


_WORD = re.compile("[\\w\u0900-\u0dff]+")
"""A word; the vowel signs of Indic scripts are no word characters to `re`."""


def guess(text: str) -> str:
    """The language (ISO 639-1) that `text`, a few hundred characters of it, is most likely in."""
    scripts = Counter(_script(char) for char in text if char.isalpha())
    if scripts["HIRAGANA"] or scripts["KATAKANA"]:
        return "ja"
    script = max(scripts, key=lambda name: scripts[name], default="LATIN")
    codes = _SCRIPTS.get(script, FALLBACK).split()
    if len(codes) == 1:
        return codes[0]
    low = text.lower()
    signs = [*_WORD.findall(low), *(char for char in low if not char.isascii())]
    votes = Counter(code for sign in signs for code in _SIGNS.get(sign, ()))
    return max(codes, key=lambda code: votes[code])


def is_common(word: str, language: str) -> bool:
    """Whether `word` is one of the commonest of `language`, and so is no abbreviation in it."""
    return language in _SIGNS.get(word, ())


def _script(char: str) -> str:
    return "LATIN" if char.isascii() else unicodedata.name(char, "").partition(" ")[0]


def _signs() -> dict[str, tuple[str, ...]]:
    """For each common word and each rare letter the languages that it speaks for."""
    signs: dict[str, tuple[str, ...]] = {}
    for code, words in _WORDS.items():
        for sign in (*words.split(), *_LETTERS.get(code, "")):
            signs[sign] = (*signs.get(sign, ()), code)
    return signs


_SIGNS = _signs()
