"""What the daemon and its clients share: paths, the forms of requests and answers, and how errors travel.

HTTP over the Unix socket of the home. The wire of a live read is the text itself, so that the number of bytes
received is the cursor; a body that ends cleanly has reached an end that the store holds.
"""

from __future__ import annotations

import contextlib
import functools
import os
from collections.abc import Iterable, Iterator, Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from ptstream import __version__, strict_json
from ptstream.errors import ConfigurationError, DaemonUnreachable, PtstreamError, error_named

if TYPE_CHECKING:
    import asyncio
    import ssl

    import httpx

BASE_URL = "http://ptstream"
STATUS = "/status"
STOP = "/stop"
DAEMONS = "/daemons"
STREAMS = "/streams"
STREAM = "/streams/{id}"
DRIVE = "/streams/{id}/drive"
CANCEL = "/streams/{id}/cancel"
TERMINAL = "/streams/{id}/terminal"
"""On the socket: the size of the one that a command has."""

TEXT = "/streams/{id}/text"
CHUNKS = "/streams/{id}/chunks"
REMARKS = "/streams/{id}/remarks"
SEARCH = "/search"
MODELS = "/models"
OPENAPI = "/openapi.json"
COMPLETIONS = "/v1/chat/completions"
COMPLETION_MODELS = "/v1/models"
COMPLETION_MODEL = "/v1/models/{model}"
"""As OpenAI's clients ask, which have `/v1` as their base URL."""
ENTER = "/enter"
"""On the socket: a link for one use. On TCP: where it leads, which lets a browser in."""

LOCK = "/lock"
"""On the socket: ends every session of the page, and every link."""

SESSION = "/session"
"""On TCP: where the page is given its session's key, and proves later that it has it."""

PROOF = "PTStream"
"""The scheme of `Authorization` with which it does: a session's id, a colon, and HMAC-SHA256 of nonce and origin."""

CALLERS = "/callers"
"""On the socket: where a connection from elsewhere says on whose behalf it drives here."""

CHECK = "/check"
"""Whether a stream could be driven, before it is made: what speaks against it, or what keeps it from that."""

NOTE = "note"
REASONING = "reasoning"
STDERR = "stderr"
"""The kinds of what is said beside a text: a line, and any pieces of a model's thinking or of a command's stderr."""

READY = b"ready"
"""What a started daemon writes to the pipe of whoever started it; anything else there is why it did not start."""

MAX_BODY = 16 * 1024 * 1024
"""Bytes of a request at most, and so of a prompt."""

LOG_BYTES = 1024 * 1024
"""The size of the daemon's log from which on another is begun; the one before is kept."""

SOCKET_PATH_MAX = 100
"""Bytes a Unix socket's path may safely have: the systems allow 104 to 108."""


@functools.cache
def trusting_nobody() -> ssl.SSLContext:
    """Enough where there is no TLS. One for all, which nothing is ever asked of: each would be 13 kB."""
    import ssl

    return ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)


def socket_transport(path: str) -> httpx.AsyncHTTPTransport:
    """HTTP over a Unix socket: no authorities are loaded for it, nor what the environment says of them."""
    import httpx

    return httpx.AsyncHTTPTransport(uds=path, verify=trusting_nobody(), trust_env=False)


IDENTITY = "identity"
"""The one content coding that is asked for, and taken (RFC 9110, 8.4): any other may unfold to a million times its
size, before anybody can look at it."""

PLAIN: Mapping[str, str] = MappingProxyType({"accept-encoding": IDENTITY})
"""What asks for it."""


def coding_of(values: Iterable[str]) -> str | None:
    """The content coding that the values of `Content-Encoding` name, None where the content is as it is."""
    codings = [coding.strip().lower() for value in values for coding in value.split(",")]
    return ", ".join(coding for coding in codings if coding not in ("", IDENTITY)) or None


async def check_plain(response: httpx.Response) -> None:
    """For a client's hooks. Raises ConfigurationError for an answer in a content coding: nothing of it is decoded."""
    if coding := coding_of(response.headers.get_list("content-encoding")):
        raise ConfigurationError(
            f"the answer is compressed ({coding[:40]}), which was not asked for: it is not from the daemon, or"
            " something on the way changes what it says"
        )


def dumps(value: Any) -> bytes:
    """JSON in pure ASCII: a lone surrogate (an undecodable byte of a file name) and U+2028 pass unharmed."""
    return strict_json.dumps(value, compact=True).encode("ascii")


def error_body(error: PtstreamError) -> bytes:
    """An error as an answer's body."""
    return dumps({"error": {"code": error.code, "message": str(error)}})


def error_from(body: bytes, who: str = "the daemon answered") -> PtstreamError:
    """The error that an answer's body carries; if it carries none, that `who` said so."""
    try:
        fields = strict_json.loads(body)["error"]
        return error_named(fields["code"], fields["message"])
    except (ValueError, KeyError, TypeError, RecursionError):
        return PtstreamError(f"{who} {body[:200]!r}")


def greeting(caller: str) -> bytes:
    """The first line that `dial-stdio` says, before it is a mere pipe: its version, and who drives through it."""
    return dumps({"ptstream": __version__, "caller": caller}) + b"\n"


def refusal(error: PtstreamError) -> bytes:
    """The same where there can be no pipe."""
    return dumps({"ptstream": __version__, "code": error.code, "message": str(error)}) + b"\n"


def greeted(line: bytes, place: str) -> str:
    """The caller that the first line from `place` names.

    Raises DaemonUnreachable for another line, ConfigurationError for another version, else what `refusal` was given.
    """
    try:
        fields = strict_json.loads(line)
        version = fields["ptstream"]
        if version == __version__:
            if "caller" in fields:
                return str(fields["caller"])
            raise error_named(fields["code"], f"at {place}: {fields['message']}")
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise DaemonUnreachable(
            f"{place} said {line[:200]!r} before ptstream: its shell must print nothing where there is no terminal"
        ) from error
    raise ConfigurationError(f"ptstream at {place} is of version {version}, and this is {__version__}")


def quiet_cancelled_receives() -> None:
    """In the running event loop: say nothing of a receive that was cancelled as its socket became readable.

    anyio (4.16) lets the reader's callback of a Unix socket meet a cancelled future, which asyncio reports with a
    traceback on stderr. Nothing is lost by it. The like of agronholm/anyio issue 1267.
    """

    def handle(loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        if not isinstance(context.get("exception"), asyncio.InvalidStateError):
            loop.default_exception_handler(context)

    import asyncio

    asyncio.get_running_loop().set_exception_handler(handle)


@contextlib.contextmanager
def short_path(path: str, proc: str = "/proc/self/fd") -> Iterator[str]:
    """A way to a socket that fits into a socket address, for as long as the context lasts.

    The directory's descriptor under /proc where there is one; else a symbolic link to it in a private directory.
    """
    if len(os.fsencode(path)) <= SOCKET_PATH_MAX:
        yield path
        return
    folder, name = os.path.split(path)
    if os.path.isdir(proc):
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            yield f"{proc}/{descriptor}/{name}"
        finally:
            os.close(descriptor)
        return
    import tempfile  # takes longer to load than all the rest of this module

    with tempfile.TemporaryDirectory(prefix="pts-") as private:  # mode 0700
        link = os.path.join(private, "h")
        os.symlink(folder, link)
        yield os.path.join(link, name)
