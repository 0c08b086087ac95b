"""A candidate: a terminator in its text, behind which a sentence may end.

The term is that of sentence boundary disambiguation. What the rules ask of the text around it is answered here.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from ptstream.sentences.languages import identify

SAMPLE = 300
"""Characters by which the language is recognized."""

FEW_WORDS = 60
"""Characters before a terminator that hold the word it stands behind and what belongs to that."""

_LAST_WORD = re.compile(r"[^\s\"“”„«»()\[\]*_`]+\Z")


@dataclass(frozen=True, slots=True)
class Candidate:
    """The text before a terminator, and what may be the next sentence, as far as it is known.

    `earlier` came before all of that.
    """

    before: str
    terminator: str
    following: str
    earlier: str

    def near(self) -> str:
        """The last few words of the text before."""
        return self.before[-FEW_WORDS:]

    def word(self) -> str:
        """The word that the terminator stands behind, without what is elided before it (`l'`)."""
        found = _LAST_WORD.search(self.near())
        elided, _, word = found[0].replace("’", "'").rpartition("'") if found else ("", "", "")
        return elided + word if len(word) <= 2 < len(elided) else word

    def sample(self) -> str:
        """The text before, as much of it as shows the language."""
        return (self.earlier + self.before)[-SAMPLE:]

    def language(self) -> str:
        """The language of the text."""
        return identify(self.sample())
