"""The process that runs a user's generator function: the stream as JSON on stdin, framed pieces on stdout.

`subprocess_source` starts it, by path, in the caller's interpreter and directory; `frames` reads what it reports. What
the user's code prints goes to stderr, and it reads an empty stdin.
"""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import importlib.util
import json
import os
import resource
import signal
import sys
import traceback
from typing import Any

if importlib.util.find_spec("ptstream") is None:
    # An interpreter that ptstream is not installed in: what is needed here lies beside this file.
    sys.path.append(os.path.abspath(os.path.join(os.path.dirname(__file__), *[os.pardir] * 3)))

from ptstream.errors import PtstreamError
from ptstream.generators import Note, Reasoning, Usage
from ptstream.generators.function.loading import load
from ptstream.generators.function.signature import appends, checked, events_of
from ptstream.generators.surrogates import PIECE, Surrogates, slices
from ptstream.streams import GenerationRequest, Status, Stream

PR_SET_PDEATHSIG = 1


class FrameWriter:
    """Writes one frame a line, each whole before the next, and counts the text."""

    def __init__(self, descriptor: int, offset: int) -> None:
        self._descriptor = descriptor
        self._offset = offset
        self._surrogates = Surrogates()

    async def append(self, text: str) -> int:
        """Hand over text; the offset where it ends, in bytes from the start of the stream."""
        if not isinstance(text, str):
            raise TypeError(f"append takes text (str), not {type(text).__name__}")
        self._text(self._surrogates.feed(text))
        await asyncio.sleep(0)  # let others run, also in a function that never waits
        return self._offset

    async def write(self, event: Any) -> None:
        """Hand over what a generator yields."""
        match checked(event):
            case Reasoning(text):
                self._parts("reasoning", text)
            case Note(text):
                self.frame("note", text[-PIECE:])
            case Usage(counts):
                self.frame("usage", dict(counts))
            case text:
                await self.append(text)

    def end(self) -> None:
        """The proof that all of it was said."""
        self._text(self._surrogates.end())
        self.frame("end", True)

    def frame(self, kind: str, value: Any) -> None:
        """Write one frame; waits while the reader is busy."""
        data = memoryview(json.dumps({kind: value}).encode("ascii") + b"\n")
        while data:
            data = data[os.write(self._descriptor, data) :]

    def _text(self, text: str) -> None:
        self._parts("text", text)
        self._offset += len(text.encode())

    def _parts(self, kind: str, text: str) -> None:
        """In several frames what is too long for one, so that whoever reads them needs to hold little."""
        for part in slices(text, PIECE):
            self.frame(kind, part)


async def run(target: str, stream: Stream, writer: FrameWriter) -> None:
    """Call the function and hand over all it gives."""
    function = load(target)
    if appends(function):
        await function(stream, writer.append)
    else:
        async for event in events_of(function, stream):
            await writer.write(event)
    writer.end()


def _end_with_parent() -> None:
    """Where the system can (Linux): nobody would hear us, and a silent function might go on for ever."""
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)


def _leave_no_core() -> None:
    """Of the prompt, and of the keys in the environment; a function that wants one may lift the limit again."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, resource.getrlimit(resource.RLIMIT_CORE)[1]))


def main() -> None:
    """Run the function that the only argument names; a failure of its own is a frame, too."""
    _end_with_parent()
    _leave_no_core()
    stream = _stream(json.load(sys.stdin))
    writer = FrameWriter(_private_stdout(), stream.bytes)
    try:
        asyncio.run(run(sys.argv[1], stream, writer))
    except BrokenPipeError:
        sys.exit(1)  # nobody reads any more
    except PtstreamError as error:
        writer.frame("error", str(error))
    except Exception as error:
        _print_traceback(error)
        writer.frame("error", _named(error))


def _private_stdout() -> int:
    """The real stdout, out of the reach of the user's code and of the processes it starts."""
    frames = os.dup(1)
    os.dup2(2, 1)
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.close(nothing)
    return frames


def _stream(table: dict[str, Any]) -> Stream:
    request = GenerationRequest(**table.pop("request"))
    rest: dict[str, Any] = dict.fromkeys(("error", "ended_at", "parent", "parent_offset"))
    return Stream(status=Status.STREAMING, request=request, **table, **rest)


OTHERS = (
    os.path.abspath(os.path.join(os.path.dirname(__file__), *[os.pardir] * 2)),
    os.path.dirname(asyncio.__file__),
    "<frozen",
)
"""Where code lies that is not the user's: ptstream's, asyncio's, Python's own."""


def _users(stack: traceback.StackSummary) -> list[traceback.FrameSummary]:
    """The lines of the user's own code."""
    return [frame for frame in stack if not frame.filename.startswith(OTHERS)]


def _print_traceback(error: Exception) -> None:
    """The user's own lines of it, and of what it came from."""
    shown = traceback.TracebackException.from_exception(error)
    each: traceback.TracebackException | None = shown
    while each is not None:
        each.stack[:] = _users(each.stack)
        each = each.__cause__ or each.__context__
    sys.stderr.write("".join(shown.format()))


def _named(error: Exception) -> str:
    """The exception in one line, with the line of the user's code where it came from."""
    frames = _users(traceback.extract_tb(error.__traceback__))
    where = f" ({os.path.basename(frames[-1].filename)}, line {frames[-1].lineno})" if frames else ""
    return traceback.format_exception_only(error)[-1].strip() + where


if __name__ == "__main__":
    main()
