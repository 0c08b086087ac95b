"""What our own processes leave out as they start. For commands and the daemon: what a program loads is its business."""

from __future__ import annotations

import gc
import sys


def begin() -> None:
    """Before the modules are loaded that take long. No garbage is looked for until they are `loaded`."""
    # httpx is loaded without the command line that it has, too: rich, click and pygments are half of its start. None in
    # the place of a module is one that cannot be imported (the import system, 5.3.1), with which httpx does.
    sys.modules.setdefault("httpx._main", None)  # type: ignore[arg-type]
    # Modules are no garbage: to look for some among them, again and again, is a twentieth of a start.
    gc.disable()


def loaded() -> None:
    """The modules are there. None of what they hold is looked through for garbage any more, which may pile up now."""
    gc.freeze()
    gc.enable()
