"""When and where the daemon listens on TCP: by an option, by the config file, or when the page is asked for."""

from __future__ import annotations

import contextlib
import logging

from anyio.abc import TaskGroup

from ptstream.config import load
from ptstream.daemon.daemon import Daemon
from ptstream.daemon.listen_address import USUAL, ListenAddress, address_of
from ptstream.daemon.tcp_server import TcpServer
from ptstream.errors import ConfigurationError

log = logging.getLogger("ptstream")

NEAR = 20
"""Ports from the usual one on that are tried for the page."""


class ListenPolicy:
    """The daemon on TCP, from its start on, or from when the page is first asked for."""

    def __init__(self, daemon: Daemon, tasks: TaskGroup, *, token: bool, plain_http: bool) -> None:
        self._daemon = daemon
        self._tasks = tasks
        self._token = token
        self._plain_http = plain_http
        self.server: TcpServer | None = None
        self.trouble: str | None = None
        """Why it does not listen where the config file says."""

    def open(self, address: ListenAddress) -> TcpServer:
        """Listen there. Raises ConfigurationError."""
        self.server = TcpServer(self._daemon, address, token=self._token, plain_http=self._plain_http)
        self._tasks.start_soon(self.server.serve)
        log.info("listening on %s%s", self.server.url, "" if self._token else ", without a token")
        return self.server

    def open_configured(self) -> None:
        """Listen where the config file says. That this cannot be done just now keeps no stream from running.

        Raises ConfigurationError for a config file that is refused.
        """
        address = self._configured()
        if address is None:
            return
        try:
            self.open(address)
        except ConfigurationError as error:
            self.trouble = str(error)
            log.error("%s", error)

    def _configured(self) -> ListenAddress | None:
        """Where the config file has it listen. Raises ConfigurationError for one that is refused."""
        home = self._daemon.home
        configured = load(home).listen
        try:
            return address_of(configured) if configured else None
        except ConfigurationError as error:
            raise ConfigurationError(f"{home.config}: listen: {error}") from error

    async def ensure(self) -> TcpServer:
        """Listen, if it does not. Raises ConfigurationError."""
        if self.server:
            return self.server
        if address := self._configured():
            return self.open(address)
        # The usual port may be another user's, or another home's: one near it, so that it is the same the next time.
        for port in range(USUAL.port, USUAL.port + NEAR):
            with contextlib.suppress(ConfigurationError):
                return self.open(USUAL._replace(port=port))
        return self.open(USUAL._replace(port=0))

    def close(self) -> None:
        """Take no more requests."""
        if self.server:
            self.server.stop()
