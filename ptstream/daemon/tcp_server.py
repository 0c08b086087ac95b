"""The daemon on TCP: an address where nobody else hears its token or text, its server, and links to its page."""

from __future__ import annotations

from ptstream import wire
from ptstream.config import Settings, load
from ptstream.daemon.access_control import AccessControl
from ptstream.daemon.cors import Cors
from ptstream.daemon.daemon import Daemon
from ptstream.daemon.host_and_origin import OwnAddresses
from ptstream.daemon.keys import Keys
from ptstream.daemon.listen_address import ListenAddress, beside, bound
from ptstream.daemon.tcp_routes import make_tcp_app
from ptstream.errors import ConfigurationError
from ptstream.http.server import Server
from ptstream.http.uvicorn_protocol import Strangers
from ptstream.origins import is_loopback, is_unspecified


class TcpServer:
    """The daemon on one address, listening from the start on. Raises ConfigurationError."""

    def __init__(self, daemon: Daemon, address: ListenAddress, *, token: bool = True, plain_http: bool = False) -> None:
        home = daemon.home
        settings = load(home)
        self._socket = bound(address)
        host, port = self._socket.getsockname()[:2]
        self.address = ListenAddress(host, port)  # a name, as localhost, may lead anywhere
        try:
            self._check(settings, token=token, plain_http=plain_http or settings.plain_http)
            self._keys = Keys(home) if token else None
        except ConfigurationError:
            self._socket.close()
            raise
        self._sockets = [self._socket, *beside(self.address)]
        cookie = f"ptstream-{port}"  # all ports of a host share their cookies
        addresses = OwnAddresses("" if is_unspecified(host) else address.host, settings)
        app = AccessControl(make_tcp_app(daemon, self._keys, cookie), self._keys, cookie, addresses)
        self._public_url = settings.public_url
        # OpenAI's clients cannot ask for the rest of an answer. A proxy may have left a path before theirs.
        self._server = Server(Cors(app, addresses), Strangers(unhurried=(wire.COMPLETIONS,)))

    def _check(self, settings: Settings, *, token: bool, plain_http: bool) -> None:
        """Raises ConfigurationError for an address where strangers could do, or hear, what is not theirs."""
        if not token and not self.address.loopback:
            raise ConfigurationError(f"without a token the daemon listens on this machine alone, not on {self.address}")
        public = settings.public_url and settings.public_url.origin
        if plain_http or (public.scheme == "https" if public else self.address.loopback):
            return
        if public and is_loopback(public.host) and self.address.loopback:
            return
        place = settings.public_url if public and self.address.loopback else f"http://{self.address}"
        raise ConfigurationError(
            f"at {place} whoever is on the way would read the token, and all text: put a proxy before it that speaks"
            ' TLS, and name its address (public_url = "https://…" in config.toml); or, on a network that you trust, as'
            " a VPN's or a container's, say so (plain_http = true there, or --plain-http)"
        )

    @property
    def url(self) -> str:
        """Where it is."""
        return f"http://{self.address}"

    def invitation(self) -> str:
        """A link for one use, which lets a browser in."""
        place = str(self._public_url or self._near())
        return f"{place}{wire.ENTER}?key={self._keys.invitation()}" if self._keys else f"{place}/"

    def lock(self) -> None:
        """End every session of the page, and every link."""
        if self._keys:
            self._keys.lock()

    def _near(self) -> str:
        """Where this machine finds it: no browser goes to an address that stands for all."""
        if not is_unspecified(self.address.host):
            return self.url
        return f"http://{self.address._replace(host='::1' if ':' in self.address.host else '127.0.0.1')}"

    async def serve(self) -> None:
        """Answer, until `stop`."""
        await self._server.serve(sockets=self._sockets)

    def stop(self) -> None:
        """Take no more requests; `serve` returns in a moment."""
        self._server.leave()
