"""The endpoints that a caller can name: the well-known ones, the environment's and the config file's.

Only which there are; none is asked here. Their keys are left to `api_keys`.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from ptstream.config import Endpoint, Settings
from ptstream.generators import Caller
from ptstream.integers import count_of
from ptstream.origins import DEFAULT_PORTS

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
"""Those that are known by a usual port alone, each with the system account that its installer makes for it, if any."""


def known_endpoints(caller: Caller, settings: Settings) -> dict[str, Endpoint]:
    """Every endpoint by its name: the config file's go before the environment's, and those before the rest."""
    endpoints = {endpoint.name: endpoint for endpoint in WELL_KNOWN}
    endpoints["openai"] = _openai(endpoints["openai"], caller.environment)
    endpoints["ollama"] = _ollama(endpoints["ollama"], caller.environment)
    return {**endpoints, **settings.endpoints}


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
    number = None if alone else count_of(port)
    valid = number is not None and number < 65536
    # An address to listen on is none to connect to.
    host = {"": "127.0.0.1", "0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)
    return (f"[{host}]" if ":" in host else host), port if valid else ""
