"""What a fault cost: the numbers of its row, what else was measured, and what was found wrong."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

HEADER = ("fault", "times", "generated", "lost", "repeated", "no end")


@dataclass(slots=True)
class Tally:
    """A row of the table. The last three numbers must be zero; `wrong` must be empty."""

    title: str
    times: int = 0
    generated: int = 0
    lost: int = 0
    repeated: int = 0
    endless: int = 0
    notes: list[str] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)
    skipped: str | None = None

    @property
    def good(self) -> bool:
        """Whether nothing was lost, repeated, left without an end or otherwise wrong."""
        return not (self.lost or self.repeated or self.endless or self.wrong)

    def check(self, holds: object, otherwise: str) -> None:
        """Something is wrong unless `holds`."""
        if not holds:
            self.wrong.append(otherwise)


def lines(tallies: Iterable[Tally]) -> Iterable[str]:
    """The table, then what was measured beside it."""
    tallies = list(tallies)
    width = max([len(HEADER[0]), *(len(tally.title) for tally in tallies)])
    yield _line(width, HEADER)
    for tally in tallies:
        if tally.skipped:
            yield f"{tally.title:{width}}  skipped: {tally.skipped}"
        else:
            numbers = (tally.times, tally.generated, tally.lost, tally.repeated, tally.endless)
            yield _line(width, (tally.title, *(f"{number:,}" for number in numbers)))
    for tally in tallies:
        yield from (f"  {tally.title}: {note}" for note in tally.notes)


def _line(width: int, cells: tuple[str, ...]) -> str:
    first, *rest = cells
    return f"{first:{width}}" + "".join(f"{cell:>{size}}" for cell, size in zip(rest, (7, 14, 8, 10, 8), strict=True))
