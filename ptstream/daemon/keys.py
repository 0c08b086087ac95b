"""What opens the daemon over the network: a token that lies in the home, a link for one use, a browser's session."""

from __future__ import annotations

import hmac
import os
import secrets
import stat
import time

from ptstream.daemon.sessions import Session, Sessions
from ptstream.errors import ConfigurationError
from ptstream.ownership import opened
from ptstream.settings import Home

SHORTEST_TOKEN = 32
"""Characters that a token has at least."""

INVITATION_TIME = 120.0
"""Seconds that a link for one use is good for."""


class Keys:
    """Those of one home. Raises ConfigurationError for a token that is not ours alone."""

    def __init__(self, home: Home) -> None:
        self._home = home
        self._token = token_of(home).encode()
        self._file = _look(home.token)
        self.sessions = Sessions(home.sessions, self._token)
        self._invitations: dict[str, float] = {}

    def is_token(self, word: str) -> bool:
        """Whether `word` is the token. Takes as long whatever it is."""
        return hmac.compare_digest(word.encode("utf-8", "replace"), self._token)

    def look(self) -> None:
        """See whether the token is another one now, or was removed: that ends every session, and every link.

        Raises ConfigurationError for one that cannot be read, or be made: then nobody is let in.
        """
        if (found := _look(self._home.token)) and found == self._file:
            return
        before, self._token = self._token, secrets.token_bytes(32)  # nobody's, if there is none
        try:
            self._token = token_of(self._home).encode()
            self._file = _look(self._home.token)
        finally:
            if self._token != before:
                self.lock()

    def lock(self) -> None:
        """End every session, and every link that nobody has used yet."""
        self._invitations.clear()
        self.sessions.end_all(self._token)

    def invitation(self) -> str:
        """A word that lets a browser in, once, for INVITATION_TIME seconds."""
        self.look()
        now = time.monotonic()
        self._invitations = {word: until for word, until in self._invitations.items() if until > now}
        word = secrets.token_urlsafe(32)
        self._invitations[word] = now + INVITATION_TIME
        return word

    def is_invitation(self, word: str) -> bool:
        """Whether `word` would let in."""
        return self._invitations.get(word, 0.0) > time.monotonic()

    def redeem(self, word: str) -> Session | None:
        """The session of a browser that brings the invitation `word`, None if it is none (any more)."""
        invited = self.is_invitation(word)
        self._invitations.pop(word, None)
        return self.sessions.begin() if invited else None


def _look(path: str) -> tuple[int, int, int] | None:
    """What distinguishes a file from another one, or from what it was before; None if there is none."""
    try:
        found = os.lstat(path)
    except OSError:
        return None
    return found.st_ino, found.st_ctime_ns, found.st_size


def token_of(home: Home) -> str:
    """The token, made with the first use. Raises ConfigurationError for a file that is not ours alone."""
    try:
        _make(home.token)
    except FileExistsError:
        pass
    except OSError as error:
        raise ConfigurationError(f"the token {home.token} cannot be made: {error.strerror}") from error
    try:
        descriptor = opened(home.token)
        with open(descriptor, encoding="ascii") as file:
            found = os.fstat(descriptor)
            token = file.read().strip()
    except (OSError, UnicodeDecodeError) as error:
        why = getattr(error, "strerror", "not ASCII")
        raise ConfigurationError(f"the token {home.token} cannot be read: {why}") from error
    if stat.S_IMODE(found.st_mode) & 0o077:
        raise ConfigurationError(f"the token {home.token} can be read by others: remove it, and another one is made")
    if len(token) < SHORTEST_TOKEN:
        raise ConfigurationError(f"the token {home.token} is too short: remove it, and another one is made")
    return token


def _make(path: str) -> None:
    """Under another name first, so that nobody reads half of it; whoever is second takes the first one's."""
    making = f"{path}.{secrets.token_hex(8)}"
    descriptor = os.open(making, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    try:
        with open(descriptor, "w", encoding="ascii") as file:
            file.write(secrets.token_urlsafe(32) + "\n")
        os.link(making, path)
    finally:
        os.unlink(making)
