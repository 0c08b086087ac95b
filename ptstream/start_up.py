"""What our own processes leave out as they start. For commands and the daemon: what a program loads is its business."""

from __future__ import annotations

import sys


def leave_out_httpx_command() -> None:
    """Have httpx loaded without the command line that it has, too: rich, click and pygments are half of its start.

    None in the place of a module is one that cannot be imported (the import system, 5.3.1), with which httpx does.
    """
    sys.modules.setdefault("httpx._main", None)  # type: ignore[arg-type]
