"""A wake-up without content, for those who wait in one event loop."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    import anyio


class Bell:
    """Take the next ring *before* the look that it guards; a ring is replaced, not queued."""

    def __init__(self) -> None:
        self._next: anyio.Event | None = None

    def next(self) -> anyio.Event:
        """The event that the next `ring` sets."""
        if self._next is None:
            import anyio

            self._next = anyio.Event()
        return self._next

    @property
    def is_awaited(self) -> bool:
        """Whether anybody has taken the next ring."""
        return self._next is not None

    def ring(self) -> None:
        """Wake whoever waits. Costs next to nothing when nobody does."""
        if self._next is not None:
            waiting, self._next = self._next, None
            waiting.set()
