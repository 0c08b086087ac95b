"""`python -m ptstream.daemon`: how a client starts it in the background."""

from ptstream.start_up import begin, loaded

begin()

from ptstream.daemon.process import main  # noqa: E402 - it loads httpx

loaded()
main()
