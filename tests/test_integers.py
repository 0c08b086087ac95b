"""Whole numbers as others write them, wherever one is read."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ptstream.cli.beginning import beginning_of
from ptstream.cli.options import seconds_of
from ptstream.config import Settings
from ptstream.errors import UsageError
from ptstream.generators import Caller
from ptstream.generators.models.known_endpoints import known_endpoints
from ptstream.generators.openai.proxies import exempt
from ptstream.integers import MAX_DIGITS, count_of

LONG = "9" * 5000
"""More digits than Python reads."""


@given(st.integers(0, 10**MAX_DIGITS - 1))
def test_a_number_is_read(number: int) -> None:
    assert count_of(str(number)) == number


@pytest.mark.parametrize("word", ["", "-1", "+1", " 1", "1 ", "1_0", "1.0", "0x1", "²", "١", "１", "1" * 19, LONG])
def test_anything_else_is_none(word: str) -> None:
    assert count_of(word) is None


def test_a_port_of_many_digits_is_none() -> None:
    """In variables of the environment that are others' to set."""
    assert (
        known_endpoints(Caller("/", {"OLLAMA_HOST": f"box:{LONG}"}), Settings())["ollama"].base_url
        == "http://box:11434/v1"
    )
    assert not exempt("http://box:80/", f"box:{LONG}")
    assert exempt("http://box:80/", f"box:{LONG}, box:80")


@pytest.mark.parametrize("word", ["١", LONG])
def test_options_take_plain_digits_alone(word: str) -> None:
    with pytest.raises(UsageError):
        beginning_of(word, None, None)
    with pytest.raises(UsageError):
        seconds_of(f"{word}s", "--ttl")
