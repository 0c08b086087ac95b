"""The moments at which an idle process looks again."""

from __future__ import annotations

import anyio
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ptstream.ticks import EARLY, next_tick


@pytest.mark.parametrize("seconds", [0.5, 1.0, 60.0])
@given(now=st.floats(0, 1e7))
def test_it_is_the_same_for_all_and_never_the_one_that_woke(seconds: float, now: float) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(anyio, "current_time", lambda: now)
        tick = next_tick(seconds)
        assert tick % seconds == 0
        assert now < tick <= now + seconds + EARLY
        patch.setattr(anyio, "current_time", lambda: tick - EARLY / 2)  # a timer may be early
        assert next_tick(seconds) == tick + seconds


@pytest.mark.anyio
async def test_it_is_by_the_event_loops_clock() -> None:
    before = anyio.current_time()
    await anyio.sleep_until(next_tick(0.01))
    assert anyio.current_time() > before - EARLY
