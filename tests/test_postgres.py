"""What only PostgreSQL has: a server that dies and comes back, roles, and what others do in the same database.

What every engine promises is test_engine_contract.py's.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import traceback
import urllib.parse
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import anyio
import anyio.to_thread
import pytest

from ptstream.engine import open_engine
from ptstream.engine.protocol import Engine, Writer
from ptstream.errors import (
    ClaimLost,
    ConfigurationError,
    PtstreamError,
    StoreBusy,
    StoreNewer,
    StoreUnusable,
    StreamNotFound,
)
from ptstream.settings import Home
from ptstream.streams import Claim, GenerationRequest, State, Status
from ptstream.text_search import alike, folded
from tests import postgres
from tests.conftest import LIMIT
from tests.test_engine_contract import Place, claimed, engine, in_postgres, other, writer

__all__ = ["engine", "other", "writer"]

pytestmark = pytest.mark.anyio

HOME = Home("/nonexistent")
"""Nothing of it is used."""

SECRET = "hush%2Fhush"

PGBOUNCER = shutil.which("pgbouncer", path=f"{os.environ.get('PATH', '')}:/usr/sbin")


@pytest.fixture
def place(folder: Path) -> Iterator[Place]:
    """A schema of the test's own."""
    with in_postgres(folder) as made:
        yield made


@pytest.fixture
def url(place: Place) -> str:
    """Its URL."""
    return place.url


async def sql(url: str, statement: str, *values: Any) -> list[Any]:
    """What somebody else's statement gives."""
    import psycopg

    async with await psycopg.AsyncConnection.connect(url, autocommit=True) as connection:
        cursor = await connection.execute(statement.encode(), values or None)
        return await cursor.fetchall() if cursor.description else []


LEASES = (
    "FROM pg_locks JOIN pg_stat_activity USING (pid)"
    " WHERE locktype = 'advisory' AND granted AND application_name = %s AND application_name <> ''"
)
"""The sessions that hold the leases of one test."""


def named(url: str) -> list[str]:
    """What the connections of a test are called."""
    return [url.rpartition("application_name=")[2].partition("&")[0]]


@contextlib.asynccontextmanager
async def lock_taken_away(url: str, writer: Writer) -> AsyncIterator[None]:
    """The owner's session ends, and it takes its lock again only when this is over, as if its machine stood still."""
    from ptstream.engine.postgres.writer import PostgresWriter  # late: where there is no psycopg, tests are skipped

    assert isinstance(writer, PostgresWriter)
    async with writer._lease._lane._lock:
        await sql(url, f"SELECT pg_terminate_backend(pid) {LEASES}", *named(url))
        yield


async def refusal(url: str) -> PtstreamError:
    """Why the database cannot be listed: one line, in which no secret is."""
    with pytest.raises(PtstreamError) as raised:
        async with open_engine(HOME, url) as engine:
            await engine.listed()
    said = str(raised.value)
    assert "\n" not in said
    for secret in (SECRET, "hush/hush", postgres.PASSWORD):
        assert secret not in "".join(traceback.format_exception(raised.value))
        assert secret not in repr(raised.value)
    return raised.value


# --- owners


async def test_an_owner_that_was_declared_dead_is_refused(
    url: str, engine: Engine, other: Engine, writer: Writer
) -> None:
    """In each statement: it lives on, but its lock was lost, and somebody looked."""
    claim = await claimed(engine, writer)
    tail = await writer.tail(claim)
    tail.append(b"Shown. ")
    await tail.caught_up()
    async with lock_taken_away(url, writer):
        with anyio.fail_after(LIMIT):
            ended = await other.ended(claim.id)
    assert ended == State(Status.ERROR, 7, 7, "its owner died at byte 7", None)
    tail.append(b"Too late. ")
    for act in (
        tail.caught_up(),
        writer.append(claim, 0, "Shown. ", 1),
        writer.append(claim, 7, "Too late. ", 1),
        writer.reclaim(claim, 7, "again"),
        writer.finish(claim, 7, "Too late. ", 1, Status.DONE, None, None),
    ):
        with pytest.raises(ClaimLost):
            await act
    assert await writer.is_over(claim)
    assert (await other.recovered(claim.id), await other.text(claim.id)) == (ended, b"Shown. ")
    assert await sql(url, "SELECT count(*) FROM pieces") == [(0,)]
    again = await claimed(engine, writer)  # it takes its lock again, and goes on
    with anyio.fail_after(LIMIT):
        while not await sql(url, f"SELECT 1 {LEASES}", *named(url)):
            await anyio.sleep(0.05)
    assert (await other.recovered(again.id)).status is Status.STREAMING


async def test_an_owner_whose_connection_breaks_is_not_taken_to_be_dead(
    url: str, engine: Engine, other: Engine, writer: Writer
) -> None:
    """A pooler or an administrator ended its session: it takes its lock again at once, and who looks looks twice."""
    claim = await claimed(engine, writer)
    for _ in range(3):
        await sql(url, f"SELECT pg_terminate_backend(pid) {LEASES}", *named(url))
        assert (await other.recovered(claim.id)).status is Status.STREAMING
        with anyio.fail_after(LIMIT):
            while not await sql(url, f"SELECT 1 {LEASES}", *named(url)):
                await anyio.sleep(0.01)
    await writer.finish(claim, 0, "Whole.", 1, Status.DONE, None, None)


FORKING = """
import os, signal, sys, anyio
from ptstream.engine import open_engine
from ptstream.settings import Home
async def main(url, id):
    async with open_engine(Home('/nonexistent'), url) as engine, engine.writer() as writer:
        await writer.claim(id)
        if child := os.fork():
            print(child, flush=True)
            await anyio.sleep_forever()
        signal.pause()
anyio.run(main, *sys.argv[1:])
"""


async def test_a_forked_child_does_not_keep_its_parent_alive(url: str, engine: Engine) -> None:
    id = (await engine.create()).id
    words = [sys.executable, "-c", FORKING, url, id]
    with subprocess.Popen(words, stdout=subprocess.PIPE) as parent:  # noqa: ASYNC220
        assert parent.stdout
        child = int(await anyio.to_thread.run_sync(parent.stdout.readline))
        try:
            assert (await engine.recovered(id)).status is Status.STREAMING
            parent.kill()
            with anyio.fail_after(LIMIT):
                assert (await engine.ended(id)).error == "its owner died at byte 0"
            os.kill(child, 0)
        finally:
            os.kill(child, signal.SIGKILL)


async def test_a_caller_that_leaves_cancels_no_statement(engine: Engine, writer: Writer) -> None:
    """Each claim is known, to the caller or to nobody."""
    for _ in range(20):
        id = (await engine.create()).id
        got = None
        with anyio.CancelScope() as scope:
            scope.cancel()
            got = await writer.claim(id)
        assert got == Claim(id, 1, 0)
        with anyio.CancelScope() as scope:
            scope.cancel()
            await engine.get(id)
        with anyio.CancelScope() as scope:
            scope.cancel()
            await writer.finish(got, 0, "One. ", 1, Status.DONE, None, None)
        with anyio.fail_after(LIMIT):
            assert (await engine.ended(id)).status is Status.DONE
    assert "canceling statement" not in (postgres.shared().folder / "log").read_text()


async def test_what_was_claimed_while_the_connection_broke_is_known(url: str, engine: Engine, writer: Writer) -> None:
    """As often as all connections are broken, each claim is one owner's, and each chunk is there once."""
    over = anyio.Event()
    others = (
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = %s"
        " AND pid <> pg_backend_pid() AND query NOT LIKE '%%owner%%'"
    )

    async def breaks() -> None:
        while not over.is_set():
            await sql(url, others, *named(url))
            await anyio.sleep(0.03)

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(breaks)
        for _ in range(6):
            claim = await claimed(engine, writer)
            tail, text = await writer.tail(claim), b""
            for n in range(5):
                tail.append(b"%d. " % n)
                await writer.append(claim, len(text), f"{n}. ", n)
                text += b"%d. " % n
            await writer.finish(claim, len(text), "End.", 6, Status.DONE, None, None)
            tail.discard()
            assert await engine.text(claim.id) == text + b"End."
        over.set()


# --- the server dies


class Load:
    """Streams that are driven and followed, for as long as `stop` is not set."""

    def __init__(self, writer: Writer, reader: Engine, claims: list[Claim]) -> None:
        self.writer, self.reader, self.claims = writer, reader, claims
        self.given, self.shown = [b""] * len(claims), [b""] * len(claims)
        self.stop = anyio.Event()

    async def drive(self, n: int) -> None:
        """Pieces, and a chunk now and then."""
        tail, flushed = await self.writer.tail(self.claims[n]), 0
        while not self.stop.is_set():
            piece = b"%d.%d " % (n, len(self.given[n]))
            self.given[n] += piece
            if not tail.append(piece):
                await tail.caught_up()
            if len(self.given[n]) - flushed > 200:
                await self.writer.append(self.claims[n], flushed, self.given[n][flushed:].decode(), 1)
                flushed = len(self.given[n])
            await anyio.sleep(0.002)
        await self.writer.finish(self.claims[n], flushed, self.given[n][flushed:].decode(), 1, Status.DONE, None, None)
        tail.discard()

    async def follow(self, n: int) -> None:
        """All that is shown was given."""
        cursor = self.reader.cursor(self.claims[n].id)
        while not cursor.ended:
            if data := await cursor.read():
                self.shown[n] += data
                assert self.given[n].startswith(self.shown[n])
            elif not cursor.ended:
                await cursor.wait()

    async def goes_on(self) -> None:
        """Each stream shows more than it does now."""
        before = [len(text) for text in self.shown]
        with anyio.fail_after(LIMIT):
            while any(len(text) < size + 50 for text, size in zip(self.shown, before, strict=True)):
                await anyio.sleep(0.01)


async def test_streams_go_on_when_the_server_comes_back() -> None:
    """It is killed under load, twice; and once a process of it, which ends all its sessions."""
    with postgres.cluster() as cluster:
        url = cluster.url()
        async with (
            open_engine(HOME, url) as engine,
            open_engine(HOME, url) as other,
            engine.writer() as writer,
            anyio.create_task_group() as tasks,
        ):
            load = Load(writer, other, [await claimed(engine, writer) for _ in range(3)])
            for n in range(3):
                tasks.start_soon(load.drive, n)
                tasks.start_soon(load.follow, n)
            await load.goes_on()
            for _ in range(2):
                cluster.kill()
                with anyio.fail_after(LIMIT):
                    while writer.trouble is None:
                        await anyio.sleep(0.01)
                await anyio.to_thread.run_sync(cluster.start)
                await load.goes_on()
                assert {(await other.recovered(claim.id)).status for claim in load.claims} == {Status.STREAMING}
            sessions = "SELECT pid FROM pg_stat_activity WHERE application_name = 'ptstream'"
            os.kill((await sql(url, sessions))[0][0], signal.SIGKILL)
            await load.goes_on()
            load.stop.set()
        for claim, given, shown in zip(load.claims, load.given, load.shown, strict=True):
            rows = await sql(url, "SELECT text FROM chunks WHERE stream = %s ORDER BY start", claim.id)
            assert b"".join(text for (text,) in rows) == given == shown
        assert await sql(url, "SELECT count(*) FROM pieces") == [(0,)]


async def test_an_engine_whose_server_is_away_ends(folder: Path) -> None:
    """What cannot be written is left to recovery, at once, when the writer closes."""
    with postgres.cluster() as cluster:
        async with open_engine(HOME, cluster.url()) as engine, engine.writer() as writer:
            claim = await claimed(engine, writer)
            tail = await writer.tail(claim)
            tail.append(b"Shown. ")
            await tail.caught_up()
            cluster.kill()
            tail.append(b"Not shown. ")
            async with anyio.create_task_group() as tasks:

                async def finish() -> None:
                    with pytest.raises(PtstreamError, match=r"does not answer|reached"):
                        await writer.finish(claim, 0, "Shown. Not shown. ", 2, Status.DONE, None, None)

                tasks.start_soon(finish)
                await anyio.wait_all_tasks_blocked()
                writer.close()
            assert tail.kept == 7
            tail.close()
        cluster.start()
        await sql(cluster.url(), "DELETE FROM owners")  # it would be given 10 s to come back
        async with open_engine(HOME, cluster.url()) as engine:
            with anyio.fail_after(LIMIT):
                assert (await engine.ended(claim.id)).error == "its owner died at byte 7"


async def test_what_the_server_does_not_take_now_is_given_again(url: str, engine: Engine, writer: Writer) -> None:
    """As when its disk is full: nothing is shown, nothing is dropped, and the writer says why."""
    await sql(
        url,
        "CREATE FUNCTION full_disk() RETURNS trigger LANGUAGE plpgsql AS"
        " $$BEGIN RAISE EXCEPTION 'no space' USING ERRCODE = 'disk_full'; END$$",
    )
    claim = await claimed(engine, writer)
    tail = await writer.tail(claim)
    for table in ("pieces", "chunks"):
        await sql(url, f"CREATE TRIGGER full_disk BEFORE INSERT ON {table} EXECUTE FUNCTION full_disk()")
    tail.append(b"Shown. ")
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(writer.append, claim, 0, "Shown. ", 1)
        with anyio.fail_after(LIMIT):
            while not (writer.trouble and tail.trouble):
                await anyio.sleep(0.02)
        assert "no space" in tail.trouble
        assert (tail.kept, await engine.text(claim.id)) == (0, b"")
        for table in ("pieces", "chunks"):
            await sql(url, f"DROP TRIGGER full_disk ON {table}")
        with anyio.fail_after(LIMIT):
            await tail.caught_up()
    assert tail.trouble is None
    assert await engine.text(claim.id) == b"Shown. "
    await writer.finish(claim, 7, "", 1, Status.DONE, None, None)
    await sql(url, "DROP FUNCTION full_disk()")


async def test_who_comes_during_a_promotion_waits_for_it() -> None:
    """Of several servers none is the primary yet; one alone that is none is refused."""
    with postgres.cluster() as cluster:
        url = cluster.url()
        async with open_engine(HOME, url) as engine:
            id = (await engine.create()).id
        cluster.stop()
        (cluster.data / "standby.signal").touch()
        cluster.configure(cluster.data, "log_connections = on\n")
        cluster.start()
        assert "only reads" in str(await refusal(url))
        one = urllib.parse.urlsplit(url)
        options = dict(urllib.parse.parse_qsl(one.query))
        options |= {"host": f"127.0.0.1,{options['host']}", "port": f"1,{options['port']}"}
        several = f"postgresql:///postgres?{urllib.parse.urlencode(options)}"
        async with open_engine(HOME, several) as engine, anyio.create_task_group() as tasks:

            async def look() -> None:
                with anyio.fail_after(LIMIT):
                    assert [stream.id for stream in await engine.listed()] == [id]

            refused = (cluster.folder / "log").read_text().count("application_name=ptstream")
            tasks.start_soon(look)
            with anyio.fail_after(LIMIT):
                while (cluster.folder / "log").read_text().count("application_name=ptstream") < refused + 2:
                    await anyio.sleep(0.01)
            await sql(url, "SELECT pg_promote()")


async def test_what_breaks_amid_an_answer_is_said_again(url: str) -> None:
    """libpq's own errors have no code, and its connection may still seem open; the server's refusals have one."""
    import psycopg

    from ptstream.engine.postgres.server import Server

    server = Server(url)
    connection = await server.connect()
    assert server.broke(psycopg.OperationalError("consuming input failed: server closed the connection"), connection)
    assert not server.broke(psycopg.errors.DiskFull("no space"), connection)
    await connection.close()


async def test_a_standby_can_be_read_and_declares_nobody_dead(folder: Path) -> None:
    """Where the URL says that any server will do."""
    with postgres.cluster() as cluster:
        url = cluster.url()
        async with open_engine(HOME, url) as engine, engine.writer() as writer:
            ended, running = await claimed(engine, writer), await claimed(engine, writer)
            await writer.finish(ended, 0, "One. ", 1, Status.DONE, None, None)
            tail = await writer.tail(running)
            tail.append(b"Shown. ")
            await tail.caught_up()
            cluster.stop()
            tail.close()
            writer.close()
        (cluster.data / "standby.signal").touch()
        cluster.start()
        async with open_engine(HOME, f"{url}&target_session_attrs=any") as engine:
            assert await engine.text(ended.id) == b"One. "
            assert [stream.status for stream in await engine.listed()] == [Status.STREAMING, Status.DONE]
            cursor = engine.cursor(running.id)
            assert await cursor.read() == b"Shown. "
            for _ in range(2):
                await cursor.wait()
                assert (await cursor.read(), cursor.ended) == (b"", False)
            async with engine.search("own.") as hits:
                assert [hit.stream.id async for hit in hits] == [running.id]
            with pytest.raises(StoreBusy, match="only reads"):
                with anyio.fail_after(LIMIT):
                    await engine.create()


async def waits(url: str) -> bool:
    """Whether a commit waits for a standby now."""
    import psycopg

    connection = await psycopg.AsyncConnection.connect(url, autocommit=True)
    connection.pgconn.send_query(b"SELECT pg_logical_emit_message(true, 'test', '')")
    state = "SELECT wait_event = 'SyncRep', state FROM pg_stat_activity WHERE pid = %s"
    try:
        while (rows := await sql(url, state, connection.info.backend_pid)) != [(True, "active")]:
            if rows[0][1] == "idle" and not rows[0][0]:
                return False
    finally:
        connection.pgconn.finish()
    return True


async def test_without_its_standbys_writers_pause_and_readers_read(folder: Path) -> None:
    """Nothing is shown that is on one disk alone; when they are back, all goes on."""
    with postgres.cluster() as cluster:
        url = cluster.url()

        async def standbys(names: str) -> None:
            await sql(url, f"ALTER SYSTEM SET synchronous_standby_names = '{names}'")
            await sql(url, "SELECT pg_reload_conf()")
            with anyio.fail_after(LIMIT):
                while names and not await waits(url):  # another process of the server's makes it so
                    await anyio.sleep(0.01)

        async with open_engine(HOME, url) as engine, open_engine(HOME, url) as other, engine.writer() as writer:
            claim, last = await claimed(engine, writer), await claimed(engine, writer)
            tail = await writer.tail(claim)
            tail.append(b"Shown. ")
            await tail.caught_up()
            await standbys("gone")
            assert tail.append(b"Later. ")
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(writer.append, claim, 0, "Shown. Later. ", 2)
                with anyio.fail_after(LIMIT):
                    while writer.trouble is None or tail.trouble is None:
                        await anyio.sleep(0.05)
                assert "standbys" in writer.trouble
                for reader in (engine, other):
                    assert await reader.text(claim.id) == b"Shown. "
                    assert [stream.bytes for stream in await reader.listed()] == [0, 7]
                assert tail.kept == 7
                await standbys("")
            with anyio.fail_after(LIMIT):
                await tail.caught_up()
                while writer.trouble or tail.trouble:  # until the batch is answered that the flush has overtaken
                    await anyio.sleep(0.01)
            assert await other.text(claim.id) == b"Shown. Later. "
            await standbys("gone")
            async with anyio.create_task_group() as tasks:

                async def finish() -> None:
                    with pytest.raises(StoreBusy):
                        await writer.finish(last, 0, "", 0, Status.DONE, None, None)

                tasks.start_soon(finish)
                await anyio.wait_all_tasks_blocked()
                writer.close()
        assert "canceling" not in (cluster.folder / "log").read_text()
        await standbys("")
        async with open_engine(HOME, url) as engine:
            with anyio.fail_after(LIMIT):
                assert (await engine.ended(last.id)).status.ended  # by its owner's word, or as a dead one's


# --- while text flows


async def test_no_row_is_updated_while_text_flows(url: str, engine: Engine, other: Engine, writer: Writer) -> None:
    """So that a held snapshot makes nothing slow. Pieces that are in chunks are swept."""
    import psycopg

    claim = await claimed(engine, writer)
    tail = await writer.tail(claim)
    row = "SELECT ctid::text, xmin::text FROM streams WHERE id = %s"
    before, text = await sql(url, row, claim.id), b""
    async with await psycopg.AsyncConnection.connect(url) as holds:
        await holds.execute("SELECT count(*) FROM streams")
        cursor = other.cursor(claim.id)
        for n in range(20):
            tail.append(b"Word %d. " % n)
            await tail.caught_up()
            assert await cursor.read() == b"Word %d. " % n
            if n % 5 == 4:
                await writer.append(
                    claim, len(text), (b"".join(b"Word %d. " % m for m in range(n - 4, n + 1))).decode(), n
                )
                text = await other.text(claim.id)
        assert await sql(url, row, claim.id) == before
        with anyio.fail_after(LIMIT):
            while await sql(url, "SELECT 1 FROM pieces"):
                await anyio.sleep(0.02)
    assert await engine.text(claim.id) == text
    assert len(text) == tail.kept


async def test_pieces_beyond_a_hole_are_not_shown(url: str, engine: Engine, other: Engine, writer: Writer) -> None:
    """A flush may have overtaken some: the chunks have the text between."""
    claim = await claimed(engine, writer)
    await writer.append(claim, 0, "0123456789", 1)
    piece = "INSERT INTO pieces VALUES (%s, %s, 1, %s)"
    for start, text in ((0, b"0123"), (10, b"ab"), (15, b"xyz")):
        await sql(url, piece, claim.id, start, text)
    got = {}
    for offset in range(13):
        cursor, got[offset] = other.cursor(claim.id, offset), b""
        while data := await cursor.read():
            got[offset] += data
    assert got == {offset: b"0123456789ab"[offset:] for offset in range(13)}
    stored = other.cursor(claim.id, live=False)
    assert (await stored.read(), await stored.read()) == (b"0123456789", b"")
    await writer.finish(claim, 10, "abc", 1, Status.DONE, None, None)
    assert await other.text(claim.id, 9) == b"9abc"
    assert await sql(url, "SELECT count(*) FROM pieces") == [(0,)]


async def test_who_runs_it_is_told_that_there_is_one_disk(engine: Engine, writer: Writer) -> None:
    assert writer.warning
    assert "synchronous_standby_names" in writer.warning
    assert engine.location in writer.warning


# --- what is in the database, and who may do what


async def test_the_tables_can_be_made_by_an_administrator(url: str) -> None:
    from ptstream.engine.postgres import schema

    role, place = f"daemon_{os.urandom(4).hex()}", named(url)[0]
    server = postgres.shared()
    mine = server.tcp(role, options=f"-csearch_path={place}")
    await sql(server.url(), f"CREATE ROLE {role} LOGIN PASSWORD '{postgres.PASSWORD}'")
    await sql(server.url(), f"GRANT USAGE ON SCHEMA {place} TO {role}")
    try:
        said = str(await refusal(mine))
        assert role in said
        assert f'GRANT CREATE ON SCHEMA "{place}"' in said
        await sql(url, schema.ddl())
        await sql(server.url(), f"GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA {place} TO {role}")
        async with open_engine(HOME, mine) as engine, engine.writer() as writer:
            claim = await claimed(engine, writer)
            await writer.finish(claim, 0, "One. ", 1, Status.DONE, None, None)
            assert await engine.text(claim.id) == b"One. "
            assert postgres.PASSWORD not in engine.location
            assert role in engine.location
    finally:
        await sql(server.url(), f"DROP OWNED BY {role}; DROP ROLE {role}")


async def test_a_reader_s_role_reads_and_changes_nothing(url: str, engine: Engine) -> None:
    role, place = f"reader_{os.urandom(4).hex()}", named(url)[0]
    server = postgres.shared()
    async with engine.writer() as writer:
        claim = await claimed(engine, writer)
        tail = await writer.tail(claim)
        tail.append(b"Shown. ")
        await tail.caught_up()
        tail.close()
        await sql(
            server.url(),
            f"CREATE ROLE {role} LOGIN PASSWORD '{postgres.PASSWORD}'; GRANT USAGE ON SCHEMA {place} TO {role};"
            f" GRANT SELECT ON ALL TABLES IN SCHEMA {place} TO {role}",
        )
        try:
            async with open_engine(HOME, server.tcp(role, options=f"-csearch_path={place}")) as reads:
                assert await reads.text(claim.id) == b"Shown. "
                assert await reads.recovered(claim.id) == State(Status.STREAMING, 0, 7, None, None)
                with pytest.raises(StoreUnusable, match="may not do this"):
                    await reads.create()
                with pytest.raises(StoreUnusable, match="may not do this"):
                    async with reads.writer():
                        pass
                ended = State(Status.ERROR, 0, 7, "its owner died at byte 7", None)
                async with lock_taken_away(url, writer):
                    with anyio.fail_after(LIMIT):  # which it cannot write
                        assert await reads.ended(claim.id) == ended
                    cursor = reads.cursor(claim.id, live=False)
                    assert await cursor.read() == b"Shown. "
                    assert cursor.ended
                    assert [stream.status for stream in await reads.listed()] == [Status.ERROR]
        finally:
            await sql(server.url(), f"DROP OWNED BY {role}; DROP ROLE {role}")


async def test_databases_that_are_not_ours_are_refused(url: str, engine: Engine) -> None:
    await engine.create(GenerationRequest("x"))
    await sql(url, "UPDATE meta SET version = 99")
    with pytest.raises(StoreNewer, match="newer ptstream"):
        await engine.check()
    newer = await refusal(url)
    assert isinstance(newer, StoreNewer)
    async with open_engine(HOME, url) as late:
        with pytest.raises(StoreNewer):
            async with late.writer():
                pass
    await sql(url, "DROP TABLE meta")
    assert "not ptstream's" in str(await refusal(url))
    await sql(url, "CREATE TABLE meta (anything text)")
    assert "not ptstream's" in str(await refusal(url))
    assert "CREATE SCHEMA" in str(await refusal(postgres.shared().url(options="-csearch_path=nowhere")))


async def test_libpq_s_variables_hold_where_the_url_is_silent(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    from ptstream.engine.postgres.server import Server

    async def parameters(given: str) -> tuple[str, str, str]:
        async with await Server(given).connect() as connection:
            ((name,),) = await connection.rows("SELECT current_setting('application_name')")
            found = connection.info.get_parameters()
            return name, found["connect_timeout"], found.get("target_session_attrs", "any")  # which is the default

    silent = url.replace("application_name=", "fallback_application_name=")
    (name,) = named(url)
    assert await parameters(silent) == (name, "5", "read-write")
    for variable, value in (("PGAPPNAME", "mine"), ("PGCONNECT_TIMEOUT", "7"), ("PGTARGETSESSIONATTRS", "any")):
        monkeypatch.setenv(variable, value)
    assert await parameters(silent) == ("mine", "7", "any")
    assert await parameters(f"{url}&connect_timeout=9&target_session_attrs=primary") == (name, "9", "primary")


async def test_what_cannot_be_reached_says_why(url: str) -> None:
    server = postgres.shared()
    role = f"few_{os.urandom(4).hex()}"
    await sql(
        server.url(),
        f"CREATE ROLE {role} LOGIN CONNECTION LIMIT 0 PASSWORD '{postgres.PASSWORD}';"
        f" CREATE ROLE {role}_ro LOGIN PASSWORD '{postgres.PASSWORD}';"
        f" ALTER ROLE {role}_ro SET default_transaction_read_only = on",
    )
    try:
        for where, why in {
            f"postgresql://u:{SECRET}@127.0.0.1:1/db": "cannot be reached",
            server.tcp(role, "hush/hush"): "password",
            server.tcp(role): "has no connection left",
            server.tcp(f"{role}_ro"): "only reads",
            server.url().replace("/postgres?", "/nowhere?"): "not there as it was named",
        }.items():
            refused = await refusal(where)
            assert why in str(refused)
            assert isinstance(refused, ConfigurationError)
    finally:
        await sql(server.url(), f"DROP ROLE {role}, {role}_ro")
    for wrong in (f"postgresql://u:{SECRET}@[::1/db", f"postgresql://u:{SECRET}@h/db?no=such&option={SECRET}"):
        with pytest.raises(ConfigurationError, match="no URL") as raised:
            async with open_engine(HOME, wrong):
                pass
        assert SECRET not in "".join(traceback.format_exception(raised.value))
    async with open_engine(HOME, f"postgresql://u:{SECRET}@a,b:7/db?sslpassword={SECRET}") as engine:
        assert engine.location == "postgresql://u@a,b:7/db"
        assert SECRET not in repr(engine)


@pytest.mark.skipif(PGBOUNCER is None, reason="pgbouncer is not installed")
@pytest.mark.parametrize("mode", ["transaction", "session"])
async def test_a_pooler_of_transactions_is_refused(folder: Path, mode: str) -> None:
    """No lock of a session holds there, and so no owner's. One that pools sessions will do."""
    server = postgres.shared()
    users, port = folder / "users", postgres.free_port()
    users.write_text('"postgres" ""\n')
    (folder / "ini").write_text(
        f"[databases]\n* = host={server.folder} port={server.port} user=postgres\n[pgbouncer]\n"
        f"listen_addr = 127.0.0.1\nlisten_port = {port}\nunix_socket_dir =\nauth_type = any\nauth_file = {users}\n"
        f"pool_mode = {mode}\nignore_startup_parameters = options\n"
    )
    folder.chmod(0o755)
    words = [*postgres.as_other(), str(PGBOUNCER), str(folder / "ini")]
    with open(folder / "log", "wb") as log, subprocess.Popen(words, stderr=log, stdout=log) as pooler:  # noqa: ASYNC220
        try:
            with anyio.fail_after(LIMIT):
                while b"process up" not in (folder / "log").read_bytes():
                    assert pooler.poll() is None
                    await anyio.sleep(0.01)
            url = f"postgresql://postgres@127.0.0.1:{port}/postgres"
            if mode == "transaction":
                assert "pools transactions" in str(await refusal(url))
            else:
                async with open_engine(HOME, url) as engine:
                    with pytest.raises(StreamNotFound):
                        await engine.get("0" * 12)
        finally:
            pooler.terminate()


def test_without_its_client_it_says_what_to_install() -> None:
    code = (
        "import sys; sys.modules['psycopg'] = None\n"
        "from ptstream.engine import open_engine\n"
        "from ptstream.errors import ConfigurationError\n"
        "try: open_engine(None, 'postgres://h/db')\n"
        "except ConfigurationError as error: print(error)\n"
    )
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert "pip install 'ptstream[postgres]'" in said
    code = (
        "import sys, ptstream.engine; assert not any('postgres' in name or 'psycopg' in name for name in sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


# --- search


def test_a_pattern_finds_whatever_case_means_the_same() -> None:
    every = "".join(chr(number) for number in range(sys.maxunicode + 1) if not 0xD800 <= number < 0xE000)
    for character, small in zip(every, folded(every), strict=True):
        assert small == character or character in alike(small)


async def test_search_of_odd_texts(engine: Engine, writer: Writer) -> None:
    for text in ("a.b(c", "nul \0 here", "K\u0130S\u017f", "50%_\\d [x]"):
        claim = await claimed(engine, writer)
        await writer.finish(claim, 0, text, 1, Status.DONE, None, None)
    for query, count in ((".b(", 1), ("l \0 h", 1), ("kiss", 1), ("%_\\d [x", 1), ("a_b", 0), ("NUL", 0), ("nul", 1)):
        async with engine.search(query) as hits:
            assert len([hit async for hit in hits]) == count, query
