"""The conversation of `ptstream chat`: its last turn, and the stream that comes next. It prints nothing."""

from __future__ import annotations

from collections.abc import Callable

from ptstream.cli.drive_target import check, is_a_models, newest
from ptstream.conversation import Turn, turns
from ptstream.errors import StreamNotFound, UsageError
from ptstream.streams import GenerationRequest, Status, Stream, inherited
from ptstream.streams_protocol import Streams


class Talk:
    """One conversation. `given` is what its next turns are asked with: a model, a system prompt, options."""

    def __init__(self, streams: Streams, given: GenerationRequest) -> None:
        self.given = given
        self.doubt = ""
        """What was said last that speaks against its model: it is said once."""
        self._streams = streams
        self._last: str | None = None

    async def go_on(self, reference: str | None) -> None:
        """With the conversation of a stream, or the newest one that a model writes. Raises StreamNotFound."""
        found = await (newest(self._streams, _is_a_turn) if reference is None else self._streams.find(reference))
        self._last = found.id

    async def last(self) -> Stream | None:
        """The last turn as it is now; None before the first question. Raises UsageError for one that was deleted."""
        if self._last is None:
            return None
        try:
            return await self._streams.get(self._last)
        except StreamNotFound as error:
            self._last = None
            raise UsageError("the conversation has been deleted: the next question begins another one") from error

    async def asked(self) -> Stream:
        """The last turn. Raises UsageError where nothing has been asked."""
        last = await self.last()
        if last is None or not is_a_question(last):
            raise UsageError("nothing has been asked yet")
        return last

    async def turns(self) -> list[Turn]:
        """All of it, oldest turn first."""
        last = await self.last()
        return await turns(self._streams.get, last) if last else []

    async def ask(self, prompt: str, later: Callable[[str], None], *, instead: bool = False) -> Stream:
        """Make the next turn; `instead` of the last one, which its answer then does not follow.

        So it is as well where the last one was never begun, or failed at once and the same is asked again. `later` gets
        what speaks against it. Raises what forbids it, NotFinished while the last one runs.
        """
        request, last = self.given._replace(prompt=prompt), await self.last()
        before = Turn(last, None) if last else None
        if last and is_a_question(last) and (instead or _came_to_nothing(last, prompt)):
            request = inherited(last.request, request)
            before = next(iter((await turns(self._streams.get, last))[-2:-1]), None)
        parent, end = before or (None, None)

        def news(doubt: str) -> None:
            if doubt != self.doubt:
                later(doubt)
            self.doubt = doubt

        await check(self._streams, request, parent, news)
        stream = await self._streams.create(request, parent=parent.id if parent else None, parent_offset=end)
        self._last = stream.id
        return stream


def is_a_question(stream: Stream) -> bool:
    """Whether it was asked something, of a model."""
    return bool(stream.prompt) and not stream.command and not stream.generator


def _is_a_turn(stream: Stream) -> bool:
    """A model's, or one that was to be the next turn when its terminal was killed."""
    return is_a_models(stream) or (
        stream.status is Status.PENDING and stream.parent is not None and is_a_question(stream)
    )


def _came_to_nothing(last: Stream, prompt: str) -> bool:
    return last.status is Status.PENDING or (
        last.status in (Status.ERROR, Status.TIMEOUT) and not last.bytes and last.prompt == prompt
    )
