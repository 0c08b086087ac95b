"""How a benchmark says what it measured: rows of ours against something plain, and the ratio of the two.

A ratio is always ours divided by the other, both taken in the same run; what it was measured against is named in the
row. Absolute numbers belong to the machine.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from statistics import median

LABEL, OURS, AGAINST = 46, 14, 34
"""Widths of the table's columns."""


@dataclass(frozen=True, slots=True)
class Row:
    """One line of the table. Without `against` it is only told, not compared."""

    label: str
    ours: str
    against: str = ""
    ratio: float | None = None


@dataclass(frozen=True, slots=True)
class Section:
    """What one benchmark found. `note` says what one has to know to read it."""

    title: str
    rows: Sequence[Row]
    note: str = ""


def percentile(values: Sequence[float], share: float) -> float:
    """The value below which this share of them lies (the nearest one)."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(len(ordered) * share))]


def compared(label: str, ours: float, other: float, unit: str, other_name: str) -> Row:
    """A row of two numbers of one unit."""
    ratio = ours / other if other else None
    return Row(label, f"{number(ours)} {unit}", f"{other_name} {number(other)} {unit}", ratio)


def latencies(label: str, ours: Sequence[float], other: Sequence[float], other_name: str) -> list[Row]:
    """The middle and the slow end of two sets of latencies in nanoseconds."""
    return [
        compared(f"{label}, p50", median(ours) / 1e6, median(other) / 1e6, "ms", other_name),
        compared(f"{label}, p95", percentile(ours, 0.95) / 1e6, percentile(other, 0.95) / 1e6, "ms", other_name),
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
        yield f"  {row.label:{LABEL}}{row.ours:>{OURS}}   {row.against:{AGAINST}}{ratio:>8}".rstrip()
    if section.note:
        yield f"  ({section.note})"
    yield ""
