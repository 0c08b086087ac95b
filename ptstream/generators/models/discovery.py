"""What models there are: everything that `--model` could name from here, and which is the default.

Asks the endpoints of this machine only; an endpoint elsewhere is listed as it was set up, unasked.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import partial

import anyio

from ptstream.config import Endpoint, Settings
from ptstream.errors import ConfigurationError, ForeignListener, NoModel
from ptstream.generators import Caller
from ptstream.generators.llamacpp import embedded, gguf
from ptstream.generators.models.default import Offer, available, chosen, ollama
from ptstream.generators.models.endpoints import Endpoints, in_time
from ptstream.generators.models.target import THIS_MACHINE
from ptstream.ownership import is_of_others
from ptstream.settings import Home

OLLAMA = "ollama"


@dataclass(frozen=True, slots=True)
class Found:
    """A model that can be asked, or could be but for its `problem`. `name` is what `--model` takes."""

    name: str
    place: str
    how: str
    problem: str | None = None
    default: bool = False


async def discover(caller: Caller, settings: Settings, home: Home) -> list[Found]:
    """Every model in reach of `caller`, the default first and marked. Takes about a second at most."""
    endpoints = Endpoints(caller, settings, home)
    running: dict[str, Offer] = {}
    async with anyio.create_task_group() as tasks:
        for name in filter(partial(_is_here, endpoints), endpoints.known):
            if name != OLLAMA:  # which lists more about its models in its own API
                tasks.start_soon(_ask, endpoints, name, running)
        offer = await ollama(endpoints)
    running[OLLAMA] = offer  # the last in the list
    try:
        default = chosen(endpoints) or available(endpoints, offer)
    except NoModel:
        default = None
    found: dict[str, Found] = {}
    for each in (*_configured(endpoints), *_running(endpoints, running), *_here(home)):
        found.setdefault(each.name, each)
    return _marked(list(found.values()), *default) if default else list(found.values())


def _is_here(endpoints: Endpoints, name: str) -> bool:
    """Whether an endpoint is on this machine."""
    try:
        return endpoints.upstream(endpoints.known[name]).local
    except ConfigurationError:
        return False


async def _ask(endpoints: Endpoints, name: str, running: dict[str, Offer]) -> None:
    try:
        running[name] = Offer(await in_time(endpoints.offered(name)) or ())
    except ForeignListener as error:
        running[name] = Offer(problem=str(error))


def _configured(endpoints: Endpoints) -> Iterator[Found]:
    for endpoint in endpoints.known.values():
        if how := _how(endpoints, endpoint):
            yield _described(endpoints, endpoint, how)


def _how(endpoints: Endpoints, endpoint: Endpoint) -> str | None:
    """By what an endpoint was set up, None if it is only well known."""
    if endpoint.name in endpoints.settings.endpoints:
        return endpoints.home.config
    variables = (f"{endpoint.name.upper()}_BASE_URL", endpoint.key_env or "")
    return next(filter(endpoints.caller.environment.get, variables), None)


def _described(endpoints: Endpoints, endpoint: Endpoint, how: str) -> Found:
    name = f"{endpoint.name}/{endpoint.model}" if endpoint.model else endpoint.name
    try:
        return Found(name, endpoints.upstream(endpoint).host, how)
    except ConfigurationError as error:
        return Found(name, "", how, str(error))


def _running(endpoints: Endpoints, running: dict[str, Offer]) -> Iterator[Found]:
    for name, offered in running.items():
        place = endpoints.upstream(endpoints.known[name]).host if offered != Offer() else ""
        if offered.problem:
            yield Found(name, place, "something listens there", offered.problem)
        for row in offered.rows:
            yield Found(f"{name}/{row['id']}", place, "it is running")


def _here(home: Home) -> Iterator[Found]:
    path = embedded.find(home)
    missing = embedded.problem()
    problem = missing or (None if path else embedded.NO_FILE)
    yield Found(embedded.NAME, THIS_MACHINE, path or "the embedded model", problem)
    for name in sorted(_names(home.models)):
        path = os.path.join(home.models, name)
        if name.endswith(".gguf") and name != embedded.FILE and not is_of_others(path):
            yield Found(gguf.PREFIX + path, THIS_MACHINE, home.models, missing)


def _names(folder: str) -> list[str]:
    try:
        return os.listdir(folder)
    except OSError:
        return []


def _marked(found: list[Found], default: str, how: str) -> list[Found]:
    """`found`, the default first and marked; it may be one that was only named, and not found."""
    same = [each for each in found if default in (each.name, each.name.partition("/")[0])]
    first = same[0] if same else Found(default, "", how)
    return [replace(first, default=True, how=how), *(each for each in found if each is not first)]
