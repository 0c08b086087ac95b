"""Going on with streams that other daemons have handed over, as far as this one asks the same model at the same place.

What cannot be gone on with here is left to the others; when none of them takes it, whoever meets it gives it its end.
"""

from __future__ import annotations

import logging
import random

import anyio

from ptstream.config import Settings, load
from ptstream.conversation import history
from ptstream.daemon.callers import only_models, own_caller
from ptstream.daemon.daemon import Daemon
from ptstream.engine.handover import HandedOver
from ptstream.errors import ClaimLost, ConfigurationError, PtstreamError, StoreBusy, StreamNotFound
from ptstream.generators import Note, Source
from ptstream.generators.models.resolve import resolve
from ptstream.ticks import next_tick

log = logging.getLogger("ptstream")

LOOK = 1.0
"""Seconds between two looks for what was handed over."""


async def take_over(daemon: Daemon) -> None:
    """Look for what was handed over, and go on with it, until this daemon itself is to end."""
    left: set[HandedOver] = set()
    while not daemon.stop.is_set():
        try:
            waiting = await daemon.engine.handed_over()
        except (PtstreamError, OSError):  # a store that cannot be read now is looked at again
            waiting = []
        left.intersection_update(waiting)
        random.shuffle(waiting)  # of many, each daemon gets some
        for handed in waiting:
            if handed not in left and not daemon.stop.is_set() and not await _taken(daemon, handed):
                left.add(handed)
        await anyio.sleep_until(next_tick(LOOK))


async def _taken(daemon: Daemon, handed: HandedOver) -> bool:
    """Whether it may be tried again, if it is still waiting then: False for what cannot go on here."""
    try:
        settings = load(daemon.home)
        drive = await daemon.owner.take(handed, await _source(daemon, handed, settings), settings)
    except (ClaimLost, StreamNotFound, StoreBusy):  # another one was faster, or it is not to be had now
        return True
    except Exception as error:  # whatever it is, the other streams go on
        log.warning("stream %s was handed over, and does not go on here: %s", handed.id, error)
        return False
    daemon.remember(drive)
    drive.remarks.add(Note(f"handed over; went on at byte {drive.claim.begin}"))
    return True


async def _source(daemon: Daemon, handed: HandedOver, settings: Settings) -> Source:
    """What goes on with it. Raises ConfigurationError where that would not be what has written it so far."""
    stream = await daemon.engine.get(handed.id)
    if not daemon.home.is_local:  # it may come from another machine, whose files and commands are not ours
        only_models(stream.request)
    before = await history(daemon.engine, stream) if stream.parent else []
    caller = own_caller(daemon.home)
    source = await resolve(stream, caller, settings, daemon.home, daemon.local, before, daemon.unsupported)
    if source.resume is None or (source.model, source.place) != (handed.model, handed.place):
        raise ConfigurationError(f"{handed.model} at {handed.place} is not what {source.model} at {source.place} is")
    return source
