"""The endpoints that a caller can name: the well-known ones, the environment's and the config file's, and their keys.

Only who there is; whether one answers is not asked here.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Mapping
from types import MappingProxyType

from ptstream.config import Endpoint, Settings
from ptstream.errors import ConfigurationError
from ptstream.generators import Caller
from ptstream.origins import DEFAULT_PORTS
from ptstream.ownership import opened
from ptstream.settings import Home

WELL_KNOWN = (
    Endpoint("openai", "https://api.openai.com/v1", model="gpt-4.1-mini", key_env="OPENAI_API_KEY"),
    Endpoint("openrouter", "https://openrouter.ai/api/v1", model="openrouter/auto", key_env="OPENROUTER_API_KEY"),
    Endpoint("ollama", "http://127.0.0.1:11434/v1"),
    Endpoint("llamacpp", "http://127.0.0.1:8080/v1", continues=True),
    Endpoint("vllm", "http://127.0.0.1:8000/v1"),
    Endpoint("lmstudio", "http://127.0.0.1:1234/v1"),
)
"""Endpoints that need no entry in the config file, which may give each of them another address."""


BY_PORT: Mapping[str, str | None] = MappingProxyType(
    {"ollama": "ollama", "llamacpp": None, "vllm": None, "lmstudio": None}
)
"""Those of which only a usual port tells, each with the system account that its installer makes for it, if it does."""


def known(caller: Caller, settings: Settings) -> dict[str, Endpoint]:
    """Every endpoint by its name: the config file's go before the environment's, and those before the rest."""
    endpoints = {endpoint.name: endpoint for endpoint in WELL_KNOWN}
    endpoints["openai"] = _openai(endpoints["openai"], caller.environment)
    endpoints["ollama"] = _ollama(endpoints["ollama"], caller.environment)
    return {**endpoints, **settings.endpoints}


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


def _openai(endpoint: Endpoint, environment: Mapping[str, str]) -> Endpoint:
    base_url = environment.get("OPENAI_BASE_URL")
    if not base_url or base_url.rstrip("/") == endpoint.base_url:
        return endpoint
    # Another server: it has other models, and perhaps no need of a key.
    key_env = endpoint.key_env if environment.get(endpoint.key_env or "") else None
    return endpoint._replace(base_url=base_url, model=None, key_env=key_env)


def _ollama(endpoint: Endpoint, environment: Mapping[str, str]) -> Endpoint:
    """As Ollama's own client reads OLLAMA_HOST: every part of the address may be left out (its `envconfig.Host`)."""
    address = environment.get("OLLAMA_HOST", "").strip().strip("\"'").strip()
    if not address:
        return endpoint
    if address == "ollama.com":  # its own service, which alone is asked by https without a word of that
        address = f"https://{address}"
    scheme, separator, rest = address.rpartition("://")
    place, _, path = rest.partition("/")
    name, port = _host_and_port(place)
    usual = DEFAULT_PORTS.get(scheme, 11434) if separator else 11434
    path = f"/{path.strip('/')}" if path.strip("/") else ""
    return endpoint._replace(base_url=f"{scheme or 'http'}://{name}:{port or usual}{path}/v1")


def _host_and_port(place: str) -> tuple[str, str]:
    """`HOST:PORT` in two, an IPv6 address in brackets; the port is empty where it is none."""
    head, colon, port = place.rpartition(":")
    alone = not colon or (":" in head and not head.endswith("]"))  # an IPv6 address has colons of its own
    host = (place if alone else head).strip("[]")
    valid = not alone and port.isdecimal() and int(port) < 65536
    # An address to listen on is none to connect to.
    host = {"": "127.0.0.1", "0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)
    return (f"[{host}]" if ":" in host else host), port if valid else ""


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
