"""Sizes, ages and durations for people. On the fast path: no datetime."""

from __future__ import annotations

import time


def size(count: int) -> str:
    """Bytes for a person."""
    if count < 1000:
        return f"{count} B"
    value, units = float(count), iter(["kB", "MB", "GB", "TB"])
    unit = next(units)
    value /= 1000
    while value >= 999.5 and unit != "TB":
        value, unit = value / 1000, next(units)
    return f"{value:.1f} {unit}" if value < 9.95 else f"{value:.0f} {unit}"


def age(moment: float, now: float | None = None) -> str:
    """How long ago, for a person."""
    seconds = max(0, int((time.time() if now is None else now) - moment))
    for unit, length in (("d", 86400), ("h", 3600), ("m", 60)):
        if seconds >= length:
            return f"{seconds // length}{unit}"
    return f"{seconds}s"


def duration(seconds: float) -> str:
    """How long, for a person: its two greatest units."""
    if seconds < 9.95:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    units = (("d", whole // 86400), ("h", whole // 3600 % 24), ("min", whole // 60 % 60), ("s", whole % 60))
    first = next(n for n, (_, count) in enumerate(units) if count)
    return " ".join(f"{count} {unit}" for unit, count in units[first : first + 2] if count)


def counted(count: int, thing: str) -> str:
    """So many of a thing, in words."""
    return f"{count} {thing}" if count == 1 else f"{count} {thing}s"
