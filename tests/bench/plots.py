"""Curves as pictures, one PNG each; both axes are logarithmic, so that an order is a slope. Needs matplotlib."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path

from tests.bench.growth import Curve


def draw(folder: Path, curves: Iterable[Curve]) -> None:
    """Into the folder, which is made; named after their labels."""
    import matplotlib  # only here: the rows need none

    matplotlib.use("Agg")
    folder.mkdir(parents=True, exist_ok=True)
    for curve in curves:
        _draw(folder / f"{re.sub(r'[^a-z0-9]+', '-', curve.label.lower()).strip('-')}.png", curve)


def _draw(path: Path, curve: Curve) -> None:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6, 4), layout="constrained")
    axes = figure.subplots()
    for size, runs in curve.runs.items():
        axes.plot([size] * len(runs), runs, ".", color="0.7")
    sizes, fit = sorted(curve.points), curve.fit
    axes.plot(sizes, [curve.points[size] for size in sizes], "o", label="least")
    steps = [sizes[0] * (sizes[-1] / sizes[0]) ** (step / 100) for step in range(101)]
    axes.plot(steps, [fit.at(size) for size in steps], "-", label=f"fitted, {fit.order}")
    axes.set(title=curve.title, xlabel=curve.what, ylabel=curve.unit, xscale="log", yscale="log")
    axes.set_ylim(bottom=min(map(min, curve.runs.values())) / 2, top=max(map(max, curve.runs.values())) * 2)
    axes.legend()
    axes.grid(alpha=0.3)
    figure.savefig(path, dpi=120)
