"""What models there are: everything that `--model` could name from here, and which is the default.

Asks the endpoints of this machine only; an endpoint elsewhere is listed as it was set up, unasked.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import partial

from ptstream.config import Endpoint, Settings
from ptstream.errors import ConfigurationError, ForeignListener, NoModel
from ptstream.generators import Caller
from ptstream.generators.llamacpp import embedded
from ptstream.generators.models.resolve import GGUF, Models, Running, quickly
from ptstream.ownership import is_of_others
from ptstream.settings import Home

HERE = "this machine"

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
    import anyio

    models = Models(caller, settings, home)
    running: dict[str, Running] = {}
    async with anyio.create_task_group() as tasks:
        for name in filter(partial(_is_here, models), models.endpoints):
            if name != OLLAMA:  # which tells more of its models in its own way
                tasks.start_soon(_ask, models, name, running)
        ollama = await models.ollama()
    running[OLLAMA] = ollama
    try:
        default = models.chosen() or models.ready(ollama)
    except NoModel:
        default = None
    found: dict[str, Found] = {}
    for each in (*_configured(models), *_running(models, running), *_here(home)):
        found.setdefault(each.name, each)
    return _marked(list(found.values()), *default) if default else list(found.values())


def _is_here(models: Models, name: str) -> bool:
    """Whether an endpoint is on this machine."""
    try:
        return models.upstream(models.endpoints[name]).local
    except ConfigurationError:
        return False


async def _ask(models: Models, name: str, running: dict[str, Running]) -> None:
    try:
        running[name] = Running(await quickly(models.offered(name)) or ())
    except ForeignListener as error:
        running[name] = Running(problem=str(error))


def _configured(models: Models) -> Iterator[Found]:
    for endpoint in models.endpoints.values():
        if how := _how(models, endpoint):
            yield _described(models, endpoint, how)


def _how(models: Models, endpoint: Endpoint) -> str | None:
    """By what an endpoint was set up, None if it is only well known."""
    if endpoint.name in models.settings.endpoints:
        return models.home.config
    variables = (f"{endpoint.name.upper()}_BASE_URL", endpoint.key_env or "")
    return next(filter(models.caller.environment.get, variables), None)


def _described(models: Models, endpoint: Endpoint, how: str) -> Found:
    name = f"{endpoint.name}/{endpoint.model}" if endpoint.model else endpoint.name
    try:
        return Found(name, models.upstream(endpoint).host, how)
    except ConfigurationError as error:
        return Found(name, "", how, str(error))


def _running(models: Models, running: dict[str, Running]) -> Iterator[Found]:
    for name, offered in running.items():
        place = models.upstream(models.endpoints[name]).host if offered != Running() else ""
        if offered.problem:
            yield Found(name, place, "something listens there", offered.problem)
        for row in offered.rows:
            yield Found(f"{name}/{row['id']}", place, "it is running")


def _here(home: Home) -> Iterator[Found]:
    path = embedded.find(home)
    missing = embedded.problem()
    problem = missing or (None if path else embedded.NO_FILE)
    yield Found(embedded.NAME, HERE, path or "the embedded model", problem)
    for name in sorted(_names(home.models)):
        path = os.path.join(home.models, name)
        if name.endswith(".gguf") and name != embedded.FILE and not is_of_others(path):
            yield Found(GGUF + path, HERE, home.models, missing)


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
