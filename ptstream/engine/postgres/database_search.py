"""Search: the server says which streams may hold the query, newest first; where it stands in them is found here.

So what a query means is what `text_search.py` says, on every engine, whatever the database's locale. The server looks
at a stream's text as a whole, across the seams of chunks. Streams are looked at some at a time: a search that is left
ends with those.
"""

from __future__ import annotations

import re
from collections.abc import AsyncGenerator, Callable

import anyio.lowlevel

from ptstream.engine.postgres.connections import Connections
from ptstream.engine.postgres.cursor import TextCursor
from ptstream.engine.postgres.queries import AS_IT_IS, KEPT
from ptstream.engine.protocol import Hit
from ptstream.engine.rows import stream_of
from ptstream.errors import StreamNotFound
from ptstream.streams import Stream
from ptstream.text_search import Places, alike, folded, places_beside

TOGETHER = 50
"""Streams that are looked at in one statement."""

LARGEST = 16 * 1024 * 1024
"""Bytes of a text that the server puts together; a larger one is looked at here."""

BLOCK = 256 * 1024
"""Bytes that are looked at together, about: a few milliseconds."""

SOME = f"""
WITH s AS MATERIALIZED (
  SELECT * FROM streams WHERE seq < %(before)s ORDER BY seq DESC LIMIT {TOGETHER}
), texts AS (
  SELECT s.seq, {KEPT} AS size, (
    SELECT string_agg(text, ''::bytea ORDER BY start, place) FROM (
      SELECT c.start, 0 AS place, c.text FROM chunks c WHERE c.stream = s.id
      UNION ALL
      SELECT p.start, 1, p.text FROM pieces p WHERE p.stream = s.id AND s.status = 'streaming' AND p.start >=
        coalesce((SELECT max(c.stop) FROM chunks c WHERE c.stream = s.id), s.bytes)
    ) parts WHERE s.bytes <= {LARGEST}
  ) AS text FROM s
)
SELECT texts.seq, texts.size > 0 AND (texts.size > {LARGEST} OR {{in_text}}), CASE WHEN {{in_prompt}} THEN prompt END,
  {AS_IT_IS}
FROM s JOIN texts USING (seq) LEFT JOIN prompts USING (seq) ORDER BY texts.seq DESC
"""

EXACTLY = "position(%(query)s::bytea IN {}) > 0"

# A text with NUL is none for PostgreSQL.
ANY_CASE = r"""CASE WHEN position('\x00'::bytea IN {0}) > 0 THEN true
  ELSE convert_from({0}, 'UTF8') ~ %(query)s END"""


def pattern(query: str) -> str:
    """A regular expression, as PostgreSQL has it, for all texts in which the folded query stands, in whatever case."""
    return "".join(f"[{''.join(sorted(letters))}]" if len(letters := alike(c)) > 1 else _plain(c) for c in query)


def _plain(character: str) -> str:
    return "." if character == "\0" else re.sub(r"([^\w\s])", r"\\\1", character, flags=re.ASCII)


async def search(
    connections: Connections, query: str, open_cursor: Callable[[str], TextCursor]
) -> AsyncGenerator[Hit, None]:
    """Every place where `query` stands. Written in lower case, it means capitals as well."""
    any_case = query == query.lower()
    stands = ANY_CASE if any_case else EXACTLY
    sql = SOME.format(in_text=stands.format("texts.text"), in_prompt=stands.format("prompt"))
    wanted = pattern(folded(query)) if any_case else query.encode()
    before = 2**62
    while rows := await connections.rows(sql, {"before": before, "query": wanted}):
        before = rows[-1][0]
        for _, may, prompt, *row in rows:
            stream = stream_of(row)
            asked = None if prompt is None else bytes(prompt).decode()
            for where, offset, line in places_beside(stream.replaced(prompt=asked), query):
                yield Hit(stream, offset, line, where)
            if may:
                async for offset, line in _places(open_cursor(stream.id), stream, query):
                    yield Hit(stream, offset, line)


async def _places(cursor: TextCursor, stream: Stream, query: str) -> AsyncGenerator[tuple[int, str], None]:
    finder = Places(query)
    try:
        while cursor.offset < stream.bytes and (data := await cursor.read()):
            await anyio.lowlevel.checkpoint()
            for place in finder.within(data.decode()):
                yield place
    except StreamNotFound:  # deleted meanwhile
        return
