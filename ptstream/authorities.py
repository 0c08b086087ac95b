"""Whose certificates are trusted when something is asked over TLS: what the environment names, else the system's."""

from __future__ import annotations

import os
import ssl
from collections.abc import Mapping
from functools import lru_cache
from typing import TypeAlias

from ptstream.errors import ConfigurationError

VARIABLES = ("SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE")
"""Variables that name a file with the certificates of the authorities to trust."""


def trusted(environment: Mapping[str, str]) -> ssl.SSLContext:
    """A context that trusts the authorities which `environment` names; else the system's, and those of Mozilla beside
    them, which a bare system lacks. Raises ConfigurationError for a file that cannot be read.

    Shared by all who ask for the same ones: to load them takes 30 to 50 ms, and 700 kB.
    """
    name = next(filter(environment.get, VARIABLES), None)
    file, directory = environment.get(name or ""), environment.get("SSL_CERT_DIR")
    if file or directory:
        if file and os.path.isdir(file):  # which the variables of others may name as well
            file, directory = None, file
        return _named(name, file, directory, _stamp(file), _stamp(directory))
    import certifi

    return _systems(certifi.where(), _stamp(certifi.where()))


_Stamp: TypeAlias = tuple[int, int, int] | None


def _stamp(path: str | None) -> _Stamp:
    """What changes when what lies at `path` does; None if nothing is to be found there."""
    try:
        found = os.stat(path) if path else None
    except OSError:
        return None
    return found and (found.st_mtime_ns, found.st_ino, found.st_size)


@lru_cache(maxsize=8)
def _systems(mozillas: str, _: _Stamp) -> ssl.SSLContext:
    import truststore  # which looks for the system's anew for each connection

    context = truststore.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.load_verify_locations(mozillas)
    return context


@lru_cache(maxsize=8)
def _named(name: str | None, file: str | None, directory: str | None, *_: _Stamp) -> ssl.SSLContext:
    try:
        return ssl.create_default_context(cafile=file or None, capath=directory or None)
    except OSError as error:
        raise ConfigurationError(f"{name}={file or directory} cannot be read: {error.strerror}") from error
