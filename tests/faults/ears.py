"""The harness's own event loop: hears what processes and sockets say, byte for byte, and feeds those that listen.

One thread, one selector. Everything that waits, waits in `Ears.until`, and goes on hearing meanwhile.
"""

from __future__ import annotations

import contextlib
import os
import selectors
import time
from collections.abc import Callable

LIMIT = 60.0
"""Seconds after which something waited for is taken to never come."""

LOOK = 0.005
"""Seconds between two looks at what gives no event, such as a row of the database."""

AT_ONCE = 64 * 1024


class Late(Exception):
    """Something that had to happen did not happen in time."""


class Ears:
    """Descriptors, and what to do when they are ready."""

    def __init__(self) -> None:
        self._selector = selectors.DefaultSelector()

    def hear(self, fd: int, ready: Callable[[], object]) -> None:
        """Call `ready` whenever `fd` can be read."""
        self._selector.register(fd, selectors.EVENT_READ, ready)

    def speak(self, fd: int, ready: Callable[[], None]) -> None:
        """Call `ready` whenever `fd` can be written."""
        self._selector.register(fd, selectors.EVENT_WRITE, ready)

    def forget(self, fd: int) -> None:
        """Leave it alone from now on. Must come before it is closed."""
        with contextlib.suppress(KeyError):
            self._selector.unregister(fd)

    def tick(self, seconds: float) -> None:
        """Take what is ready, or becomes so within `seconds`."""
        for key, _ in self._selector.select(seconds):
            key.data()

    def until(self, condition: Callable[[], object], what: str, limit: float = LIMIT) -> None:
        """Returns when the condition holds. Raises Late, naming `what` was waited for."""
        deadline = time.monotonic() + limit
        while not condition():
            if time.monotonic() > deadline:
                raise Late(f"waited {limit:g} s in vain for {what}")
            self.tick(LOOK)

    def pause(self, seconds: float) -> None:
        """Hear for so long."""
        deadline = time.monotonic() + seconds
        while (left := deadline - time.monotonic()) > 0:
            self.tick(left)

    def close(self) -> None:
        """Let go of the selector."""
        self._selector.close()


class Recording:
    """All that came out of a descriptor so far, and whether more can come."""

    def __init__(self, ears: Ears, fd: int) -> None:
        self.data = bytearray()
        self.open = True
        self._ears = ears
        self._fd = fd
        os.set_blocking(fd, False)
        ears.hear(fd, self._take)

    def drain(self) -> bytes:
        """Take what is there already; all of it so far."""
        while self.open and self._take():
            pass
        return bytes(self.data)

    def close(self) -> None:
        """Stop listening: what listens here is gone for whoever speaks."""
        if self.open:
            self.open = False
            self._ears.forget(self._fd)
            os.close(self._fd)

    def _take(self) -> bool:
        try:
            data = os.read(self._fd, AT_ONCE)
        except BlockingIOError:
            return False
        except OSError:  # a terminal whose other side is gone, a connection that was reset
            data = b""
        if data:
            self._heard(data)
        else:
            self.close()
        return bool(data)

    def _heard(self, data: bytes) -> None:
        self.data += data


class Feeder:
    """Writes a text into a pipe, so many bytes at a time and not faster than `rate` bytes a second; then closes it."""

    def __init__(self, ears: Ears, fd: int, text: bytes, size: int, rate: float) -> None:
        self.sent = 0
        self.open = True
        self._ears, self._fd, self._text, self._size, self._rate = ears, fd, text, size, rate
        self._began = time.monotonic()
        os.set_blocking(fd, False)
        ears.speak(fd, self._feed)

    def close(self) -> None:
        """The text ends here."""
        if self.open:
            self.open = False
            self._ears.forget(self._fd)
            os.close(self._fd)

    def _feed(self) -> None:
        allowed = int((time.monotonic() - self._began) * self._rate) + 1
        while self.open and self.sent < min(allowed, len(self._text)):
            try:
                self.sent += os.write(self._fd, self._text[self.sent : self.sent + self._size])
            except BlockingIOError:
                return
            except OSError:
                self.close()
        if self.sent >= len(self._text):
            self.close()
