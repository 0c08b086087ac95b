"""`python -m ptstream.daemon`: how a client starts it in the background."""

from ptstream.start_up import leave_out_httpx_command

leave_out_httpx_command()

from ptstream.daemon.process import main  # noqa: E402 - it loads httpx

main()
