"""Where the key of an endpoint is found: in a variable of the caller's environment, else in a file of the user's.

A key file is read only if nobody else can read it.
"""

from __future__ import annotations

import os
import stat

from ptstream.config import Endpoint
from ptstream.errors import ConfigurationError
from ptstream.generators import Caller
from ptstream.ownership import opened
from ptstream.settings import Home


def key_for(endpoint: Endpoint, caller: Caller, home: Home) -> str | None:
    """The endpoint's key, None if it has none. Raises ConfigurationError if it should have one."""
    value = caller.environment.get(endpoint.key_env or "", "").strip()
    if value:
        return value
    if endpoint.key_file:
        return _key_in(os.path.join(home.path, os.path.expanduser(endpoint.key_file)))
    if endpoint.key_env:
        raise ConfigurationError(f"{endpoint.name} needs a key: set {endpoint.key_env}")
    return None


def _key_in(path: str) -> str:
    try:
        with open(opened(path, "given"), encoding="ascii") as file:
            mode = stat.S_IMODE(os.fstat(file.fileno()).st_mode)
            key = file.read().strip()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigurationError(
            f"the key file {path} cannot be read: {getattr(error, 'strerror', 'not ASCII')}"
        ) from None
    if mode & 0o077:
        raise ConfigurationError(f"the key file {path} can be read by others: chmod 600 {path}")
    if not key:
        raise ConfigurationError(f"the key file {path} is empty")
    return key
