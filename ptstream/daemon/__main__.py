"""`python -m ptstream.daemon`: how a client starts it in the background."""

from ptstream.daemon.life import main

main()
