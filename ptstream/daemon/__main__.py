"""`python -m ptstream.daemon`: how a client starts it in the background."""

import sys

sys.modules["httpx._main"] = None  # type: ignore[assignment]  # see cli/entry.py

from ptstream.daemon.process import main  # noqa: E402

main()
