"""What opens the daemon over the network: a token that lies in the home, a link for one use, a browser's cookie."""

from __future__ import annotations

import hashlib
import hmac
import os
import secrets
import stat
import time

from ptstream.errors import ConfigurationError
from ptstream.ownership import opened
from ptstream.settings import Home

INVITATION_TIME = 120.0
"""Seconds that a link for one use is good for."""


class Keys:
    """The token of one home, and what follows from it."""

    def __init__(self, token: str) -> None:
        self._token = token.encode()
        # It outlives the daemon, as an open page does, and is worth nothing elsewhere.
        self.cookie = hmac.new(self._token, b"the page's cookie", hashlib.sha256).hexdigest()
        self.room = "/" + hmac.new(self._token, b"the page's path", hashlib.sha256).hexdigest()[:32]
        """The path beneath which the cookie is sent, and counts. Cookies know no ports: a server on another one of
        this host, which may be another user's, would be sent it as well, if it knew the path."""
        self._invitations: dict[str, float] = {}

    def is_token(self, word: str) -> bool:
        """Whether `word` is the token. Takes as long whatever it is."""
        return hmac.compare_digest(word.encode("utf-8", "replace"), self._token)

    def is_cookie(self, word: str) -> bool:
        """Whether `word` is the cookie."""
        return hmac.compare_digest(word.encode("utf-8", "replace"), self.cookie.encode())

    def invitation(self) -> str:
        """A word that lets a browser in, once, for INVITATION_TIME seconds."""
        word = secrets.token_urlsafe(32)
        self._invitations[word] = time.monotonic() + INVITATION_TIME
        return word

    def redeem(self, word: str) -> bool:
        """Whether `word` is an invitation that nobody has used yet."""
        return self._invitations.pop(word, 0.0) > time.monotonic()


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
    if len(token) < 32:
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
