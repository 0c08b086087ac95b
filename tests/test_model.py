"""Any history of streams, against a model of a few lines: a real database, real owners' locks, real tails.

What the model says is the contract: the text, the offsets, the statuses, what is refused, and what is left lying.
"""

from __future__ import annotations

import contextlib
import os
import tempfile
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import pytest
from anyio.from_thread import BlockingPortal, start_blocking_portal
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule, run_state_machine_as_test

from ptstream.engine.sqlite import migration
from ptstream.engine.sqlite.cursor import TextCursor, read_now
from ptstream.engine.sqlite.liveness import Lease
from ptstream.engine.sqlite.recovery import as_it_is, recover_all, recover_if_orphaned
from ptstream.engine.sqlite.store import Store
from ptstream.engine.sqlite.tail import FileTail
from ptstream.engine.sqlite.writer import SqliteWriter
from ptstream.errors import ClaimLost, NameTaken, NotFinished, OffsetBeyondEnd, StreamNotFound
from ptstream.settings import Home
from ptstream.streams import Claim, GenerationRequest, Parent, Status
from tests.conftest import read

LONG = "x世🙂" * 40_000
"""More than a reader's page, which ends inside a character."""

TEXTS = st.text(st.sampled_from("ab. \n\0é世🙂\ufeff\u200d\u2028"), max_size=6) | st.text(max_size=6) | st.just(LONG)

ENDS = st.sampled_from([status for status in Status if status.ended])


class Owner:
    """A process that drives, as far as the store can tell: a lock and a writer."""

    def __init__(self, home: Home, portal: BlockingPortal) -> None:
        self.lease = Lease(home)
        self.lives = True
        self._portal = portal
        self._store = Store(home)  # of the event loop's thread
        self._writer = portal.call(SqliteWriter, self._store, self.lease.id)
        self._opened = portal.wrap_async_context_manager(self._writer.open())
        self._opened.__enter__()

    def does(self, what: Callable[..., Any], *words: Any) -> Any:
        return self._portal.call(what, self._writer, *words)

    def close(self) -> None:
        self._opened.__exit__(None, None, None)
        self._portal.call(self._store.close)
        self.lease.release()


@dataclass(eq=False)
class Model:
    """One stream: `chunks` is in the store, `rest` in the tail alone."""

    id: str
    name: str | None = None
    prompt: str = "one"
    status: Status = Status.PENDING
    chunks: bytes = b""
    rest: bytes = b""
    error: str | None = None
    claim: Claim | None = None
    owner: Any = None
    tail: FileTail | None = None
    gone: bool = False
    last: Any = None

    @property
    def text(self) -> bytes:
        return self.chunks + self.rest

    @property
    def orphan(self) -> bool:
        return self.status is Status.STREAMING and not self.owner.lives

    @property
    def driven(self) -> bool:
        return self.status is Status.STREAMING and self.owner.lives

    def end(self, status: Status, error: str | None) -> None:
        self.chunks, self.rest, self.status, self.error = self.text, b"", status, error

    def met(self) -> None:
        if self.orphan:
            self.end(Status.ERROR, f"its owner died at byte {len(self.text)}")


@dataclass(eq=False)
class Reader:
    """One that comes back: `got` is what it was given since `start`."""

    model: Model
    cursor: TextCursor
    live: bool
    start: int
    got: bytes = b""

    def drain(self, look: bool) -> None:
        while data := self.cursor.read(look=look):
            self.got += data


def on(what: str, **given: Any) -> Callable[[Callable[..., None]], Any]:
    """A rule about a stream of which `what` is true, for as long as there is one."""

    def decorate(act: Callable[..., None]) -> Any:
        def chosen(self: Streams, data: st.DataObject, **words: Any) -> None:
            act(self, data.draw(st.sampled_from([model for model in self.models if getattr(model, what)])), **words)

        chosen.__name__ = act.__name__
        there_is_one: Any = precondition(lambda self: any(getattr(model, what) for model in self.models))
        as_rule: Any = rule(data=st.data(), **given)
        return there_is_one(as_rule(chosen))

    return decorate


class Streams(RuleBasedStateMachine):
    """What can happen to the streams of one home."""

    def __init__(self) -> None:
        super().__init__()
        self.models: list[Model] = []
        self.readers: list[Reader] = []
        with contextlib.ExitStack() as stack:
            self.home = Home(stack.enter_context(tempfile.TemporaryDirectory(prefix="pts-")) + "/home")
            migration.prepare(self.home)
            self.store = stack.enter_context(Store(self.home))
            self.portal = stack.enter_context(start_blocking_portal())
            self.stack = stack
            self.owners = [self.born(), self.born()]
            self.stack = stack.pop_all()

    def teardown(self) -> None:
        for held in [reader.cursor for reader in self.readers] + [model.tail for model in self.models if model.tail]:
            held.close()
        self.stack.close()

    def born(self) -> Owner:
        owner = Owner(self.home, self.portal)
        self.stack.callback(owner.close)
        return owner

    def rows(self, id: str = "%") -> list[Any]:
        """All that the database holds, of one stream or of all."""
        tables = (("streams", "id"), ("attempts", "stream"), ("chunks", "stream"))
        return [
            self.store.database.read(f"SELECT * FROM {table} WHERE {column} LIKE ?", (id,)) for table, column in tables
        ]

    @contextlib.contextmanager
    def refused(self, error: type[Exception]) -> Iterator[None]:
        """It is raised, and nothing has changed."""
        before = self.rows()
        with pytest.raises(error):
            yield
        assert self.rows() == before

    @rule(name=st.sampled_from((None, "a", "b")), prompt=st.sampled_from(("one", "two")))
    def create(self, name: str | None, prompt: str) -> None:
        has_it = next((model for model in self.models if name and model.name == name), None)
        if has_it is None:
            self.models.append(Model(self.store.create(GenerationRequest(prompt=prompt), name=name).id, name, prompt))
        elif has_it.prompt == prompt:
            assert self.store.create(GenerationRequest(prompt=prompt), name=name).id == has_it.id
        else:
            with self.refused(NameTaken):
                self.store.create(GenerationRequest(prompt=prompt), name=name)

    @on("id")
    def create_one_that_goes_on(self, model: Model) -> None:
        id = self.store.create(parent=Parent(model.id, len(model.chunks), True)).id
        self.store.begin(id, model.chunks.decode())
        self.store.begin(id, "only once")
        self.models.append(Model(id, chunks=model.chunks))

    @on("id", which=st.integers(0, 1))
    def claim(self, model: Model, which: int) -> None:
        if model.status is Status.PENDING:
            model.owner, model.status = self.owners[which], Status.STREAMING
            model.claim = model.owner.does(SqliteWriter.claim, model.id)
            assert model.claim == (model.id, 1, len(model.chunks))
        else:
            with self.refused(ClaimLost):
                self.owners[which].does(SqliteWriter.claim, model.id)

    @on("driven", text=TEXTS)
    def write(self, model: Model, text: str) -> None:
        self.write_and_a_part(model, text, b"")

    def write_and_a_part(self, model: Model, text: str, cut: bytes) -> None:
        assert model.claim
        if model.tail is None:
            model.tail = FileTail(self.store.tail_path(model.id, model.claim.epoch), model.claim.begin)
        model.tail.append(text.encode() + cut)
        model.rest += text.encode()

    @on("driven", size=st.integers(0, 9) | st.none())
    def append(self, model: Model, size: int | None) -> None:
        text = model.rest.decode()[:size]
        model.owner.does(SqliteWriter.append, model.claim, len(model.chunks), text, 1)
        model.chunks, model.rest = model.chunks + text.encode(), model.rest.removeprefix(text.encode())

    @on("claim", epoch=st.sampled_from((-1, 0, 1)), start=st.sampled_from((-1, 1, 7)), which=st.integers(0, 1))
    def write_without_the_right(self, model: Model, epoch: int, start: int, which: int) -> None:
        """To a stream that has ended, of another epoch, or where its chunks do not end."""
        assert model.claim
        claim = model.claim._replace(epoch=model.claim.epoch + epoch)
        words = (claim, len(model.chunks) + (0 if epoch or model.status.ended else start), "refused")
        for what, more in (
            (SqliteWriter.append, (1,)),
            (SqliteWriter.finish, (1, Status.DONE, None, None)),
            (SqliteWriter.reclaim, ()),
        ):
            with self.refused(ClaimLost):
                self.owners[which].does(what, *words, *more)

    @on("driven")
    def go_on_in_a_further_attempt(self, model: Model) -> None:
        model.owner.does(SqliteWriter.append, model.claim, len(model.chunks), model.rest.decode(), 1)
        model.chunks, model.rest = model.text, b""
        model.claim = model.owner.does(SqliteWriter.reclaim, model.claim, len(model.chunks), "dropped")
        if model.tail:
            model.tail.discard()
            model.tail = None

    @on("driven", status=ENDS, discard=st.booleans())
    def finish(self, model: Model, status: Status, discard: bool) -> None:
        cause = None if status is Status.DONE else f"the cause of {status}"
        model.owner.does(SqliteWriter.finish, model.claim, len(model.chunks), model.rest.decode(), 1, status, cause, {})
        model.end(status, cause)
        if model.tail and discard:
            model.tail.discard()

    @on("id", drain=st.booleans())
    def cancel(self, model: Model, drain: bool) -> None:
        self.store.cancel(model.id, drain=drain)
        if model.status.ended and not drain:
            model.last = None  # that its generator may go on is taken back
        if model.status is Status.PENDING:
            model.end(Status.CANCELLED, None)
        assert (model.id in [id for id, _ in self.store.cancelling()]) == (model.status is Status.STREAMING)

    @rule(which=st.integers(0, 1), released=st.booleans(), text=TEXTS, cut=st.integers(0, 3))
    def die(self, which: int, released: bool, text: str, cut: int) -> None:
        """In the middle of a write, if it has a stream; its lock file stays, unless it gave that up."""
        dead, self.owners[which] = self.owners[which], self.born()
        for model in [model for model in self.models if model.driven and model.owner is dead][:1]:
            self.write_and_a_part(model, text, "🙂".encode()[:cut])
        dead.lives = False
        (dead.lease.release if released else dead.lease.void)()

    @on("id", how=st.integers(0, 4))
    def meet(self, model: Model, how: int) -> None:
        model.met()
        if how == 0:
            assert recover_if_orphaned(self.store, model.id).standing.status is model.status
        elif how == 1:
            found = as_it_is(self.store, self.store.get(model.id))
            assert (found.status, found.bytes, found.error) == (model.status, len(model.text), model.error)
        elif how == 2:
            assert b"".join(read_now(TextCursor(self.store, model.id), len(model.text))) == model.text
        else:
            assert read(self.store, model.id, live=how == 3) == (model.text if how == 3 else model.chunks)

    @on("orphan")
    def meet_two_at_once(self, model: Model) -> None:
        model.met()

        def meet(_: int) -> tuple[bytes, str | None]:
            with Store(self.home) as own:
                return read(own, model.id), own.state(model.id).error

        with ThreadPoolExecutor(2) as pool:
            assert list(pool.map(meet, range(2))) == [(model.text, model.error)] * 2

    @on("id")
    def meet_without_being_able_to_write(self, model: Model) -> None:
        with (
            self.refused(ZeroDivisionError),
            contextlib.closing(migration.connect_writer(self.home)) as other,
            Store(self.home, busy_timeout=0) as reader,
        ):
            other.execute("BEGIN IMMEDIATE")
            assert read(reader, model.id) == model.text
            found = as_it_is(reader, reader.get(model.id))
            assert (found.status, found.bytes) == (Status.ERROR if model.orphan else model.status, len(model.text))
            raise ZeroDivisionError

    @rule()
    def sweep(self) -> None:
        recover_all(self.store)
        for model in self.models:
            model.met()
        claims = [model.claim for model in self.models if model.driven and model.tail and model.claim]
        assert set(os.listdir(self.home.tails)) == {f"{claim.id}.{claim.epoch}" for claim in claims}
        assert set(os.listdir(self.home.owners)) == {owner.lease.id for owner in self.owners}

    @on("id")
    def delete(self, model: Model) -> None:
        if model.status is Status.STREAMING:
            with self.refused(NotFinished):
                self.store.delete(model.id)
            return
        self.store.delete(model.id)
        self.models.remove(model)
        model.gone = True
        assert self.rows(model.id) == [[], [], []]
        with self.refused(StreamNotFound):
            self.owners[0].does(SqliteWriter.claim, model.id)
        assert self.store.shrink()

    @on("id", live=st.booleans(), share=st.floats(0, 1.1))
    def open_a_reader(self, model: Model, live: bool, share: float) -> None:
        start = round(len(model.text) * share)
        self.readers.append(Reader(model, TextCursor(self.store, model.id, start, live=live), live, start))

    @precondition(lambda self: self.readers)
    @rule(data=st.data(), look=st.booleans())
    def read_on(self, data: st.DataObject, look: bool) -> None:
        """From where it was; only a death commits nothing, so that a reader that does not look misses it."""
        reader = data.draw(st.sampled_from(self.readers))
        model, look = reader.model, look or reader.model.orphan
        beyond = (model.status.ended or model.orphan) and reader.start > len(model.text)
        if not reader.cursor.ended and (model.gone or beyond):
            model.met()
            with pytest.raises(StreamNotFound if model.gone else OffsetBeyondEnd):
                reader.drain(look)
        else:
            reader.drain(look)
            model.met()
            assert reader.got == (model.text if reader.live else model.chunks)[reader.start :]
            assert reader.cursor.ended == model.status.ended
        assert model.text[reader.start :].startswith(reader.got)

    @invariant()
    def each_is_what_the_model_says(self) -> None:
        assert [stream.id for stream in self.store.streams()] == [model.id for model in reversed(self.models)]
        for model in self.models:
            state = self.store.state(model.id)
            assert (state.status, state.bytes, state.error) == (model.status, len(model.chunks), model.error)
            assert self.joined(model.id) == model.chunks
            if not model.orphan:  # reading would end it
                assert read(self.store, model.id) == model.text
            if model.status.ended:
                model.last = model.last or self.rows(model.id)
                assert self.rows(model.id) == model.last

    def joined(self, id: str) -> bytes:
        """The chunks, each of which begins where the one before it ends."""
        text = b""
        select = "SELECT start, stop, CAST(text AS BLOB) FROM chunks WHERE stream = ? ORDER BY start"
        for start, stop, chunk in self.store.database.read(select, (id,)):
            assert (start, stop) == (len(text), len(text) + len(chunk))
            text += chunk
        return text


def test_any_history_of_streams_is_what_the_model_says() -> None:
    few = settings(max_examples=25, stateful_step_count=35, deadline=None, print_blob=True)
    run_state_machine_as_test(Streams, settings=few)
