"""Whether an endpoint that gave no answer is asked again, and how long is waited before that.

A wait that the endpoint names counts (`retry_after` finds it), else each is four times as long as the one before. A
server that loads its model is asked until it has. A refusal of a field of the request is left to `request`.
"""

from __future__ import annotations

import anyio

from ptstream.errors import Refused
from ptstream.generators.openai.chat_options import ChatOptions

FIRST_WAIT = 0.5
"""Seconds before the second try; each further wait is four times as long, unless the endpoint names one."""

LOADING_WAIT = 2.0
"""Seconds between two questions to a server that loads its model, which it does within `longest_wait` or not at all."""


class Retry:
    """How often one question has been asked, and since when its model is being loaded."""

    def __init__(self, options: ChatOptions) -> None:
        self._tries = 1
        self._max_tries = options.tries
        self._longest_wait = options.longest_wait
        self._loading_since: float | None = None

    def after(self, refusal: Refused) -> tuple[float, str | None]:
        """How many seconds to wait before asking again, and what to say meanwhile. Raises Refused where it is final."""
        if refusal.loading:
            return self._while_loading(refusal)
        wait = FIRST_WAIT * 4 ** (self._tries - 1) if refusal.wait is None else refusal.wait
        if refusal.again and wait > self._longest_wait:
            raise Refused(
                f"{refusal}; it wants not to be asked for {wait:g} s, longer than longest_wait"
                f" ({self._longest_wait:g} s)"
            ) from refusal
        if not refusal.again or self._tries >= self._max_tries:
            raise refusal
        self._tries += 1
        return wait, f"{refusal}; asking again in {wait:g} s"

    def _while_loading(self, refusal: Refused) -> tuple[float, str | None]:
        now, note = anyio.current_time(), None
        if self._loading_since is None:
            self._loading_since, note = now, f"{refusal}; waiting until it has"
        wait = min(max(refusal.wait or LOADING_WAIT, 0.05), 10 * LOADING_WAIT)
        if now + wait - self._loading_since > self._longest_wait:
            raise refusal
        return wait, note
