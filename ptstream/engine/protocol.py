"""What an engine is to the rest of ptstream. These docstrings are its specification; `tests/test_engine_contract.py`
holds every engine to them.

An `Engine` makes all others: a `Cursor` for whoever reads, a `Writer` for an owner, and that one a `Tail` for each
attempt. How one owner leaves a stream to another stands in `handover.py`, what owners tell of themselves in
`roll_call.py`: that is part of this. All that could wait for a network is a coroutine; where an engine need not wait,
it never suspends. Nothing here assumes SQL, a file, or one transaction over several streams.

Every method may raise StoreUnusable (a database that is not ours, damaged, or not to be read), StoreNewer (a newer
ptstream's) and, where it writes, StoreBusy (nothing is written just now, and what was asked for did not happen).
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from ptstream.bell import Bell
from ptstream.engine.handover import HandsOver, ListsHandedOver
from ptstream.engine.roll_call import Hears, Tells
from ptstream.streams import Attempt, Claim, GenerationRequest, History, Kept, Parent, State, Status, Stream

if TYPE_CHECKING:
    from ptstream.engine.transfer import Archive, Intake


class Hit(NamedTuple):
    """Where a query stands: its stream, the offset of its first byte, and the line around it.

    `where` says in what: the stream's `text`, its `prompt`, its `title` or its `name`.
    """

    stream: Stream
    offset: int
    line: str
    where: str = "text"


class Tail(Protocol):
    """The live end of one attempt, on its owner's side: what has been given and is not in a chunk yet.

    What it has *kept* survives the death of its owner's process, and of whatever else the engine promises; only that is
    shown to anybody, the driver's own client included. An engine whose `append` keeps at once has `kept == end`.
    """

    bell: Bell
    """Rung when `kept` has grown, and when the tail is closed."""

    @property
    def end(self) -> int:
        """Where the text that was given ends, in bytes from the start of the stream."""

    @property
    def kept(self) -> int:
        """Where the text that is kept ends. Never beyond `end`; it only grows."""

    @property
    def trouble(self) -> str | None:
        """Why nothing is kept just now, in one sentence; None when all is well."""

    def append(self, data: bytes) -> bool:
        """Take whole characters, to be kept as soon as can be. Never waits, and forgets nothing.

        False when more may only be given after `caught_up`: what is not kept would grow without a bound.
        """

    async def caught_up(self) -> None:
        """Wait until all that was given is kept, or the tail is let go. Raises ClaimLost when it is another's."""

    def close(self) -> None:
        """Let go of it, and leave what it has kept to whoever recovers the stream. A further time nothing happens."""

    def discard(self) -> None:
        """Let go of it, once all of its text is in chunks, or of no use. Who reads it just now reads on to its end."""


class Writer(HandsOver, Tells, Protocol):
    """An owner's side, with its lease: while the context of `Engine.writer` lasts, nobody else ends its streams.

    Every statement names the claim's epoch. What is not this owner's any more is refused with ClaimLost by the engine
    itself, in the statement, and changes nothing. A process that dies, by whatever cause, loses its lease; one
    that is only stopped keeps it, as long as the engine can distinguish the two.
    """

    trouble: str | None
    """Why nothing is written just now, in one sentence; None when all is well."""

    closing: bool

    @property
    def warning(self) -> str | None:
        """What whoever runs the process should know of the engine, in one sentence: that its log grows, say."""

    def close(self) -> None:
        """From now on, what is not written at once is given up with StoreBusy instead of waited for."""

    async def claim(self, id: str, model: str | None = None, place: str | None = None) -> Claim:
        """The right to drive a pending stream, for a generator called `model` at `place`; it is `streaming` then.

        One atomic step: of many who claim, one gets it. Raises ClaimLost when it is not pending (any more),
        StreamNotFound. A caller that is cancelled meanwhile has its answer first: a claim is never made unknown to it.
        """

    async def reclaim(self, claim: Claim, begin: int, cause: str) -> Claim:
        """A further attempt at a stream that is ours, after one that ended by `cause`, where that one's text ends.

        That is byte `begin`, and all before it is in chunks. The epoch grows by one. Raises ClaimLost.
        """

    async def tail(self, claim: Claim) -> Tail:
        """The tail of this attempt, which begins at `claim.begin`. Raises StoreBusy when none can be made."""

    async def append(self, claim: Claim, start: int, text: str, pieces: int) -> None:
        """Make `text` a chunk that begins at byte `start`, where the last one ends; returns when it is durable.

        `pieces` is how many the attempt was given so far. Waits as long as nothing is written. Raises ClaimLost.
        """

    async def finish(
        self,
        claim: Claim,
        start: int,
        text: str,
        pieces: int,
        status: Status,
        cause: str | None,
        usage: Mapping[str, Any] | None,
        note: str | None = None,
    ) -> None:
        """The last chunk (none, if `text` is empty) and the end, both or neither. Waits, and raises, as `append` does.

        `cause` says why the end is a bad one, `note` what there is to know of a good one, `usage` what it took.
        """

    async def report_usage(self, claim: Claim, usage: Mapping[str, Any]) -> None:
        """What an attempt took, known only after its stream's end, which does not change."""

    async def is_over(self, claim: Claim) -> bool:
        """Whether the stream has ended, is gone or is another's: a refusal that leaves nothing to be done."""

    async def cancelling(self) -> Sequence[tuple[str, bool]]:
        """The running streams of this owner (others may be among them) that somebody has cancelled.

        With each, whether its generator may go on to its own end (see `Engine.cancel`). Asked several times a second.
        """


class Cursor(Protocol):
    """A reader: an offset in one stream. It holds no more than a page, costs its writer nothing, and may be dropped."""

    id: str

    @property
    def offset(self) -> int:
        """How far it has read, in bytes."""

    @property
    def state(self) -> State | None:
        """Where the stream stood when it was looked at last; None before the first look."""

    @property
    def ended(self) -> bool:
        """Whether the stream has ended and all its text has been read."""

    @property
    def up_to_date(self) -> bool:
        """Whether the last `read` is known to have given all that there was: `wait` comes next, not another one."""

    async def read(self) -> bytes:
        """The next run of whole characters, b"" if there is none now. Never waits for text.

        Chunks up to their end, then what the tail has kept, then the end: no byte is missed, and none given twice,
        also across a further attempt, a recovery and an end. A dead owner's stream is given its end by whoever looks.
        Raises StreamNotFound when the stream is deleted, OffsetBeyondEnd when it has ended before the offset.
        """

    async def wait(self) -> None:
        """Returns when there may be more than the last `read` saw: soon after there is, and now and then without.

        For a stream driven in this process at once; for another's live within 20 ms at most, and stored within some ms
        of the commit. A dead owner is noticed within a second.
        """

    async def size(self) -> int:
        """Where the stream's text ends now, in bytes: the tail's, if this reads live, else the chunks'."""

    def close(self) -> None:
        """Let go of what it holds open."""


class Engine(ListsHandedOver, Hears, Protocol):
    """The streams of one place. Belongs to one event loop."""

    @property
    def location(self) -> str:
        """Where that is, for a person: a path, or a URL without its password."""

    @property
    def lost(self) -> str | None:
        """What of it was removed or replaced beneath this process, if anything was: what is written now is lost."""

    # --- to make, and to change what has not begun

    async def create(
        self,
        request: GenerationRequest = ...,
        *,
        name: str | None = None,
        title: str | None = None,
        parent: Parent | None = None,
        ttl: float | None = None,
    ) -> Stream:
        """A new pending stream; with a taken name and the same request, the one that has it.

        `ttl` is how many seconds after its end it is kept; None: until it is deleted. Raises NameTaken for a taken
        name and another request, UsageError for a name that cannot be one or text that is not UTF-8.
        """

    async def fill(self, id: str, request: GenerationRequest) -> Stream:
        """Give a pending stream what it was created without. Raises RequestDiffers for what it has otherwise."""

    async def begin(self, id: str, text: str) -> None:
        """Decide how a pending stream begins that comes after another: with that one's text, or, if "", anew.

        Decided once: a further time nothing happens.
        """

    # --- to look

    async def get(self, id: str) -> Stream:
        """The stream with exactly this id, its prompts whole. Raises StreamNotFound."""

    async def find(self, reference: str) -> Stream:
        """The stream meant by an id, a name, `@last` (the newest) or an unambiguous beginning of an id, in this order.

        Of its prompt only the opening: `get` has all. Raises StreamNotFound, AmbiguousId, UsageError for what can be
        none of these.
        """

    async def recovered(self, id: str) -> State:
        """Where the stream stands, as a reader finds it: a dead owner's stream is first given its end.

        That is the text its tail has kept, and `error`, "its owner died at byte N", once, whoever is first. Where that
        cannot be written, the same is returned. Raises StreamNotFound.
        """

    async def as_it_is(self, stream: Stream) -> Stream:
        """What was read of the stream a moment ago, brought up to date as by `recovered`; `bytes` counts the tail."""

    async def listed(
        self, limit: int | None = None, status: Sequence[Status] = (), since: float | None = None
    ) -> list[Stream]:
        """Streams, newest first, each as `as_it_is` has it. Of their prompts only the openings.

        Of these statuses, if any is given; made at the moment `since` (Unix seconds) or later, if that is.
        """

    async def idle_since(self, moment: float, *, status: Status | None = None, keep: int = 0) -> list[Stream]:
        """Streams that ended (or, pending, were made) before `moment` (Unix seconds), oldest first.

        Without the `keep` newest of all; with `status`, only such. None of them is `streaming`.
        """

    async def attempts(self, id: str) -> list[Attempt]:
        """The stream's attempts, first one first."""

    async def histories(self, ids: Sequence[str]) -> list[History]:
        """How each of these came about, in their order; an empty one of a stream that there is not."""

    async def chunks(self, id: str, offset: int = 0, since: float = 0) -> list[Kept]:
        """The chunks that end behind byte `offset` and were kept at `since` or later, first one first.

        1,000 of them at most.
        """

    async def text(self, id: str, offset: int = 0, stop: int | None = None) -> bytes:
        """All the text there is now from byte `offset` to byte `stop` at most, the tail's included.

        Raises as `Cursor.read` does. In memory as a whole: who shows a text reads it by a `cursor`.
        """

    def search(self, query: str) -> AbstractAsyncContextManager[AsyncIterator[Hit]]:
        """Every place where `query` stands in any text, newest stream first. Leaving the context ends the search.

        Written in lower case, it means capitals as well. Raises UsageError for an empty one, and for one of more than
        `text_search.LONGEST_QUERY` characters.
        """

    # --- to read on, and to wait

    @property
    def wakes_live_readers(self) -> bool:
        """Whether a live reader is woken by each piece, whatever process drives: no daemon has it sooner."""

    def cursor(self, id: str, offset: int = 0, *, live: bool = True) -> Cursor:
        """A reader from byte `offset` on: every piece as it is kept if `live`, else chunks alone.

        Raises UsageError for what is no offset.
        """

    async def ended(self, id: str) -> State:
        """The stream's end, when it has one. Raises StreamNotFound."""

    # --- to end, and to remove

    async def cancel(
        self,
        id: str,
        *,
        drain: bool = False,
        delete: bool = False,
        otherwise: Callable[[], Awaitable[object]] | None = None,
    ) -> State:
        """End a pending stream; mark one that is streaming, for its owner to end. What has ended stays as it is.

        With `drain`, its generator may go on to its own end without it, so that its usage becomes known; a further
        cancel ends that. With `delete`, from its end on no reader finds it. `otherwise` is awaited once, when the mark
        is not taken at once; what it raises is raised. Raises StreamNotFound.
        """

    async def drains(self, id: str) -> bool:
        """Whether the generator of the stream, which was cancelled, may go on without it."""

    async def delete(self, id: str) -> None:
        """Remove an ended or pending stream and its text. Raises NotFinished while it is streaming, StreamNotFound."""

    async def delete_expired(self) -> int:
        """Delete the streams whose time to live is over; how many."""

    async def shrink(self) -> bool:
        """Take what was deleted out of wherever it still lies. False where that could not be done now."""

    # --- to own

    def writer(self) -> AbstractAsyncContextManager[Writer]:
        """A new owner. First, all streams of dead owners are given their ends.

        Raises ConfigurationError where the place does not carry what the engine relies on.
        """

    async def recover(self) -> None:
        """Give every stream of a dead owner its end, and remove what nobody needs any more."""

    async def migrate(self) -> None:
        """Make what this version of ptstream keeps its streams in, or bring an older one's up to date.

        Whoever opens the place first does so by itself. Raises StoreUnusable where that may not be done.
        """

    async def migration(self) -> str:
        """The same for an administrator to run, in the engine's own language; "" where nothing is to be done.

        Raises UsageError where there is no administrator but us.
        """

    async def check(self) -> None:
        """Raises StoreNewer when a newer ptstream has changed the database beneath this process."""

    # --- to be copied

    @property
    def archive(self) -> Archive:
        """All that is kept, as it is kept."""

    def intake(self) -> AbstractAsyncContextManager[Intake]:
        """A way in for streams of another place; what another one left half done goes first.

        Raises StoreBusy while somebody else has one, ConfigurationError where the place can take none.
        """
