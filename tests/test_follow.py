"""Those who follow in one event loop: how long a turn of theirs takes is measured, and decides how often they come."""

from __future__ import annotations

import anyio
import anyio.lowlevel
import pytest

from ptstream.follow import FIRST_TURN, SMOOTHING, Audience, Turns

pytestmark = pytest.mark.anyio


class Clock:
    """A clock that a test moves."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def _turn(clock: Clock, turns: Turns, seconds: float) -> None:
    """A reader is given text, works so long with it, and asks for more."""
    reader = object()
    turns.begin(reader)
    clock.now += seconds
    turns.end(reader)


async def test_what_a_turn_takes_is_measured() -> None:
    clock = Clock()
    turns = Turns(clock)
    for _ in range(20 * SMOOTHING):
        _turn(clock, turns, 0.002)
        await anyio.lowlevel.checkpoint()
    assert turns.seconds == pytest.approx(0.002)


async def test_a_turn_that_another_process_interrupts_is_paid_back_by_the_next_ones() -> None:
    clock = Clock()
    turns = Turns(clock)
    _turn(clock, turns, FIRST_TURN + 0.01)
    paid = 0.0
    for _ in range(20 * SMOOTHING):
        paid += turns.seconds - FIRST_TURN
        _turn(clock, turns, FIRST_TURN)
    assert paid == pytest.approx(0.01)


async def test_what_a_reader_waits_for_is_no_part_of_its_turn() -> None:
    clock = Clock()
    turns = Turns(clock)
    for _ in range(3):
        turns.begin("slow")
        for _ in range(2):
            await anyio.lowlevel.checkpoint()
        clock.now += 60
        turns.end("slow")
    assert turns.seconds == FIRST_TURN


async def test_what_others_do_meanwhile_is_no_part_of_a_turn() -> None:
    clock = Clock()
    turns = Turns(clock)
    turns.begin("one")
    turns.begin("another")
    clock.now += 60
    turns.end("one")
    assert turns.seconds == FIRST_TURN


async def test_the_turn_of_one_whose_look_waits_for_a_server_begins_when_that_has_answered() -> None:
    clock = Clock()
    turns = Turns(clock)
    for _ in range(20 * SMOOTHING):
        turns.begin("reader")
        clock.now += 60
        await anyio.lowlevel.checkpoint()
        await anyio.lowlevel.checkpoint()
        turns.begin("reader")
        clock.now += 0.001
        turns.end("reader")
    assert turns.seconds == pytest.approx(0.001)


async def test_slow_turns_come_seldomer() -> None:
    """Two audiences, one of which has measured turns of a tenth of a second: as many turns take it longer."""
    quick, slow = Audience(), Audience()
    quick.turns.seconds, slow.turns.seconds = 1e-6, 0.1
    order: list[str] = []

    async def turns(name: str, audience: Audience) -> None:
        for _ in range(3):
            await audience.turn()
        order.append(name)

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(turns, "slow", slow)
        tasks.start_soon(turns, "quick", quick)
    assert order == ["quick", "slow"]
