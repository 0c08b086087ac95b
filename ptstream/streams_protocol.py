"""What anybody wants of streams, wherever they are: one protocol, of which this file is the specification.

Commands and the daemon's routes are written against `Streams` and never ask where the streams are. `here.Here` has
those of a home on this machine, `client.there.There` those that a daemon has, over HTTP. All of them are held to what
is written here by `tests/test_streams_contract.py`.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from typing import NamedTuple, Protocol

from ptstream.errors import PtstreamError
from ptstream.roll_call import RunningDaemon
from ptstream.streams import Attempt, GenerationRequest, Kept, Status, Stream, TerminalSize


class Driven(NamedTuple):
    """What asking for a drive came to: which model is asked where, or that the stream was driven (or over) already."""

    attached: bool
    model: str | None
    place: str | None


class NumberedRemark(NamedTuple):
    """What a generator said beside its text; `kind` is `note`, `reasoning` or `stderr`, `number` counts from 1."""

    kind: str
    text: str
    number: int


class Details(NamedTuple):
    """All that is known of a stream but its text: its attempts, oldest first, and how many pieces and chunks it has."""

    stream: Stream
    attempts: list[Attempt]
    pieces: int
    chunks: int


class Listing(NamedTuple):
    """Streams, newest first; `complete`: whether no more of them are there than were asked for."""

    streams: list[Stream]
    complete: bool


class DetailedListing(NamedTuple):
    """The same with all that is known of each but its text."""

    details: list[Details]
    complete: bool


class Chunks(NamedTuple):
    """When a text came: its chunks, oldest first, and where the last of all ends; what comes after that is newer."""

    chunks: list[Kept]
    end: int


class Match(NamedTuple):
    """Where a text stands: the stream's id and title, the offset in bytes where it begins, the line around it.

    `where` says in what it stands, and so what the offset is one of: `text`, `prompt`, `title` or `name`.
    """

    id: str
    title: str
    offset: int
    line: str
    where: str = "text"


class Streams(Protocol):
    """The streams of one home. A stream is given as a reader finds it: its live text counted, a dead owner's ended.

    A method that takes `id` takes a whole id, as `find` gives it. An offset is in bytes of UTF-8 from the start of the
    text. Every method raises StreamNotFound for a stream that is not there (any more), StoreBusy and
    ConfigurationError when the store cannot be used, and DaemonUnreachable where a daemon is needed and not reached.
    """

    async def find(self, reference: str) -> Stream:
        """The stream meant by an id, a name, `@last`, or a beginning of an id that no other has.

        Of its prompt perhaps the opening alone: `get` has all. Raises AmbiguousId, and UsageError for what can be none
        of these.
        """
        ...

    async def get(self, id: str) -> Stream:
        """The stream, its prompts whole."""
        ...

    async def details(self, id: str) -> Details:
        """The stream, its prompts whole, and what is known of its attempts."""
        ...

    async def list(
        self, limit: int | None = None, status: Sequence[Status] = (), since: float | None = None
    ) -> Listing:
        """Streams, newest first, at most `limit`. Of their prompts the openings.

        Of these statuses, if any is given; made at the moment `since` (Unix seconds) or later, if that is.
        """
        ...

    async def list_details(
        self, limit: int | None = None, status: Sequence[Status] = (), since: float | None = None
    ) -> DetailedListing:
        """As `list`, with what `details` has of each, but for the prompts."""
        ...

    async def chunks(self, id: str, offset: int = 0, since: float = 0) -> Chunks:
        """When the text behind byte `offset` came: its chunks that were kept at `since` (Unix seconds) or later.

        At most 1,000 of them: to go on, ask from where the last one ends. None is there for what only the tail has.
        """
        ...

    async def idle_since(self, moment: float, *, status: Status | None = None, keep: int = 0) -> Sequence[Stream]:
        """Streams that ended (or, pending, were made) before `moment` (Unix seconds), oldest first.

        Without the `keep` newest of all; with `status`, only such. None of them is running. There may be more of
        them than are given: those that are, are the oldest.
        """
        ...

    async def create(
        self,
        request: GenerationRequest,
        *,
        name: str | None = None,
        title: str | None = None,
        parent: str | None = None,
        parent_offset: int | None = None,
        ttl: float | None = None,
    ) -> Stream:
        """Make a pending stream; with a taken name and the same request, the one that has it.

        With `parent`, an id, it comes after that stream's text, up to `parent_offset` if that is given: as the next
        turn of a conversation if there is a prompt, else as a continuation. `ttl` is how many seconds after its end it
        is kept; None: until it is deleted. Raises NameTaken, UsageError; NotFinished for a parent that has not ended,
        OffsetBeyondEnd.
        """
        ...

    async def fill(self, id: str, request: GenerationRequest) -> Stream:
        """Give a pending stream what it was made without. Raises RequestDiffers, UsageError."""
        ...

    async def check(self, request: GenerationRequest) -> str | None:
        """What speaks against driving a stream of this request from here, None if nothing is known to.

        Raises what keeps it from being driven at all: ConfigurationError, NoModel, ModelNotFound, NoPrompt.
        """
        ...

    async def drive(
        self, id: str, *, stderr: bool = False, on_drop: bool = False, terminal: TerminalSize | None = None
    ) -> Driven:
        """Have a pending stream driven; one that is driven, or has ended, is left as it is. Returns once it has begun.

        `stderr` makes what a command writes there text as well; `terminal` is the size that the pseudo-terminal of a
        command has at first, if it has one. With `on_drop` it goes on when its provider breaks off. Raises what stood
        in the way, the stream being pending still: ConfigurationError, UsageError.
        """
        ...

    async def resize(self, id: str, size: TerminalSize) -> None:
        """Give the pseudo-terminal of a running command this size. One that has none is left as it is.

        So is one that another daemon drives than the one that `drive` asked: nothing tells it.
        """
        ...

    async def begun(self, id: str) -> bool:
        """Whether the stream is pending no more, as far as is known without asking another machine. Raises nothing."""
        ...

    def follow(self, id: str, offset: int = 0, *, live: bool = True) -> AsyncGenerator[bytes, None]:
        """The text from `offset` on, in runs of bytes as they come, until the stream has ended and all was given.

        A `live` one gets every piece; else whole sentences, out of the store alone. Each byte is given once, whatever
        broke meanwhile. Raises OffsetBeyondEnd.
        """
        ...

    def read(self, id: str, offset: int = 0) -> AsyncGenerator[bytes, None]:
        """The text that is there now from `offset` on, in runs of bytes. Raises OffsetBeyondEnd."""
        ...

    def remarks(self, id: str, after: int = 0) -> AsyncGenerator[NumberedRemark, None]:
        """What the running attempt says beside its text, after that number, until it ends.

        A connection that breaks for good is no error here: reading the text reports it.
        """
        ...

    async def wait(self, id: str) -> Stream:
        """The stream, once it has ended."""
        ...

    async def cancel(self, id: str, *, drain: bool = False) -> Stream:
        """End the stream, its text kept, and see its owner do it; one that has ended is left as it is.

        With `drain`, a model goes on to its own end, so that its usage becomes known. Raises OwnerStopped when the
        owner lives and does not answer; NotFinished when its generator was stopped, and the store takes no end yet.
        """
        ...

    async def delete(self, ids: Sequence[str]) -> Sequence[PtstreamError]:
        """Remove these streams and their text; those that run are cancelled first.

        What kept any of them from being removed, an error each: one that cannot be removed keeps no other.
        """
        ...

    async def daemons(self) -> Sequence[RunningDaemon]:
        """The daemons that keep their streams there, as far as they live: the one that began first, first."""
        ...

    def search(self, query: str, limit: int | None = None) -> AsyncGenerator[Match, None]:
        """Where `query` stands in names, titles, prompts and texts, newest stream first, at most `limit` places.

        In lower case it means capitals as well. What a stream is called that has no title, its command, is one.

        Raises UsageError for an empty query, and for one of more than 1,000 characters.
        """
        ...
