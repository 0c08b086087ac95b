"""How a cost grows with what there is: measured at several sizes, fitted, and named with its order.

What is constant, grows with the logarithm, with the size, or with its square is `a + b f(n)`, fitted by least squares
of the relative errors, since sizes lie powers of ten apart. A higher order is named only if it comes much closer than
the lower ones; a cost that hardly grows is constant, whatever fits what is left.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean

from tests.bench.report import Row, number

HARDLY = 1.3
"""By what factor a cost may grow, from the smallest size to the largest, and be called constant: noise is no order."""

MUCH = 0.7
"""What is left of the error where one fit is much closer than another."""

ORDERS: Mapping[str, Callable[[float], float]] = {
    "O(log n)": lambda n: math.log(n),
    "O(n)": lambda n: n,
    "O(n²)": lambda n: n * n,
}
"""Besides O(1)."""


@dataclass(frozen=True, slots=True)
class Fit:
    """`a + b f(n)`, where f is that of the order."""

    order: str
    a: float
    b: float = 0.0

    def at(self, n: float) -> float:
        """What it says for n."""
        return self.a + (self.b * ORDERS[self.order](n) if self.b else 0.0)

    def error(self, points: Mapping[float, float]) -> float:
        """The root of the mean square of its relative errors."""
        return math.sqrt(fmean((self.at(n) / cost - 1) ** 2 for n, cost in points.items()))


def fit(points: Mapping[float, float]) -> Fit:
    """The order of these costs by size."""
    constant = Fit("O(1)", fmean(points.values()))
    first, last = points[min(points)], points[max(points)]
    if last <= first * HARDLY:
        return constant
    best = constant
    for found in (_fitted(order, points) for order in ORDERS):
        if found.error(points) < MUCH * best.error(points):
            best = found
    return best


def _fitted(order: str, points: Mapping[float, float]) -> Fit:
    """Weighted linear regression: each error counts by the cost it is of."""
    weights = [(1 / cost**2, ORDERS[order](n), cost) for n, cost in points.items()]
    total = sum(weight for weight, _, _ in weights)
    mean_f = sum(weight * f for weight, f, _ in weights) / total
    mean_cost = sum(weight * cost for weight, _, cost in weights) / total
    spread = sum(weight * (f - mean_f) ** 2 for weight, f, _ in weights)
    b = sum(weight * (f - mean_f) * (cost - mean_cost) for weight, f, cost in weights) / spread
    a = mean_cost - b * mean_f
    if a < 0:  # nothing costs less than nothing
        squares = sum(weight * f**2 for weight, f, _ in weights)
        a, b = 0.0, sum(weight * f * cost for weight, f, cost in weights) / squares
    return Fit(order, a, b)


@dataclass(frozen=True, slots=True)
class Curve:
    """What `label` costs, in `unit`, at each number of `what`: all its runs."""

    label: str
    what: str
    unit: str
    runs: Mapping[int, Sequence[float]]

    @property
    def points(self) -> dict[float, float]:
        """The least at each size: whatever else the machine does only adds to it."""
        return {size: min(runs) for size, runs in self.runs.items()}

    @property
    def fit(self) -> Fit:
        """Its order."""
        return fit(self.points)

    @property
    def title(self) -> str:
        """With its order."""
        return f"{self.label}: {self.fit.order}"

    def row(self) -> Row:
        """The largest beside the smallest."""
        least, most = min(self.runs), max(self.runs)
        ours, other = self.points[most], self.points[least]
        beside = f"{_short(least)} {self.what} {number(other)} {self.unit}"
        return Row(
            f"{self.title}, {_short(most)} {self.what}",
            f"{number(ours)} {self.unit}",
            beside,
            ours / other,
            None,
            ours,
            other,
        )


def _short(size: int) -> str:
    """1000000 as 1M."""
    for unit, letter in ((1_000_000_000, "G"), (1_000_000, "M"), (1_000, "k")):
        if size >= unit and size % unit == 0:
            return f"{size // unit}{letter}"
    return str(size)
