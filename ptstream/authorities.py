"""Whose certificates are trusted when something is asked over TLS: what the environment names, else the system's."""

from __future__ import annotations

import os
import ssl
from collections.abc import Mapping

from ptstream.errors import ConfigurationError

VARIABLES = ("SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE")
"""Variables that name a file with the certificates of the authorities to trust."""


def trusted(environment: Mapping[str, str]) -> ssl.SSLContext:
    """A context that trusts the authorities which `environment` names; else the system's, and those of Mozilla beside
    them, which a bare system lacks. Raises ConfigurationError for a file that cannot be read."""
    name = next(filter(environment.get, VARIABLES), None)
    if name or environment.get("SSL_CERT_DIR"):
        return _named(name, environment.get(name or ""), environment.get("SSL_CERT_DIR"))
    import certifi
    import truststore

    context = truststore.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.load_verify_locations(certifi.where())
    return context


def _named(name: str | None, file: str | None, directory: str | None) -> ssl.SSLContext:
    if file and os.path.isdir(file):  # which the variables of others may name as well
        file, directory = None, file
    try:
        return ssl.create_default_context(cafile=file or None, capath=directory or None)
    except OSError as error:
        raise ConfigurationError(f"{name}={file or directory} cannot be read: {error.strerror}") from error
