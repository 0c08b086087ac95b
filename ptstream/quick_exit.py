"""How our own processes end: at once, and with all said. Commands and the daemon do, no program that uses us."""

from __future__ import annotations

import atexit
import os
import sys
from typing import NoReturn

NOT_WRITTEN = 120
"""Python's own exit code where what was printed cannot be written at its end (`Py_FinalizeEx`)."""


def quick_exit(code: int) -> NoReturn:
    """End the process with this exit code, once all that is registered for its end has run, and all is written.

    What Python does beyond this is to take apart all modules, object by object, which takes longer than a short command
    does. Threads are not waited for.
    """
    atexit._run_exitfuncs()
    for stream in (sys.stdout, sys.stderr):
        try:
            if stream:
                stream.flush()
        except (OSError, ValueError):
            code = code or NOT_WRITTEN
    os._exit(code)
