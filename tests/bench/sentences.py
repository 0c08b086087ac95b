"""How well and how fast sentences are found in text that arrives in pieces: `python -m tests.bench.sentences`.

Precision: how many flushes lie where a sentence ends. Recall: at how many sentence ends there was a flush, the text's
last left out. Nobody but the row that says so is told the language.
"""

from __future__ import annotations

import random
import re
import sys
import time
from collections.abc import Callable, Iterable, Iterator

from ptstream.sentences import Cutter
from ptstream.streams import Flush
from tests.bench.cases import Case, before_space, development, held_out, kinds_development, kinds_held_out, other_hands

SEED = 7
LONGEST_PIECE = 6
"""Characters."""

Way = Callable[[Case, Iterable[str]], Iterator[str]]
"""A way to cut: the case (for its language alone) and its pieces in, the flushed texts out."""


SETS: dict[str, Callable[[], list[Case]]] = {
    "answers, held out": held_out,
    "answers, development": development,
    "by other hands": other_hands,
    "kinds, held out": kinds_held_out,
    "kinds, development": kinds_development,
}
"""The sets of cases, by what the table calls them."""


def rows() -> list[tuple[str, list[tuple[float, float]]]]:
    """Label, and precision and recall on each of `SETS`, of each way."""
    sets = [cases() for cases in SETS.values()]
    return [(label, [score(way, cases) for cases in sets]) for label, way in WAYS.items()]


def score(way: Way, cases: list[Case]) -> tuple[float, float]:
    """Precision and recall of all flushes together."""
    right = made = wanted = 0
    for case in cases:
        found = flushes(way, case)
        right += len(found & case.ends)
        made += len(found)
        wanted += len(case.ends)
    return right / max(made, 1), right / wanted


def flushes(way: Way, case: Case) -> frozenset[int]:
    """Where the text of `case` is flushed before its end, as `Case.ends` counts."""
    at, found = 0, set()
    for text in way(case, pieces(case.text)):
        at += len(text)
        found.add(before_space(case.text, at))
    return frozenset(found - {0, before_space(case.text, len(case.text))})


def pieces(text: str) -> Iterator[str]:
    """`text` in pieces of one to six characters, the same ones every time."""
    chance = random.Random(f"{SEED} {text}")
    at = 0
    while at < len(text):
        size = chance.randint(1, LONGEST_PIECE)
        yield text[at : at + size]
        at += size


def any_stop(_case: Case, given: Iterable[str]) -> Iterator[str]:
    """Flushes with every piece that has a stop in it."""
    pending = ""
    for piece in given:
        pending += piece
        if re.search("[.!?]", piece):
            yield pending
            pending = ""


def segmenter(language: str | None, *, lookahead: bool) -> Way:
    """`sentencex` on what is pending, in `language` or else in the case's; perhaps one whole word later."""

    def way(case: Case, given: Iterable[str]) -> Iterator[str]:
        from sentencex import get_sentence_boundaries

        pending = ""
        for piece in given:
            pending += piece
            ends = [end["end_index"] for end in get_sentence_boundaries(language or case.language, pending)]
            certain = [end for end in ends if _follows(pending[end:], lookahead)]
            if certain:
                yield pending[: certain[-1]]
                pending = pending[certain[-1] :]

    return way


def _follows(text: str, lookahead: bool) -> bool:
    return bool(re.search(r"\S\s", text)) if lookahead else bool(text)


def ours(_case: Case, given: Iterable[str]) -> Iterator[str]:
    """The cutter, asked after each piece, its clock stopped."""
    cutter = Cutter(Flush.SENTENCES)
    for piece in given:
        cutter.push(piece, 0.0)
        if text := cutter.take(0.0):
            yield text


WAYS: dict[str, Way] = {
    "any piece with . ! ?": any_stop,
    "sentencex on each piece, told English": segmenter("en", lookahead=False),
    "the same, one word later": segmenter("en", lookahead=True),
    "the same, told the right language": segmenter(None, lookahead=True),
    "ptstream, told nothing": ours,
}


def microseconds(cases: list[Case]) -> float:
    """What a piece costs in `ours`, in microseconds: the least of five runs."""
    fed = [list(pieces(case.text)) for case in cases]
    best = min(_seconds(cases, fed) for _ in range(5))
    return best / sum(map(len, fed)) * 1e6


def _seconds(cases: list[Case], fed: list[list[str]]) -> float:
    begin = time.perf_counter()
    for case, given in zip(cases, fed, strict=True):
        for _ in ours(case, given):
            pass
    return time.perf_counter() - begin


def main() -> None:
    """Prints the table for all sets."""
    write = sys.stdout.write
    write(f"{'':38}" + "".join(f"{name:>22}" for name in SETS) + "\n")
    for label, scores in rows():
        write(f"{label:38}" + "".join(f"{precision:17.2f} {recall:.2f}" for precision, recall in scores) + "\n")
    write(f"ptstream costs {microseconds(held_out()):.1f} µs a piece\n")


if __name__ == "__main__":
    main()
