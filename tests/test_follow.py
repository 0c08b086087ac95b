"""Those who follow in one event loop: how long a turn of theirs takes is measured, and decides how often they come."""

from __future__ import annotations

import anyio
import anyio.lowlevel
import pytest

from ptstream.follow import BURST, FIRST_TURN, LONGEST, SHARE, SMOOTHING, TIMER, Audience, Turns

pytestmark = pytest.mark.anyio


class Clock:
    """A clock that a test moves."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


async def _round(clock: Clock, turns: Turns, count: int, seconds: float) -> None:
    """One round of the event loop, in which so many readers are given text, and which takes so long."""
    for _ in range(count):
        turns.begin()
        clock.now += seconds / count
        turns.count()
    await anyio.lowlevel.checkpoint()


async def test_what_a_turn_takes_is_measured() -> None:
    clock = Clock()
    turns = Turns(clock)
    for _ in range(20 * SMOOTHING):
        await _round(clock, turns, 4, 0.008)
    assert turns.seconds == pytest.approx(0.002)


async def test_a_turn_that_is_cut_short_by_another_process_is_paid_back_by_the_next_ones() -> None:
    clock = Clock()
    turns = Turns(clock)
    await _round(clock, turns, 1, FIRST_TURN + 0.01)
    paid = 0.0
    for _ in range(20 * SMOOTHING):
        paid += turns.seconds - FIRST_TURN
        await _round(clock, turns, 1, FIRST_TURN)
    assert paid == pytest.approx(0.01)


async def test_what_a_reader_waits_for_is_no_part_of_its_turn() -> None:
    clock = Clock()
    turns = Turns(clock)
    for _ in range(20 * SMOOTHING):
        await _round(clock, turns, 1, 0.001)
        clock.now += 60
    assert turns.seconds == pytest.approx(0.001)


async def test_looks_without_text_say_nothing_of_a_turn() -> None:
    clock = Clock()
    turns = Turns(clock)
    for _ in range(SMOOTHING):
        turns.begin()
        clock.now += 0.5
        await anyio.lowlevel.checkpoint()
    assert turns.seconds == FIRST_TURN


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


async def test_so_long_as_a_turn_comes_late_the_event_loop_is_let_alone_afterwards() -> None:
    """Once for each moment, however many turns were due in it."""
    clock = Clock()
    audience = Audience(clock)
    audience.turns.seconds = 0.01
    began = clock.now

    async def hold_up() -> None:
        clock.now += 0.05

    async with anyio.create_task_group() as tasks:
        for _ in range(3):
            tasks.start_soon(audience.turn)
        tasks.start_soon(hold_up)
    each = audience.turns.seconds / SHARE
    late = 0.05 - (each - BURST / SHARE) - TIMER
    assert audience._taken - began == pytest.approx(3 * each + late)


async def test_a_process_that_was_stopped_does_not_pay_for_that() -> None:
    clock = Clock()
    audience = Audience(clock)

    async def stop() -> None:
        clock.now += 3600

    async with anyio.create_task_group() as tasks:
        for _ in range(100):
            tasks.start_soon(audience.turn)
        tasks.start_soon(stop)
    await _round(clock, audience.turns, 1, 3600)
    assert audience._taken - clock.now < LONGEST + 100 * FIRST_TURN / SHARE
    assert audience.turns.seconds < LONGEST


async def test_of_those_who_are_woken_at_once_only_some_look_at_once() -> None:
    clock = Clock()
    turns = Turns(clock)
    turns.begin()
    before = turns.are_many
    clock.now += 2 * BURST
    assert (before, turns.are_many) == (False, True)
    await anyio.lowlevel.checkpoint()
    assert not turns.are_many
