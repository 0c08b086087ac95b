"""The benchmark's own reckoning: goals, orders of growth, what its readers count. It measures nothing here."""

from __future__ import annotations

import importlib
import inspect
import math
import random
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.bench import model_server
from tests.bench.__main__ import PARTS
from tests.bench.growth import Curve, fit
from tests.bench.report import Goal, Row, Section, alone, as_json, compared, lines
from tests.bench.text_readers import Answer


@pytest.mark.parametrize("name", PARTS.values())
def test_each_part_can_be_measured(name: str) -> None:
    measure = importlib.import_module(f"tests.bench.{name}").measure
    assert list(inspect.signature(measure).parameters) == ["quick"]


def test_a_goal_bounds_the_ratio_or_with_a_unit_the_number_itself() -> None:
    ratio = compared("start", 3.0, 2.0, "ms", "python", Goal(2, "why"))
    rate = compared("rate", 3.0, 10.0, "/s", "other", Goal(0.5, "why", at_least=True))
    more = Row("first byte", "+41 ms", "printf 1 ms", None, Goal(40, "why", unit="ms"), 41.0, 1.0)
    size = alone("a stream", 12.0, "kB", Goal(20, "why", unit="kB"))
    assert [row.met for row in (ratio, rate, more, size, alone("told", 1.0, "MB"))] == [True, False, False, True, None]
    section = Section("Title", [ratio, rate, more, size])
    assert [each["goal"] for each in as_json(section)] == [
        "<= 2x: why",
        ">= 0.5x: why",
        "<= 40 ms: why",
        "<= 20 kB: why",
    ]
    assert [line.partition("  goal ")[2] for line in lines(section)][1:5] == [
        "<= 2x",
        ">= 0.5x: not met",
        "<= 40 ms: not met",
        "<= 20 kB",
    ]


@pytest.mark.parametrize(
    ("order", "cost"),
    [
        ("O(1)", lambda n: 100.0),
        ("O(log n)", lambda n: 5 + 9 * math.log(n)),
        ("O(n)", lambda n: 0.003 * n),
        ("O(n)", lambda n: 60 + 0.01 * n),
        ("O(n²)", lambda n: 20 + 1e-6 * n * n),
    ],
)
@pytest.mark.parametrize("seed", range(5))
def test_an_order_is_told_through_noise(order: str, cost: Callable[[float], float], seed: int) -> None:
    chance = random.Random(seed)
    points = {10.0**power: cost(10.0**power) * chance.uniform(0.95, 1.05) for power in range(1, 6)}
    assert fit(points).order == order, f"seed {seed}: {points}"


def test_a_curve_is_a_row_and_a_picture(tmp_path: Path) -> None:
    curve = Curve("cat of all", "bytes", "ms", {10: [1.0, 1.1], 1_000: [1.2, 1.3], 1_000_000: [100.0, 110.0]})
    assert curve.row().label == "cat of all: O(n), 1M bytes"
    assert curve.row().ratio == pytest.approx(100)
    importlib.import_module("tests.bench.plots").draw(tmp_path / "plots", [curve])
    assert (tmp_path / "plots" / "cat-of-all.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize("step", [1, 2, 7, 1000])
def test_readers_count_the_text_and_not_its_frames(step: int) -> None:
    data = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n2\r\n\r\n\r\n0\r\n\r\n"
    answer = Answer(http=True)
    over = [answer.take(data[place : place + step]) for place in range(0, len(data), step)]
    assert (answer.size, over) == (5, [False] * (len(over) - 1) + [True])


def test_the_scripted_model_says_its_tokens_each_in_a_chunk_of_its_own() -> None:
    tokens = model_server.tokens(3)
    assert [token.count(b'"content"') for token in tokens] == [1, 1, 1]
