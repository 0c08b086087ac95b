"""`python -m ptstream.daemon`: how a client starts it in the background."""

from ptstream.daemon.process import main

main()
