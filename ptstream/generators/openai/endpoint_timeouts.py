"""How long an endpoint is waited for, besides the limits of whoever drives; all are seconds.

While an answer goes on, whoever drives decides (`first_timeout`, `idle_timeout`). What is decided here is how long a
connection and a list of models may take, how long is waited for more when the answer has ended, and how long an answer
may take that comes in one piece. How long is waited before asking again is left to `retry`.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import anyio

from ptstream.errors import GeneratorTimeout

if TYPE_CHECKING:
    from ptstream.generators.openai.answer import Answer

CONNECT = 10.0
"""For a connection to open."""

LISTING = 15.0
"""For an endpoint to say which models it has, when it was asked for by name."""

LISTING_UNNAMED = 1.0
"""The same when nobody named it: then it is passed over."""

AFTER_FINISH_REASON = 30.0
"""After a finish reason, until more is said: usage, another choice, or text after all."""

AFTER_DONE = 2.0
"""For the end of the connection, when the endpoint has said that this was all."""

WHOLE_ANSWER = 600.0
"""For an answer in one piece, which is silent until it is whole: as long as OpenAI's clients wait by themselves."""


def for_next(answer: Answer, silence: float | None) -> float | None:
    """How long the next part of an answer is waited for; None while it goes on, where whoever drives decides.

    `silence` is how much of it whoever drives bears. The wait is shorter, so that a good end is not taken for silence.
    """
    if not answer.proven:
        return None
    return min(AFTER_DONE if answer.closed else AFTER_FINISH_REASON, (silence or AFTER_FINISH_REASON) / 2)


def beyond(silence: float | None) -> float:
    """How much longer than `silence` an answer in one piece may be silent; 0 where whoever drives bears any silence."""
    return max(0.0, WHOLE_ANSWER - (silence or WHOLE_ANSWER))


@contextmanager
def limit(seconds: float | None, host: str) -> Iterator[None]:
    """Raises GeneratorTimeout where the endpoint says nothing for so long."""
    try:
        with anyio.fail_after(seconds):
            yield
    except TimeoutError as error:
        setting = "first_timeout, or what is usual"
        raise GeneratorTimeout(f"{host} said nothing for {seconds:g} s ({setting})") from error
