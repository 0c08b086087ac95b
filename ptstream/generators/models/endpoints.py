"""Endpoints as a caller reaches them: by name, with address, key and proxy; and which models each says it has."""

from __future__ import annotations

from collections.abc import Coroutine, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

import anyio

from ptstream.config import Endpoint, Settings
from ptstream.errors import ConfigurationError, ForeignListener, GeneratorError, ModelNotFound
from ptstream.generators import Caller, replay
from ptstream.generators.llamacpp import embedded, gguf
from ptstream.generators.models.api_keys import key_for
from ptstream.generators.models.known_endpoints import BY_PORT, known_endpoints
from ptstream.generators.openai import endpoint_timeouts
from ptstream.settings import Home

if TYPE_CHECKING:
    from ptstream.generators.openai.upstream import Upstream

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Endpoints:
    """The endpoints in reach of a caller."""

    caller: Caller
    settings: Settings
    home: Home

    @property
    def known(self) -> Mapping[str, Endpoint]:
        """The endpoints that can be named here."""
        return known_endpoints(self.caller, self.settings)

    def named(self, name: str) -> tuple[Endpoint, str]:
        """The endpoint of a model's name and what it calls the model; an empty name leaves that to the endpoint.

        Raises ModelNotFound.
        """
        head, _, model = name.partition("/")
        if head in self.known:
            return self.known[head], model
        environment = self.caller.environment
        # OpenAI's own models have no slash: what has one was meant for an endpoint, and is not sent to OpenAI.
        set_up = environment.get("OPENAI_API_KEY") or "openai" in self.settings.endpoints
        if environment.get("OPENAI_BASE_URL") or (set_up and "/" not in name):
            return self.known["openai"], name
        raise ModelNotFound(
            f"no model or endpoint is called {name}. A name is ENDPOINT/MODEL, with one of"
            f" {', '.join(self.known)}; or {embedded.NAME}, {gguf.PREFIX}PATH, {replay.PREFIX}PATH;"
            " or a plain MODEL where OPENAI_API_KEY, OPENAI_BASE_URL or [endpoints.openai] in the config file is set"
        )

    def key_for(self, endpoint: Endpoint) -> str | None:
        """The endpoint's key, None if it has none. Raises ConfigurationError if it should have one."""
        return key_for(endpoint, self.caller, self.home)

    def upstream(self, endpoint: Endpoint) -> Upstream:
        """Where to ask an endpoint, with its key. Raises ConfigurationError if that is missing."""
        from ptstream.generators.openai.upstream import Upstream  # httpx: only for who asks

        return Upstream(
            endpoint.base_url,
            self.key_for(endpoint),
            environment=self.caller.environment,
            key_header=endpoint.key_header,
            headers=endpoint.headers,
            query=endpoint.query,
            unconfigured=endpoint.name if self._found_by_port(endpoint) else None,
            account=BY_PORT.get(endpoint.name),
        )

    def _found_by_port(self, endpoint: Endpoint) -> bool:
        """Whether nobody has written into the config file that it may be asked."""
        return endpoint.name in BY_PORT and endpoint.name not in self.settings.endpoints

    async def offered(self, name: str) -> list[Mapping[str, Any]]:
        """The models that the endpoint called `name` says it has. Raises GeneratorError, ConfigurationError."""
        from ptstream.generators.openai.model_list import models  # httpx: only for who asks

        return await models(self.upstream(self.known[name]))


async def in_time(asked: Coroutine[Any, Any, T]) -> T | None:
    """What an endpoint answers that nobody asked for by name: None if it does not in time.

    Raises ForeignListener.
    """
    with anyio.move_on_after(endpoint_timeouts.LISTING_UNNAMED):
        try:
            return await asked
        except ForeignListener:
            raise
        except (GeneratorError, ConfigurationError):
            return None
    return None
