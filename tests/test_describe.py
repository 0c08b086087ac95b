"""Sizes, ages and durations as people read them."""

from __future__ import annotations

import pytest

from ptstream.cli.describe import age, counted, duration, size


@pytest.mark.parametrize(
    ("seconds", "said"),
    [
        (0, "0.0 s"),
        (0.94, "0.9 s"),
        (9.949, "9.9 s"),
        (9.95, "10 s"),
        (59.4, "59 s"),
        (59.6, "1 min"),
        (61, "1 min 1 s"),
        (3600, "1 h"),
        (3661, "1 h 1 min"),
        (86399.7, "1 d"),
        (90061, "1 d 1 h"),
        (400 * 86400 + 59, "400 d"),
    ],
)
def test_a_duration(seconds: float, said: str) -> None:
    assert duration(seconds) == said


@pytest.mark.parametrize(
    ("count", "said"), [(0, "0 B"), (999, "999 B"), (1000, "1.0 kB"), (999_600, "1.0 MB"), (12_345_678, "12 MB")]
)
def test_a_size(count: int, said: str) -> None:
    assert size(count) == said


def test_an_age() -> None:
    assert [age(0, now) for now in (-5, 59, 60, 7199, 86400 * 3)] == ["0s", "59s", "1m", "1h", "3d"]


def test_a_count() -> None:
    assert [counted(count, "stream") for count in (0, 1, 2)] == ["0 streams", "1 stream", "2 streams"]
