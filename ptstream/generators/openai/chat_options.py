"""How an endpoint wants to be asked, as far as that is known beforehand: from the config file, or from its kind.

Free of HTTP, so that whoever only looks a model up loads none.
"""

from __future__ import annotations

from dataclasses import dataclass

TRIES = 3
"""How often an endpoint is asked, in all."""

LONGEST_WAIT = 120.0
"""Seconds: an endpoint that wants not to be asked for longer has refused."""


@dataclass(frozen=True, slots=True)
class ChatOptions:
    """How an endpoint is asked. Times are seconds."""

    stream: bool = True
    stream_options: bool = True
    """Whether it is asked for a stream, and for usage at its end."""
    tries: int = TRIES
    longest_wait: float = LONGEST_WAIT
    """How long it may want not to be asked for."""
    silence: float | None = None
    """How much silence makes whoever drives give up; None: none does."""


USUAL = ChatOptions()
