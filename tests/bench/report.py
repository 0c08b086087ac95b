"""How a benchmark says what it measured: rows of ours against something plain, and the ratio of the two.

A ratio is always ours divided by the other, both taken in the same run; what it was measured against is named in the
row. Absolute numbers belong to the machine. A goal stands where its row is measured, with the reason for it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from statistics import median
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tests.bench.growth import Curve

LABEL, OURS, AGAINST = 46, 14, 34
"""Widths of the table's columns."""


@dataclass(frozen=True, slots=True)
class Goal:
    """What a row's ratio should be at most, or, where more is better, at least; and why just that.

    With another `unit` than "x" it bounds the row's own value in that unit, not the ratio.
    """

    bound: float
    reason: str
    at_least: bool = False
    unit: str = "x"

    def met(self, measured: float) -> bool:
        """Whether this ratio, or value, is as good."""
        return measured >= self.bound if self.at_least else measured <= self.bound

    def __str__(self) -> str:
        space = "" if self.unit == "x" else " "
        return f"{'>=' if self.at_least else '<='} {self.bound:g}{space}{self.unit}"


@dataclass(frozen=True, slots=True)
class Row:
    """One line of the table. Without `against` it is only told, not compared."""

    label: str
    ours: str
    against: str = ""
    ratio: float | None = None
    goal: Goal | None = None
    value: float | None = None
    """Our number, in the unit that is printed; `floor` is that of what it is compared with."""
    floor: float | None = None

    @property
    def met(self) -> bool | None:
        """Whether its goal is met, if it has one."""
        if self.goal is None:
            return None
        measured = self.ratio if self.goal.unit == "x" else self.value
        return None if measured is None else self.goal.met(measured)


@dataclass(frozen=True, slots=True)
class Section:
    """What one benchmark found. `note` says what one has to know to read it, `runs` how often each row was taken."""

    title: str
    rows: Sequence[Row]
    note: str = ""
    runs: int = 1
    curves: Sequence[Curve] = ()
    """What can be drawn of it."""


def percentile(values: Sequence[float], share: float) -> float:
    """The value below which this share of them lies (the nearest one)."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(len(ordered) * share))]


def compared(label: str, ours: float, other: float, unit: str, other_name: str, goal: Goal | None = None) -> Row:
    """A row of two numbers of one unit."""
    ratio = ours / other if other else None
    return Row(label, f"{number(ours)} {unit}", f"{other_name} {number(other)} {unit}", ratio, goal, ours, other)


def alone(label: str, ours: float, unit: str, goal: Goal | None = None) -> Row:
    """A row of a number that has nothing beside it, bounded in its own unit."""
    return Row(label, f"{number(ours)} {unit}", goal=goal, value=ours)


def latencies(
    label: str,
    ours: Sequence[float],
    other: Sequence[float],
    other_name: str,
    middle: Goal | None = None,
    slow: Goal | None = None,
) -> list[Row]:
    """The middle and the slow end of two sets of latencies in nanoseconds, with a goal for each."""
    ends = percentile(ours, 0.95), percentile(other, 0.95)
    return [
        compared(f"{label}, p50", median(ours) / 1e6, median(other) / 1e6, "ms", other_name, middle),
        compared(f"{label}, p95", ends[0] / 1e6, ends[1] / 1e6, "ms", other_name, slow),
    ]


def number(value: float) -> str:
    """With as many digits as mean anything."""
    if value >= 100:
        return f"{value:,.0f}"
    return f"{value:.1f}" if value >= 10 else f"{value:.2f}"


def lines(section: Section) -> Iterator[str]:
    """The section as it is printed."""
    yield section.title
    for row in section.rows:
        ratio = "" if row.ratio is None else f"{row.ratio:.{2 if row.ratio >= 0.1 else 3}f}x"
        yield f"  {row.label:{LABEL}}{row.ours:>{OURS}}   {row.against:{AGAINST}}{ratio:>8}{_goal(row)}".rstrip()
    if section.note:
        yield f"  ({section.note})"
    yield ""


def _goal(row: Row) -> str:
    if row.goal is None:
        return ""
    return f"  goal {row.goal}{'' if row.met else ': not met'}"


def as_json(section: Section) -> list[dict[str, Any]]:
    """Its rows for programs: `met` is null where there is no goal, `goal` says what the ratio should be and why."""
    return [
        {
            "name": f"{section.title}: {row.label.strip()}",
            "value": row.value,
            "floor": row.floor,
            "ratio": row.ratio,
            "goal": row.goal and f"{row.goal}: {row.goal.reason}",
            "met": row.met,
            "runs": section.runs,
        }
        for row in section.rows
    ]
