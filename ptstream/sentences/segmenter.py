"""How the rules ask `sentencex`, which knows the abbreviations of some thirty languages."""

from __future__ import annotations

import re
from collections.abc import Callable

from ptstream.sentences.candidate import Candidate
from ptstream.sentences.quotes import MEMORY

Segmenter = Callable[[str, str], list[int]]
"""Language and text in; out, the indices of characters where sentences end, white space behind included."""

_PLAIN = str.maketrans(dict.fromkeys("\"'«»„“”‘’‚‹›()[]{}*_~`", " "))

_CONTRACTION = re.compile(r"(?<=[^\W\d_]{2})['’](?=[^\W\d_]{1,2}\b)")
"""The apostrophe in a word that is one word to the segmenter, too: `can't`, `cat's`."""

SEGMENTED_AS = {
    code: code
    for code in ["bg", "ca", "da", "de", "el", "en", "es", "fi", "fr", "it", "kk", "nl", "pl", "pt", "ru", "sk", "uk"]
}
SEGMENTED_AS |= {"cs": "sk", "no": "da"}
"""What the segmenter is given for a language with capitals; the rest it would take for English."""


def sentencex(language: str, text: str) -> list[int]:
    """The sentences' ends in `text`, as `sentencex` has them."""
    from sentencex import get_sentence_boundaries

    return [boundary["end_index"] for boundary in get_sentence_boundaries(language, text)]


def agrees(language: str, candidate: Candidate, following: str, segmenter: Segmenter) -> bool:
    """Whether it, too, ends a sentence at the candidate, if `following` comes next."""
    # Quotes and brackets have been judged here, and would only confuse it.
    head = f"{_CONTRACTION.sub('', candidate.before[-MEMORY:])}{candidate.terminator} ".translate(_PLAIN)
    return len(head) in segmenter(language, head + following.translate(_PLAIN))
