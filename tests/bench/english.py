"""English text as a model writes it, in pieces the size of its tokens; the same for the same seed.

About 18 words a sentence and 1.3 pieces a word, in paragraphs, with the stops that end nothing.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from itertools import islice

SEED = 11


def _words(text: str) -> list[str]:
    return text.split()


_COMMON = [
    "the",
    "of",
    "and",
    "to",
    "a",
    "in",
    "that",
    "is",
    "was",
    "it",
    "for",
    "on",
    "with",
    "as",
    "be",
    "at",
    "by",
    "this",
    "had",
    "not",
    "are",
    "but",
    "from",
    "or",
    "have",
    "an",
    "they",
    "which",
    "one",
    "were",
    "all",
    "there",
    "when",
    "their",
    "would",
    "who",
    "been",
    "will",
    "more",
    "if",
    "no",
    "out",
    "so",
    "what",
    "up",
    "its",
    "about",
    "into",
    "than",
    "them",
    "can",
    "only",
    "other",
    "time",
    "new",
    "some",
    "could",
    "these",
    "two",
    "may",
    "first",
    "then",
    "do",
    "any",
    "like",
    "my",
    "now",
    "over",
    "such",
    "our",
    "man",
    "me",
    "even",
    "most",
    "made",
    "after",
    "also",
]

_LONGER = [
    "atmosphere",
    "scattering",
    "wavelength",
    "molecules",
    "sunlight",
    "direction",
    "particles",
    "observer",
    "horizon",
    "colour",
    "evening",
    "because",
    "through",
    "different",
    "between",
    "another",
    "without",
    "important",
    "question",
    "example",
    "answer",
    "system",
    "result",
    "process",
    "information",
    "connection",
    "generator",
    "database",
    "sentence",
    "durable",
    "reader",
    "writer",
    "memory",
    "language",
    "computer",
    "measurement",
    "experiment",
]

_ASIDES = (
    "e.g. a prism",
    "about 3.14 of it",
    "as Dr. Smith wrote",
    "(see https://a.b/c)",
    "i.e. the sky",
    "at 10 a.m.",
)


def pieces(count: int, seed: int = SEED) -> list[str]:
    """Exactly `count` pieces."""
    return list(islice(_pieces(random.Random(seed)), count))


def _pieces(chance: random.Random) -> Iterator[str]:
    while True:
        for number in range(chance.randint(3, 7)):
            for word in _sentence(chance):
                yield from _tokens(word, chance)
            if number == 0 and chance.random() < 0.1:
                yield from ("\n", "-", " a", " list", "'s", " item")
        yield "\n\n"


def _sentence(chance: random.Random) -> Iterator[str]:
    length = chance.randint(6, 30)
    for place in range(length):
        word = chance.choice(_LONGER if chance.random() < 0.3 else _COMMON)
        if chance.random() < 0.02:
            word = chance.choice(_ASIDES)
        yield word.capitalize() if place == 0 else f" {word}"
        if place % 9 == 8 and place < length - 1:
            yield ","
    yield chance.choice("....?!")
    yield " "


def _tokens(word: str, chance: random.Random) -> Iterator[str]:
    """The word, or two parts of a long one."""
    if len(word) > 8:
        middle = chance.randint(3, len(word) - 3)
        yield word[:middle]
        yield word[middle:]
    else:
        yield word
