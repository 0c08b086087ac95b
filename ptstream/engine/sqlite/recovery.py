"""Recovery of a dead owner's stream, which has a tail and no end: whoever meets such a stream gives it one.

Two recoverers at once do no harm: the end is fenced by the epoch, so the second finds an end. Who cannot write
lays the tail over what it reads and reports the same end.
"""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Sequence
from typing import NamedTuple

from ptstream.engine.handover import cause_of_death
from ptstream.engine.sqlite import liveness
from ptstream.engine.sqlite.queries import Standing, owner_dead
from ptstream.engine.sqlite.store import Store
from ptstream.errors import ConfigurationError, StoreBusy, StoreUnusable, StreamNotFound
from ptstream.ownership import opened
from ptstream.settings import Home
from ptstream.streams import State, Status, Stream, whole


class Recovered(NamedTuple):
    """Where a stream stands, as it is to be reported, and what of a dead owner's tail is not in the store (yet)."""

    standing: Standing
    rest: bytes


def recover_if_orphaned(store: Store, id: str, seen: Standing | None = None) -> Recovered:
    """Where the stream stands; one whose owner is dead is given its end first. Raises StreamNotFound.

    `seen` is where it stood when it was looked at before, if that was just now.
    """
    standing = seen or store.state(id)
    if not owner_dead(store.home, standing):
        return Recovered(standing, b"")
    standing = store.state(id)  # its owner may have ended it, just before it died
    if standing.status is not Status.STREAMING:
        return Recovered(standing, b"")
    rest = left_over(store, id, standing)
    end = standing.bytes + len(rest)
    cause = cause_of_death(standing.owner, end)
    text = (standing.bytes, end, rest.decode(), time.time(), 0)
    try:
        store.flush((id, standing.epoch, *text, Status.ERROR.value, cause, None, None))
    except (StoreBusy, ConfigurationError, OSError):
        # Only its chunks' end is the store's; the rest is laid over, and the end is the same.
        return Recovered(standing._replace(status=Status.ERROR, error=cause), rest)
    found = store.state(id)
    if found.status.ended:
        _forget(store, id, standing)
    return Recovered(found, b"")


def state(store: Store, id: str) -> State:
    """The same for whoever only wants to know."""
    standing, rest = recover_if_orphaned(store, id)
    size = live_size(store.home, id, standing) + len(rest)
    return State(standing.status, standing.bytes, size, standing.error, standing.note)


def left_over(store: Store, id: str, standing: Standing) -> bytes:
    """The tail's text beyond the chunks, as far as it is whole characters; b"" for a tail of another boot.

    Raises StoreUnusable for a tail that cannot be read now.
    """
    if standing.boot != liveness.boot_id():
        return b""
    try:
        with open(opened(store.tail_path(id, standing.epoch)), "rb") as file:
            file.seek(standing.bytes - standing.begin)
            data = file.read()
    except FileNotFoundError:
        return b""
    except OSError as error:
        raise StoreUnusable(f"the tail of stream {id} cannot be read: {error.strerror}") from error
    data = data[: whole(data)]
    try:
        data.decode()
    except UnicodeDecodeError as error:  # no owner wrote that: a damaged disk
        return data[: error.start]
    return data


def recover_all(store: Store) -> None:
    """Give every stream of a dead owner its end, then sweep what nobody needs. For whoever starts or cleans up."""
    if not store.exists:
        return
    lying = os.listdir(store.home.tails)  # before the store is read: a tail made after this is not swept
    for id in store.streaming():
        with contextlib.suppress(StreamNotFound):  # deleted meanwhile
            recover_if_orphaned(store, id)
    needed = store.tails_in_use()
    for name in lying:
        if name not in needed:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(os.path.join(store.home.tails, name))
    liveness.sweep(store.home, store.owners_in_use())


def as_it_is(store: Store, stream: Stream) -> Stream:
    """The stream as a reader finds it: its tail counted, and ended if its owner is dead."""
    now = state(store, stream.id)
    return stream.replaced(status=now.status, error=now.error, note=now.note, bytes=now.size)


def listed(
    store: Store, limit: int | None = None, status: Sequence[Status] = (), since: float | None = None
) -> list[Stream]:
    """Streams, newest first, as a reader finds them: with their tails, and the ends of those whose owners died."""
    now = {stream.id: as_it_is(store, stream) for stream in store.streams(status=(Status.STREAMING,))}
    unwritten = set(store.streaming())
    if not any(stream.status.ended and id in unwritten for id, stream in now.items()):
        return [now.get(stream.id, stream) for stream in store.streams(limit=limit, status=status, since=since)]
    # Ends that could not be written: the store's own column does not know them.
    found = [now.get(stream.id, stream) for stream in store.streams(since=since)]
    return [stream for stream in found if not status or stream.status in status][:limit]


def live_size(home: Home, id: str, standing: Standing) -> int:
    """Where a stream's text ends now, its tail included, in bytes."""
    if standing.status is not Status.STREAMING:
        return standing.bytes
    try:
        return max(standing.bytes, standing.begin + os.stat(os.path.join(home.tails, f"{id}.{standing.epoch}")).st_size)
    except OSError:
        return standing.bytes


def _forget(store: Store, id: str, standing: Standing) -> None:
    with contextlib.suppress(FileNotFoundError):
        os.unlink(store.tail_path(id, standing.epoch))
    if standing.owner and standing.owner not in store.owners_in_use():
        with contextlib.suppress(FileNotFoundError):
            os.unlink(os.path.join(store.home.owners, standing.owner))
