"""Every call of the library once: `python -m ptstream.examples.library`. It needs no daemon and no model."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator

import ptstream


async def generate(stream: ptstream.Stream) -> AsyncIterator[str]:
    """A generator gives text, piece by piece …"""
    yield "Hi there! "
    yield f"You said: {stream.prompt}. "


async def append_text(stream: ptstream.Stream, append: Callable[[str], Awaitable[int]]) -> None:
    """… or appends it. Each call returns the offset where its text ends."""
    offset = await append("Hi there! ")
    await append(f"I began at byte {offset}. ")


def words() -> Iterator[str]:
    """A loop that a program has already."""
    yield from ("A loop ", "that you ", "have already.")


async def main() -> None:
    """The streams of a program."""
    async with ptstream.open() as pts:  # or open("a/directory"), for the program's own streams
        id = await pts.create(prompt="hello")
        async for piece in pts.drive(id, generate):  # leaving this loop stops no stream
            print(piece.text, end="")
        body = await pts.body(id)
        assert (body.text, body.status, body.offset) == ("Hi there! You said: hello. ", "done", 27)

        async for piece in pts.follow(id, offset=10):  # from any offset, by any program
            print(piece.text, end="")

        other = await pts.create(prompt="hello again")
        async for piece in pts.drive(other, append_text):
            print(piece.text, end="")
        newest, before = await pts.streams(limit=2)
        assert (newest.id, before.id) == (other, id)
        assert (await pts.stream(id)).prompt == "hello"

        await pts.cancel(id)  # it has ended already: it stays as it is
        await pts.delete(other)


if __name__ == "__main__":
    asyncio.run(main())
    for text in ptstream.persist(words()):  # one line around the loop
        print(text, end="")
