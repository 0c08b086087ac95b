"""JSON from outside: any that is reasonable is read, and any other is refused before it is parsed."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ptstream.generators.openai.event_stream import MAX_LINES, EventStream
from ptstream.strict_json import DEEPEST, MOST_VALUES, TooComplex, check, loads

values = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.text()),
    lambda inner: st.one_of(st.lists(inner), st.dictionaries(st.text(), inner)),
    max_leaves=30,
)


@given(values, st.booleans())
def test_what_is_reasonable_is_read(value: object, ascii_only: bool) -> None:
    text = json.dumps(value, ensure_ascii=ascii_only)
    assert loads(text) == loads(text.encode("utf-8", "surrogatepass")) == json.loads(text)


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("[" + "[]," * MOST_VALUES + "[]]", "values"),
        ("[" + "1," * (2 * MOST_VALUES) + "1]", "values"),
        ('{"a":"' + '\\"' * 1000 + '","b":[' + "{}," * MOST_VALUES + "{}]}", "values"),
        ("{}," * MOST_VALUES, "values"),
        ("[" * (DEEPEST + 1) + "]" * (DEEPEST + 1), "within each other"),
        ('{"a":' * (DEEPEST + 1) + "1" + "}" * (DEEPEST + 1), "within each other"),
        ("[" * 5_000_000, "within each other"),
    ],
)
def test_what_would_take_long_is_refused_before_it_is_parsed(text: str, what: str) -> None:
    with pytest.raises(TooComplex, match=what):
        loads(text)


def test_what_strings_hold_does_not_count() -> None:
    csv = "a,[b,{c,\n" * (2 * MOST_VALUES)
    assert loads(json.dumps({"prompt": csv, "more": ["x\\", '"', "\\"]}))["prompt"] == csv
    deepest = "[" * DEEPEST + "]" * DEEPEST
    assert loads(deepest) == json.loads(deepest)


@pytest.mark.parametrize("end", ["", "\\", '\\"', "\\\\"])
def test_a_string_without_an_end_is_looked_at_once(end: str) -> None:
    """And not again from each quote in it, which would take hours."""
    check("[" * 60 + "[]," * 60 + '"' + '\\"' * 5_000_000 + end)


def test_an_event_has_a_reasonable_number_of_lines() -> None:
    for line in (b"data: {\n", b"x y\n"):
        body = EventStream()
        with pytest.raises(TooComplex, match="lines"):
            for _ in range(MAX_LINES + 1):
                list(body.feed(line))


def test_many_objects_in_many_lines_are_as_many_as_they_like() -> None:
    body = EventStream()
    for _ in range(MAX_LINES + 1):
        assert list(body.feed(b'data: {"a":1}\n')) == [{"a": 1}]
