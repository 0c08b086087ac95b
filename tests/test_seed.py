"""Coming from Convex: each thing that persistent-text-streaming's README shows, in its form here.

createStream → create, getStreamBody → body, stream with a chunk appender → drive, useStream → drive or follow,
deleteStream → delete. What ptstream-from-convex(7) says is these tests.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field

import anyio
import pytest

import ptstream
from ptstream.engine.sqlite.store import Store
from ptstream.settings import Home
from ptstream.streams import Status, Stream

pytestmark = pytest.mark.anyio

ANSWER = "Hi there!How are you?Pretend I'm an AI or something!"


@dataclass
class Chat:
    """What an app keeps of a chat: its own record, with the stream's id."""

    title: str
    prompt: str
    stream: str


@dataclass
class App:
    """An app's side of the example: its database of chats, over the streams."""

    pts: ptstream.PersistentStreams
    chats: list[Chat] = field(default_factory=list)
    generated: int = 0

    async def create_chat(self, prompt: str) -> Chat:
        """createStream: the id is stored with the chat's message."""
        chat = Chat("…", prompt, await self.pts.create(prompt=prompt))
        self.chats.append(chat)
        return chat

    async def get_chat_body(self, chat: Chat) -> ptstream.Body:
        """getStreamBody."""
        return await self.pts.body(chat.stream)

    async def generate_chat(self, stream: Stream, append: Callable[[str], Awaitable[int]]) -> None:
        """generateChat, with its chunk appender."""
        self.generated += 1
        await append("Hi there!")
        await append("How are you?")
        await append("Pretend I'm an AI or something!")

    async def use_stream(self, chat: Chat, driven: bool) -> AsyncIterator[tuple[str, Status]]:
        """useStream: the whole text so far and the status, driving it or following what is stored."""
        text = ""
        pieces = self.pts.drive(chat.stream, self.generate_chat) if driven else self.pts.follow(chat.stream, live=False)
        async for piece in pieces:
            text += piece.text
            yield text, Status.STREAMING
        yield text, (await self.pts.body(chat.stream)).status


@pytest.fixture
async def app(home: Home) -> AsyncIterator[App]:
    async with ptstream.open(home.path) as pts:
        yield App(pts)


async def test_create_a_chat_and_read_its_body(app: App) -> None:
    chat = await app.create_chat("Say hello")
    assert await app.get_chat_body(chat) == ("", Status.PENDING, 0, None)


async def test_stream_a_chat(app: App) -> None:
    chat = await app.create_chat("Say hello")
    text = "".join([piece.text async for piece in app.pts.drive(chat.stream, app.generate_chat)])
    assert text == ANSWER
    assert await app.get_chat_body(chat) == (ANSWER, Status.DONE, len(ANSWER), None)


async def test_it_is_stored_in_sentences(app: App, home: Home) -> None:
    chat = await app.create_chat("Say hello")

    async def slowly(stream: Stream, append: Callable[[str], Awaitable[int]]) -> None:
        for text in ("Hi there!", "How are you?", "Pretend I'm an AI or something!"):
            await append(text)
            with Store(home) as store:  # what is whole is committed before the next one comes
                while store.state(stream.id).bytes < ANSWER.index(text):
                    await anyio.sleep(0.001)

    [piece async for piece in app.pts.drive(chat.stream, slowly)]
    with Store(home) as store:
        rows = store.database.read("SELECT text FROM chunks WHERE stream = ? ORDER BY start", (chat.stream,))
    sentences = [text for (text,) in rows]
    assert "".join(sentences) == ANSWER
    assert sentences == ["Hi there!", "How are you?", "Pretend I'm an AI or something!"]


async def test_two_windows(app: App) -> None:
    """One drives, one subscribes to what is stored; both end with the same, and it was generated once."""
    chat = await app.create_chat("Say hello")
    ends: dict[str, tuple[str, Status]] = {}

    async def window(name: str, driven: bool) -> None:
        async for value in app.use_stream(chat, driven):
            ends[name] = value

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(window, "left", True)
        tasks.start_soon(window, "right", False)
    assert ends == {"left": (ANSWER, Status.DONE), "right": (ANSWER, Status.DONE)}
    assert app.generated == 1


async def test_a_reload_neither_drives_twice_nor_loses(app: App) -> None:
    """The original answers a second driver with 205; here it attaches, whether it runs or is over."""
    chat = await app.create_chat("Say hello")
    async for _ in app.use_stream(chat, driven=True):
        break
    texts = [text async for text, _ in app.use_stream(chat, driven=True)]
    assert texts[-1] == ANSWER
    assert app.generated == 1


async def test_the_tail_is_not_lost_on_error(app: App) -> None:
    """The original lost what had not been flushed when the generator failed."""

    async def fails(stream: Stream, append: Callable[[str], Awaitable[int]]) -> None:
        await append("A whole sentence. And half a")
        raise ConnectionError("gone")

    chat = await app.create_chat("Say hello")
    with pytest.raises(ptstream.StreamFailed):
        [piece async for piece in app.pts.drive(chat.stream, fails)]
    body = await app.get_chat_body(chat)
    assert (body.text, body.status) == ("A whole sentence. And half a", Status.ERROR)


async def test_delete_a_stream(app: App) -> None:
    chat = await app.create_chat("Say hello")
    [piece async for piece in app.pts.drive(chat.stream, app.generate_chat)]
    await app.pts.delete(chat.stream)
    with pytest.raises(ptstream.StreamNotFound):
        await app.get_chat_body(chat)


async def test_one_line_around_a_loop(home: Home) -> None:
    """What the original has no form for: the loop one already has."""
    said = [text async for text in ptstream.persist(_answer(), name="loop", path=home.path)]
    assert "".join(said) == ANSWER


async def _answer() -> AsyncIterator[str]:
    for text in ("Hi there!", "How are you?", "Pretend I'm an AI or something!"):
        yield text
