"""The sessions of browsers that were let in: when each ends, and how its page is known again to the next daemon.

A cookie goes to whoever holds the daemon's port, and while the daemon is down that may be another user. So a session's
cookie, and the path that it belongs to, are good for one daemon process. The page has the session's key besides,
which never travels again: to the next daemon it proves that it has it, for that daemon and that address alone.

The sessions lie in the home, beside the token, whose change ends them all. It knows no HTTP.
"""

from __future__ import annotations

import contextlib
import hashlib
import hmac
import logging
import os
import secrets
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import anyio

from ptstream import strict_json
from ptstream.ownership import opened

log = logging.getLogger("ptstream")

IDLE_TIME = 7 * 86400.0
"""Seconds after which a session ends that nobody has used."""

WHOLE_TIME = 30 * 86400.0
"""Seconds after which it ends in any case."""

MOST = 64
"""Sessions at once: another one ends the one that was not used for the longest time."""

LARGEST = 1024 * 1024
"""Bytes that are read of their file."""

NOTED = 3600.0
"""Seconds after which it is written down anew that a session is in use."""


@dataclass(slots=True)
class Session:
    """One browser's. Times are seconds of the epoch."""

    id: str
    key: str
    """What the page proves to have, in hexadecimal."""
    began: float
    used: float
    key_kept: bool = False
    """Whether the page has kept its key: then it is given no more."""

    def remaining(self, now: float) -> float:
        """Seconds until it ends in any case."""
        return self.began + WHOLE_TIME - now

    def is_over(self, now: float) -> bool:
        """Whether it has ended by itself."""
        return now > self.used + IDLE_TIME or self.remaining(now) < 0


class Sessions:
    """Those of one home, in the file `path`, for the token there. `clock` gives seconds of the epoch."""

    def __init__(self, path: str, token: bytes, clock: Callable[[], float] = time.time) -> None:
        self._path = path
        self._clock = clock
        self._mark = ""
        self._sessions: dict[str, Session] = {}
        self._prefixes: dict[str, Session] = {}
        self._scopes: set[anyio.CancelScope] = set()
        self._cookie_key = b""
        self.nonce = ""
        """What a page proves its key with: another one in each daemon."""
        self._begin(token)
        self._have(self._read())

    def _begin(self, token: bytes) -> None:
        self._mark = hmac.new(token, b"whose sessions", hashlib.sha256).hexdigest()
        self._cookie_key = secrets.token_bytes(32)
        self.nonce = secrets.token_urlsafe(24)

    def begin(self) -> Session:
        """A new one."""
        now = self._clock()
        made = Session(secrets.token_hex(16), secrets.token_hex(32), now, now)
        self._have((*self._sessions.values(), made))
        self._write()
        return made

    def _have(self, sessions: Iterable[Session]) -> None:
        """These, without those that are over, and as many as there may be."""
        now = self._clock()
        alive = sorted((each for each in sessions if not each.is_over(now)), key=lambda each: each.used)[-MOST:]
        self._sessions = {each.id: each for each in alive}
        self._prefixes = {self.path_prefix(each): each for each in alive}

    def path_prefix(self, session: Session) -> str:
        """The path beneath which its cookie is sent, and counts, without a slash at its end.

        Cookies know no ports: a server on another one of this host, which may be another user's, would be sent it as
        well, if it knew the path.
        """
        return f"/{self._derived(session, b'path')[:32]}"

    def cookie(self, session: Session) -> str:
        """Its cookie."""
        return self._derived(session, b"cookie")

    def _derived(self, session: Session, what: bytes) -> str:
        return hmac.new(self._cookie_key, what + session.id.encode(), hashlib.sha256).hexdigest()

    def of_cookie(self, prefix: str, word: str) -> Session | None:
        """The session whose path and cookie these are, None if there is none (any more). It is in use now."""
        session = self._prefixes.get(prefix)
        return self._used(session) if session and _same(word, self.cookie(session)) else None

    def of_proof(self, id: str, proof: str, origin: str) -> Session | None:
        """The session whose page, at that origin, has proved to have its key; None if it has not."""
        session = self._sessions.get(id)
        if session is None:
            return None
        said = hmac.new(bytes.fromhex(session.key), f"{self.nonce} {origin}".encode(), hashlib.sha256).hexdigest()
        return self._used(session) if _same(proof, said) else None

    def key_of(self, session: Session, *, kept: bool = False) -> str | None:
        """Its key, until its page says that it has `kept` that: a tab may be closed before it could. Then None."""
        if kept and not session.key_kept:
            session.key_kept = True
            self._write()
        return None if session.key_kept else session.key

    def end_all(self, token: bytes) -> None:
        """End every session, and what is being answered to their pages. From now on they are that token's."""
        self._begin(token)
        self._have(())
        with contextlib.suppress(FileNotFoundError):
            os.unlink(self._path)
        for scope in list(self._scopes):
            scope.cancel()

    @contextlib.contextmanager
    def answering(self) -> Iterator[None]:
        """Around an answer to a session's page: cancelled when all sessions are ended."""
        with anyio.CancelScope() as scope:
            self._scopes.add(scope)
            try:
                yield
            finally:
                self._scopes.discard(scope)

    def _used(self, session: Session) -> Session | None:
        now = self._clock()
        if session.is_over(now):
            self._have(tuple(self._sessions.values()))
            self._write()
            return None
        noted, session.used = session.used, now if now > session.used + NOTED else session.used
        if noted != session.used:
            self._write()
        return session

    def _read(self) -> Iterator[Session]:
        """What an earlier daemon has stored for the same token. What cannot be read has ended."""
        try:
            with open(opened(self._path), "rb") as file:
                private = not os.fstat(file.fileno()).st_mode & 0o077
                stored: Any = strict_json.loads(file.read(LARGEST)) if private else {}
            if _same(str(stored.get("token")), self._mark):
                yield from (Session(**fields) for fields in stored["sessions"])
        except FileNotFoundError:
            pass
        except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
            log.warning("the sessions %s cannot be read, and have ended: %s", self._path, error)

    def _write(self) -> None:
        fields = [{name: getattr(each, name) for name in Session.__slots__} for each in self._sessions.values()]
        making = f"{self._path}.new"
        try:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(making)
            descriptor = os.open(making, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
            with open(descriptor, "w", encoding="ascii") as file:
                file.write(strict_json.dumps({"token": self._mark, "sessions": fields}))
            os.replace(making, self._path)
        except OSError as error:
            log.warning("the sessions %s cannot be kept: they end with this daemon: %s", self._path, error)


def _same(word: str, secret: str) -> bool:
    """Whether it is that. Takes as long whatever it is."""
    return hmac.compare_digest(word.encode("utf-8", "replace"), secret.encode())
