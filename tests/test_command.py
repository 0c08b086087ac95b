"""A command's end: what it left in its pipes is read, and what others go on writing there is not waited for."""

from __future__ import annotations

import os

import anyio
import pytest

from ptstream.generators import Caller, command

pytestmark = pytest.mark.anyio


async def test_what_a_command_left_in_its_pipe_is_not_lost_to_a_reader_that_is_held_up(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(command, "DRAIN", 0.1)
    caller = Caller("/", {"PATH": os.environ["PATH"]})
    text = b"".join(b"%d\n" % n for n in range(25_000))  # less than the pipe and our buffer hold
    async with command.running(["seq", "0", "24999"], stdin=None, caller=caller) as running:
        first = await running.output.receive()
        await running.end()
        await anyio.sleep(3 * command.DRAIN)
        rest = [data async for _, data in running.output]
    assert b"".join([first[1], *rest]) == text


async def test_a_child_that_goes_on_writing_does_not_keep_it() -> None:
    caller = Caller("/", {"PATH": os.environ["PATH"]})
    async with command.running(["sh", "-c", "yes & echo done"], stdin=None, caller=caller) as running:
        size = sum([len(data) async for _, data in running.output])
        await running.end()
    assert len(b"done\n") <= size < 4 * command.DRAIN_BYTES
