"""What all grammars share: how a right input is broken, and where it is cut."""

from __future__ import annotations

from collections.abc import Sequence
from typing import AnyStr, NamedTuple, TypeVar

from hypothesis import strategies as st

PLACES = 1 << 12
"""Places in an input; what is shorter is gone through again."""

ODD_BYTES = (
    *(
        b"\0",
        b"\xff",
        b"\xc3",
        b"\xed\xa0\x80",
        b"\xef\xbb\xbf",
        b"\r",
        b"\n",
        b"\r\n",
        b"\r\n\r\n",
        b"\t",
        b" ",
        b"\x7f",
    ),
    *(
        b"\x1b[2J",
        b"\x1b]0;t\x07",
        b"\x9b",
        b"\xe2\x80\xa8",
        b"\xe2\x80\xae",
        b'"',
        b"'",
        b"\\",
        b"{",
        b"}",
        b"[",
        b"]",
    ),
    *(
        b":",
        b",",
        b"=",
        b"#",
        b"%",
        b"/",
        b"..",
        b"%00",
        b"%2e",
        b"null",
        b"NaN",
        b"1e999",
        b"-0",
        b"\\u0000",
        b"\\ud800",
    ),
)

ODD_TEXT = (
    *("\0", "\x7f", "\x85", "\x9b", "\r", "\n", "\r\n", "\n\n", "\t", " ", "\u2028", "\u202e", "\u200f", "\ufeff"),
    *(
        "\ud800",
        "\udc00",
        "\ufffd",
        "\U000e0041",
        "👩‍👩‍👧",
        "é",
        "あ",
        "\x1b",
        "\x1b[31m",
        "\x1b]0;t\x07",
        "\x1b[",
        "\x1b]",
    ),
    *(
        *("*", "_", "`", "```", "~", "#", ">", "-", "1.", "|", "[", "]", "(", ")", "<", "&", "&#27;"),
        *("&#x200f;", "&#x202e;", "&#x2028;", "\u2066", "\u061c", "\u2029", "\ufe0f", "\\", "!", "=", ":"),
    ),
)

TIMES = (1, 1, 1, 2, 3, 50, 3000)
"""How often something odd comes at one place."""


T = TypeVar("T")


def one_of(pool: Sequence[T]) -> st.SearchStrategy[T]:
    """One of the pool. hypothesis's own prints all of it, which may be much."""
    return st.integers(0, len(pool) - 1).map(lambda number: pool[number])


class Edit(NamedTuple):
    """At a place so much goes, and something comes, perhaps again and again."""

    place: int
    gone: int
    come: bytes | str
    times: int


def edits(odd: Sequence[bytes] | Sequence[str], most: int = 4) -> st.SearchStrategy[list[Edit]]:
    """Some of them; often none."""
    edit = st.builds(
        Edit,
        st.integers(0, PLACES),
        st.sampled_from((0, 0, 1, 2, 10, 100, PLACES)),
        one_of((odd[0][:0], *odd)),
        st.sampled_from(TIMES),
    )
    return st.lists(edit, max_size=most)


def edited(whole: AnyStr, changes: Sequence[Edit]) -> AnyStr:
    """The input with the edits, one after the other."""
    for place, gone, come, times in changes:
        at = place % (len(whole) + 1)
        assert isinstance(come, type(whole))
        whole = whole[:at] + come * times + whole[at + gone :]
    return whole


def broken(inputs: st.SearchStrategy[bytes], most: int = 4) -> st.SearchStrategy[bytes]:
    """Bytes of a grammar, edited."""
    return st.builds(edited, inputs, edits(ODD_BYTES, most))


def broken_text(inputs: st.SearchStrategy[str], most: int = 4) -> st.SearchStrategy[str]:
    """A text of a grammar, edited."""
    return st.builds(edited, inputs, edits(ODD_TEXT, most))


CUTS = st.lists(st.integers(0, PLACES), max_size=8) | st.none()
"""Where an input is cut; None: everywhere."""


def pieces(whole: AnyStr, cuts: Sequence[int] | None) -> list[AnyStr]:
    """The input in pieces."""
    if cuts is None:
        return [whole[at : at + 1] for at in range(len(whole))]
    places: list[int] = sorted({cut % (len(whole) + 1) for cut in cuts})
    return [whole[a:b] for a, b in zip([0, *places], [*places, len(whole)], strict=True)]
