"""Which language a text is in, as far as it matters for where sentences end.

The script shows most of them, and within a script the commonest short words and the rarest letters do. Measured
on hard cases, sentences are found as well with this as with fastText's model and as with the right language
given, at no dependency and nothing to load: what the rules ask is mostly the same in all languages of a script.
"""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Iterable
from functools import lru_cache

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
    "en": "how why where who did does no yes here some many most after before these those because let our their the "
    "of and to in is that it for with this are you was be not as have by at or from me us so do all he she "
    "they we i but what then there if when my your his her its can will would about which an",
    "de": "zudem außerdem jedoch danach damit deshalb daher trotzdem allerdings heute jetzt seit als alle viele man "
    "kein keine ihr ihre seine so doch welche wer warum wo der die das und ist nicht ein eine von mit den zu "
    "im auf sich für dem auch am es er wir bis sie ich aber wenn dann dies diese dieser wie was dort hier bei "
    "aus nach hat haben sind war wird einen bitte",
    "fr": "puis quand comment pourquoi ici alors aussi ils elles cela le la les des et est une dans que pour pas qui "
    "sur du au il plus ce avec un je à ne elle nous vous on c'est cette son sa ses mais où sont ont était être",
    "es": "luego cómo qué dónde aquí entonces también ellos nosotros el la los las y es en que de por una con para "
    "del se no su como más al lo un él ella yo pero esta este son está fue hay muy sus ya si cuando",
    "it": "poi quando dove perché qui allora anche loro noi il lo gli di che è per non una con del della sono si nel "
    "alla un le i ma lei ho ha dei delle questo questa più come io era nella ci",
    "pt": "então quando onde aqui também depois eles nós o os as e é em que não uma com para do da no na por um mais "
    "ao à foi ele ela eu mas seu sua como são está isso este esta você há nos se",
    "ca": "el la els les i és en que de per una amb del no com més al un dels però seva seu va aquest aquesta són ha "
    "ho hi",
    "nl": "de het een van en is dat niet op te zijn voor met die ook aan om in hij zij ik wij maar er dit deze was "
    "heeft hebben naar bij wat hoe",
    "da": "og i at det er en den til på som med for af de ikke et blev ved han hun jeg vi men der har var kan fra om "
    "når hvis hvad sig du",
    "no": "og i at det er en den til på som med for av de ikke et ble ved han hun jeg vi men der har var kan fra om "
    "når hvis hva seg du",
    "sv": "och i att det är en den till på som med för av de inte ett jag om vet han hon vi men där har var kan från "
    "när vad sig du ska här",
    "fi": "ja on ei se että hän oli mutta ovat kun niin myös joka tai sen en kuka minä tämä ne jos kuin mitä hänen "
    "nyt vain siitä olla ole sitä",
    "pl": "potem kiedy gdzie dlaczego tutaj teraz także ten ta te i w na nie się jest z do że to jak od po przez "
    "oraz kto dla on ona ja ale był była są tak tylko co czy ma ich jego tym za już gdy",
    "cs": "a v na je se že to s z do pro jak od po nebo jsou kdo za asi on ona já ale byl byla tak jen co by jeho "
    "tím při ve který podle také",
    "sk": "a v na je sa že to s z do pre ako od po alebo sú kto za asi on ona ja ale bol bola tak len čo by jeho tým "
    "pri vo ktorý podľa tiež",
    "hu": "a az és nem hogy is egy van ez meg de vagy mint volt ki lesz ő én mi csak már ha el még azt ezt nagyon "
    "lehet kell",
    "ro": "și în de la cu nu este un o pe din care mai că pentru sunt ce ora cine el ea eu dar a fost se au ai lui "
    "al sau acest această",
    "tr": "ve bir bu da de için ile ne çok daha olarak var değil mi kim ama o ben biz her gibi kadar sonra olan en "
    "ya hiç nasıl neden sen",
    "id": "yang dan di ini itu dari dengan untuk tidak pada adalah ke ada saya siapa dia kami mereka akan bisa juga "
    "atau oleh karena sudah anda apa",
    "vi": "là và của có không được cho một các ở này với người tôi những đã trong khi để thì đó cô anh nó",
    "ru": "затем когда там здесь потом сейчас теперь также этот эта эти и в не на что с по это как из от для он его "
    "а но я кто был она они мы вы бы же было уже так только или если всё у за к о её при была были ему где",
    "uk": "і в не на що з та це як від до є у й його але я хто був вона вони ми ви було вже так тільки або якщо за о "
    "її при були була йому де бо також",
    "bg": "и в не на че с по това как от за той е са се да си тя те ние вие беше ще ли или ако към при без със през "
    "му им й го я които който още",
    "kk": "және мен бұл бір үшін болып деп бар емес ол біз сіз да де жоқ еді туралы кейін осы оның біздің қазақ жылы "
    "болды болады екен",
    "ar": "في من على أن إلى هذا التي مع عن ما هو لا هي كان أو ثم لم هل قد كل هذه الذي",
    "fa": "در به از که این را با است برای آن او می ما من شما و هم یا بود شد های اگر کرد",
    "ur": "میں کے ہے کی اور سے کو یہ کا نے ہیں وہ ہم آپ بھی تھا پر نہیں",
    "hi": "है के में की और से को का यह हैं नहीं ने वह हम आप भी था पर थे थी हो एक कर रहे",
    "mr": "आहे आणि हे या आहेत नाही व ते ती होते तो मी आम्ही तुम्ही पण होता होती झाले केले म्हणून ही आपल्या त्या त्याने",
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
    "ru": "ыэё",
    "bg": "ъ",
    "uk": "їєґі",
    "kk": "әғқңөұүһіы",
    "fa": "پچژگ",
    "ur": "ٹڈڑںےہھ",
}
"""Letters that few others of the same script have."""


_WORD = re.compile("[\\w\u0900-\u0dff]+")
"""A word; the vowel signs of Indic scripts are no word characters to `re`."""


@lru_cache(maxsize=8)
def identify(text: str) -> str:
    """The language (ISO 639-1) that `text`, a few hundred characters of it, is most likely in."""
    codes = _SCRIPTS.get(_main_script(text), FALLBACK).split()
    if len(codes) == 1:
        return codes[0]
    low = text.lower()
    signs = [_BY_WORD[word] for word in _WORD.findall(low) if word in _BY_WORD]
    if not low.isascii():
        signs += [_BY_LETTER[char] for char in low if char in _BY_LETTER]
    votes = dict.fromkeys(codes, 0)
    for spoken_for in signs:
        weight = _WEIGHT // len(spoken_for)
        for code in spoken_for:
            if code in votes:
                votes[code] += weight
    return max(votes, key=votes.__getitem__)


def _main_script(text: str) -> str:
    """The script that most of the letters are of, or one that only Japanese has."""
    if text.isascii():
        return "LATIN"
    scripts: Counter[str] = Counter()
    for char, times in Counter(text).items():
        if char.isalpha():
            scripts[_script(char)] += times
    if scripts["HIRAGANA"] or scripts["KATAKANA"]:
        return "HIRAGANA"
    return max(scripts, key=scripts.__getitem__, default="LATIN")


def is_common(word: str, language: str) -> bool:
    """Whether `word` is one of the commonest of `language`, and so is no abbreviation in it."""
    return language in _BY_WORD.get(word, ())


def _script(char: str) -> str:
    return "LATIN" if char.isascii() else unicodedata.name(char, "").partition(" ")[0]


def _languages_of(signs: Iterable[tuple[str, Iterable[str]]]) -> dict[str, tuple[str, ...]]:
    """For each word or letter the languages that it speaks for."""
    found: dict[str, tuple[str, ...]] = {}
    for code, those in signs:
        for sign in those:
            found[sign] = (*found.get(sign, ()), code)
    return found


_BY_WORD = _languages_of((code, words.split()) for code, words in _WORDS.items())
_BY_LETTER = _languages_of(_LETTERS.items())
_WEIGHT = 60
"""What a sign weighs that speaks for one language alone; what speaks for several is shared among them."""
