"""What the Durable Streams protocol says of reading: parameters, headers, and the events that say where a reader is.

Names, headers and codes are those of PROTOCOL.md (5.5 to 5.8, 8, 10.1) in github.com/durable-streams/durable-streams;
`live=1`, the text itself until the end, and `stored=1`, what the database has and no more, are ours. A stream that is
`pending` or `streaming` is open there, one that has ended is closed; `ptstream-status` and `ptstream-error` say how.
"""

from __future__ import annotations

import re
import time
from collections.abc import Mapping
from enum import StrEnum
from typing import NamedTuple, Protocol

from ptstream import wire
from ptstream.errors import UsageError
from ptstream.http import server_sent_events
from ptstream.integers import count_of
from ptstream.streams import Status

CURSOR_EPOCH = 1728432000
CURSOR_INTERVAL = 20
"""Unix seconds and seconds: the cursor of live answers is the number of intervals since October 9, 2024 (10.1)."""

ERROR_LENGTH = 1000
"""Characters of a stream's error that a header holds at most."""

_CONTROL = re.compile(r"[\x00-\x1f\x7f]")


class Live(StrEnum):
    """How a reader waits for what is to come: the values of the parameter `live`."""

    TEXT = "1"
    LONG_POLL = "long-poll"
    EVENTS = "sse"


class ReportedState(Protocol):
    """Where a stream stands."""

    @property
    def status(self) -> Status: ...
    @property
    def error(self) -> str | None: ...
    @property
    def note(self) -> str | None: ...


class ReadParameters(NamedTuple):
    """What a request to read asks for: the offset in bytes (None: `now`), how it waits, the client's last cursor.

    `exact`: the data of events is base64, since in their plain lines a carriage return comes out as a line feed.
    `stored`: whole sentences out of the database, without the live text. `had_end`: it goes on by Last-Event-ID, as a
    browser's EventSource does when its connection was gone, after an end. `until_now`: the events that there are, and
    no more.
    """

    offset: int | None = 0
    live: Live | None = None
    cursor: int = 0
    exact: bool = False
    stored: bool = False
    had_end: bool = False
    until_now: bool = False


def read_parameters(query: Mapping[str, str], headers: Mapping[str, str]) -> ReadParameters:
    """The parameters of a request. Raises UsageError."""
    live = query.get("live")
    if live is not None and live not in list(Live):
        raise UsageError("live is 1, long-poll or sse")
    if (stored := query.get("stored")) not in (None, "1"):
        raise UsageError("stored is 1")
    last = headers.get("last-event-id", "") if live == Live.EVENTS else ""
    return ReadParameters(
        offset_of(last or query.get("offset", "-1")),
        Live(live) if live else None,
        count_of(query.get("cursor", "")) or 0,
        query.get("encoding") == "base64",
        stored is not None,
        had_end=is_end_id(last),
        until_now=server_sent_events.accepts_only_present(headers),
    )


def offset_of(word: str) -> int | None:
    """The parameter `offset` in bytes, None for `now`. Raises UsageError."""
    if word == "now":
        return None
    if word == "-1":
        return 0
    if (offset := count_of(word)) is None:
        raise UsageError("an offset is a number of bytes, -1 or now")
    return offset


def offset_word(offset: int) -> str:
    """An offset in bytes as the protocol wants it: sorted as a word, it is sorted as a number."""
    return f"{offset:016d}"


def is_end_id(word: str) -> bool:
    """Whether an event's id is that of an end: the offset in another form, so that whoever sends it has had the end."""
    return count_of(word) is not None and word == str(int(word))


def next_cursor(last: int) -> int:
    """The cursor of a live answer to a client whose last one was that: always a greater one."""
    return max(int((time.time() - CURSOR_EPOCH) // CURSOR_INTERVAL), last + 1)


def end_headers(state: ReportedState) -> dict[str, str]:
    """How a stream has ended, as headers, none if it has not; a cause may hold what no header can."""
    if not state.status.ended:
        return {}
    line = (state.error or "").replace("\r", " ").replace("\n", " ").encode("ascii", "backslashreplace").decode()
    error = _CONTROL.sub(lambda found: f"\\x{ord(found[0]):02x}", line)
    how = {"stream-closed": "true", "ptstream-status": state.status.value}
    return how | ({"ptstream-error": error[:ERROR_LENGTH]} if error else {})


def control_event(offset: int, *, cursor: int | None = None, up_to_date: bool = False) -> bytes:
    """Where the data before it leaves the reader; its id is that offset, to go on from by Last-Event-ID."""
    word = offset_word(offset)
    # By hand, since there is one for each piece: of numbers alone, which JSON has no escapes for.
    fields = "" if cursor is None else f',"streamCursor":"{cursor}"'
    now = ',"upToDate":true' if up_to_date else ""
    return f'event: control\nid: {word}\ndata: {{"streamNextOffset":"{word}"{fields}{now}}}\n\n'.encode()


def end_event(offset: int, state: ReportedState) -> bytes:
    """The same, the last one, after which the stream is closed, and how it has ended."""
    how = {"status": state.status.value, "error": state.error, "note": state.note}
    fields = {"streamNextOffset": offset_word(offset), "upToDate": True, "streamClosed": True, **how}
    return server_sent_events.event("control", wire.dumps(fields), str(offset))
