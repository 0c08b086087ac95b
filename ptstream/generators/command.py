"""A command as a generator: its prompt on stdin, its stdout the text, its exit the end.

What it writes to stderr goes beside the text, and the end of that becomes the cause when the command fails. With a
terminal, both are the text. Running the process is left to `child_process`.
"""

from __future__ import annotations

import os
from collections.abc import AsyncGenerator, Sequence

from ptstream.generators import Caller, Event, Note, Source, Stderr, Usage
from ptstream.generators.child_process import running, signal_name
from ptstream.generators.pseudo_terminal import PseudoTerminal
from ptstream.generators.utf8 import Decoder
from ptstream.streams import Flush, GenerationRequest, TerminalSize


async def _generate(
    argv: Sequence[str], stdin: bytes | None, caller: Caller, survivors: list[str], terminal: PseudoTerminal | None
) -> AsyncGenerator[Event, None]:
    text, beside = Decoder(), Decoder()
    async with running(
        argv, stdin=stdin, caller=caller, survivors=survivors, one_pipe=caller.stderr, terminal=terminal
    ) as child:
        async for name, data in child.output:
            if name == "stdout":
                yield text.feed(data)
            elif piece := beside.feed(data):
                yield Stderr(piece)
        yield text.feed(b"", final=True)
        if text.replaced:
            yield Note(f"{text.replaced} bytes that are not UTF-8 were replaced by U+FFFD")
        code = await child.exit()
        yield Usage({"exit_code": code} if code >= 0 else {"signal": signal_name(-code)})
        await child.end()


def source(words: GenerationRequest, caller: Caller) -> Source:
    """The stream's command, ready to run. Silence is normal for it."""
    assert words.command
    argv = words.command
    prompt = None if words.prompt is None else words.prompt.encode("utf-8", "replace")
    terminal = PseudoTerminal(caller.terminal or TerminalSize()) if words.tty else None
    survivors: list[str] = []
    return Source(
        model=os.path.basename(argv[0]),
        place=os.fsencode(caller.directory).decode("utf-8", "replace"),
        flush=Flush.LINES,
        generate=lambda: _generate(argv, prompt, caller, survivors, terminal),
        silence_is_normal=True,
        survivors=survivors,
        resize=terminal.resize if terminal else None,
    )
