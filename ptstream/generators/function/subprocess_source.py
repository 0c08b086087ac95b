"""A generator function that `--generator` names, run for the daemon in a process of its own.

The process is the caller's interpreter in the caller's directory: user code never runs in the daemon. It is started and
ended as any command; what it reports is read by `frames`.
"""

from __future__ import annotations

import os
import sys
from typing import Any, NoReturn

from ptstream import strict_json
from ptstream.errors import GeneratorError
from ptstream.generators import Caller, Generation, Source, Stderr
from ptstream.generators.child_process import ChildProcess, running
from ptstream.generators.function.frames import Frames
from ptstream.generators.function.loading import check_target
from ptstream.generators.utf8 import Decoder
from ptstream.streams import Flush, Stream

PROCESS = os.path.join(os.path.dirname(os.path.abspath(__file__)), "function_process.py")


def source(stream: Stream, caller: Caller) -> Source:
    """The stream's own generator function, ready to run. Its silence is its author's business.

    Raises UsageError, ConfigurationError where it can be seen at once that there is none.
    """
    target = stream.request.generator or ""
    check_target(target, caller.directory)
    survivors: list[str] = []
    return Source(
        model=target,
        place=os.fsencode(caller.directory).decode("utf-8", "replace"),
        flush=Flush.SENTENCES,
        generate=lambda: _called(target, stream, caller, survivors),
        silence_is_normal=True,
        survivors=survivors,
    )


async def _called(target: str, stream: Stream, caller: Caller, survivors: list[str]) -> Generation:
    # -P: no module of the working directory stands in for one of Python's.
    argv = [caller.python or sys.executable, "-P", PROCESS, target]
    frames, beside = Frames(), Decoder()
    stdin = strict_json.dumps(_described(stream)).encode("ascii")
    async with running(argv, stdin=stdin, caller=caller, survivors=survivors) as process:
        async for pipe, data in process.output:
            if pipe == "stdout":
                for event in frames.feed(data):
                    yield event
            elif piece := beside.feed(data):
                yield Stderr(piece)
        # Only now, so that a traceback on stderr, which is another pipe, came before its error.
        if frames.failure is not None:
            raise GeneratorError(f"{target}: {frames.failure}")
        if not frames.ended:
            await _raise_exit(process, target)


async def _raise_exit(process: ChildProcess, target: str) -> NoReturn:
    """The process went without a frame that says so."""
    try:
        await process.end()
    except GeneratorError as error:
        raise GeneratorError(f"{target}: {error}") from error
    raise GeneratorError(f"{target}: left its process before its end")


def _described(stream: Stream) -> dict[str, Any]:
    request = stream.request
    return {
        "id": stream.id,
        "name": stream.name,
        "title": stream.title,
        "bytes": stream.bytes,
        "created_at": stream.created_at,
        "request": {name: getattr(request, name) for name in ("prompt", "system", "model", "options")},
    }
