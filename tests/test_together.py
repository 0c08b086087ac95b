"""What many ask for at once is done in one step, and each has what comes of its own."""

from __future__ import annotations

from collections.abc import Sequence

import anyio
import pytest

from ptstream.engine.together import Together

pytestmark = pytest.mark.anyio


class Steps:
    """Doubles numbers, step by step, when it is let."""

    def __init__(self) -> None:
        self.batches: list[list[int]] = []
        self.let = anyio.Event()
        self.begun = anyio.Event()

    async def work(self, asked: Sequence[int]) -> list[int]:
        self.batches.append(list(asked))
        self.begun.set()
        await self.let.wait()
        if 7 in asked[:1]:
            raise ValueError("seven")
        return [2 * each for each in asked]


async def test_what_waits_goes_together() -> None:
    steps, got = Steps(), {}
    together = Together(steps.work, most=4)

    async def ask(number: int) -> None:
        got[number] = await together.do(number)

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(ask, 0)
        await steps.begun.wait()
        for number in range(1, 7):
            tasks.start_soon(ask, number)
        await anyio.wait_all_tasks_blocked()
        steps.let.set()
    assert got == {number: 2 * number for number in range(7)}
    assert steps.batches == [[0], [1, 2, 3, 4], [5, 6]]


async def test_who_begins_is_told_what_goes_wrong_and_who_leaves_is_forgotten() -> None:
    steps = Steps()
    got: dict[int, object] = {}
    together = Together(steps.work)

    async def ask(number: int) -> None:
        try:
            got[number] = await together.do(number)
        except ValueError as error:
            got[number] = error

    leaving = anyio.CancelScope()

    async def leave() -> None:
        with leaving:
            await ask(5)

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(ask, 0)
        await steps.begun.wait()
        tasks.start_soon(leave)
        await anyio.wait_all_tasks_blocked()
        for number in (7, 8):
            tasks.start_soon(ask, number)
        await anyio.wait_all_tasks_blocked()
        leaving.cancel()
        await anyio.wait_all_tasks_blocked()
        steps.let.set()
    assert isinstance(got.pop(7), ValueError)
    assert got == {0: 0, 8: 16}
    assert steps.batches == [[0], [7, 8], [8]]
