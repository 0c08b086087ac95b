"""From what a stream was asked for to the generator that can say it: models by name, and the default without one.

A model's name is `ENDPOINT/MODEL` (an endpoint of the config file, or a well-known one), a plain `MODEL` of the
endpoint `openai` if that was set up, `smollm2`, `gguf:PATH` or `replay:PATH`. What asking takes is the business of the
other modules here, each of which is imported when it is needed; `discover` lists what there is.
"""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Coroutine, Iterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, nullcontext
from dataclasses import dataclass, field
from functools import partial
from itertools import groupby
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

from ptstream.config import Endpoint, Limits, Settings
from ptstream.errors import ConfigurationError, ForeignListener, GeneratorError, ModelNotFound, NoModel, NoPrompt
from ptstream.generators import Caller, Generation, Source, replay
from ptstream.generators.llamacpp import embedded
from ptstream.generators.models.chat_capability import chats
from ptstream.generators.models.endpoints import BY_PORT, key_for, known
from ptstream.settings import Home
from ptstream.streams import Flush, Stream, Words

if TYPE_CHECKING:
    from ptstream.generators.llamacpp.processes import LocalServer
    from ptstream.generators.openai.chat import Learned, Manner, Message
    from ptstream.generators.openai.upstream import Upstream

T = TypeVar("T")

GGUF = "gguf:"

QUICKLY = 1.0
"""Seconds that an endpoint may take to say what it has, when it was not asked for by name."""

PATIENTLY = 15.0
"""Seconds that it may take when it was."""

SOME = 8
"""Names in a message at most."""

INSTALL = "pip install 'ptstream[local]', then ptstream models pull; or a running Ollama"

NO_MODEL = """\
no model was named and none was found. One of these helps:
  a model on this machine:  {here}
  a model elsewhere:        set OPENAI_API_KEY (and OPENAI_BASE_URL), or an endpoint in {config}
  no model at all:          ptstream drive -- COMMAND streams any program's output"""


async def resolve(
    stream: Stream,
    caller: Caller,
    settings: Settings,
    home: Home,
    local: LocalServer,
    history: Sequence[Message] = (),
    learned: Learned | None = None,
) -> Source:
    """The generator for what `stream` was asked for, ready to run.

    `history` is the conversation before it, `learned` what endpoints were found not to understand.

    Raises NoModel, ConfigurationError for a model, endpoint or key that cannot be used, UsageError for an empty
    prompt, GeneratorError where an endpoint must say which models it has, and does not.
    """
    if stream.words.command:
        from ptstream.generators import command

        return command.source(stream.words, caller)
    if stream.words.generator:
        from ptstream.generators.function import subprocess_source

        return subprocess_source.source(stream, caller)
    return await Models(caller, settings, home, learned).source(stream.words, local, history)


def check(words: Words, caller: Caller, settings: Settings, home: Home) -> None:
    """Raises what `resolve` would, as far as that is known without asking anybody: a mistyped name, a missing key."""
    if words.command:  # whether there is such a one, its start tells
        return
    if words.generator:
        from ptstream.generators.function.loading import check_target

        check_target(words.generator, caller.directory)
    else:
        Models(caller, settings, home).check(words.model)


async def doubt(words: Words, caller: Caller, settings: Settings, home: Home) -> str | None:
    """What to say of a model whose endpoint on this machine does not list it; None without a doubt.

    Elsewhere nobody is asked: that would cost a round trip for each stream. Raises ModelNotFound where the list is
    whole, which an Ollama's is: other servers may know a model by more names than they list.
    """
    if words.command or words.generator:
        return None
    return await Models(caller, settings, home).doubt(words.model)


def messages(words: Words, *, system: str | None = None, history: Sequence[Message] = ()) -> list[Message]:
    """The conversation to send: the system prompt (`system` if the stream has none), what was said, the prompt."""
    instruction = words.system or system
    begin = [{"role": "system", "content": instruction}] if instruction else []
    end = [{"role": "user", "content": words.prompt}] if words.prompt else []
    return [*begin, *_alternating([*history, *end])]


def _alternating(turns: Sequence[Message]) -> Iterator[Message]:
    """The turns, those of one role in a row joined: not every model takes a question that was not answered."""
    for role, same in groupby(turns, lambda turn: turn["role"]):
        yield {"role": role, "content": "\n\n".join(turn["content"] for turn in same)}


@dataclass(frozen=True, slots=True)
class Target:
    """A model as an OpenAI-compatible endpoint has it: what it is called there, and how that is reached."""

    model: str
    place: str
    reach: Callable[[], AbstractAsyncContextManager[Upstream]] = field(repr=False)
    options: Mapping[str, Any] = field(default_factory=dict)
    """Fields of a request that suit the model, where whoever asks leaves them open."""
    limits: Limits | None = None
    """How long its answer may take, if not as long as any other."""


class Running(NamedTuple):
    """What an endpoint of this machine offers that nobody has named, or why it was not asked."""

    rows: Sequence[Mapping[str, Any]] = ()
    problem: str | None = None


@dataclass(frozen=True, slots=True)
class Models:
    """What can be asked from where a caller stands."""

    caller: Caller
    settings: Settings
    home: Home
    learned: Learned | None = None

    @property
    def endpoints(self) -> Mapping[str, Endpoint]:
        """The endpoints that can be named here."""
        return known(self.caller, self.settings)

    async def source(self, words: Words, local: LocalServer, history: Sequence[Message] = ()) -> Source:
        """The model that `words` name, or the default. Raises as `resolve` does."""
        name = words.model or (await self.default())[0]
        if name.startswith(replay.PREFIX):
            return replay.source(name, self.caller.directory)
        if not (words.prompt or "").strip():
            raise NoPrompt("the prompt is empty")
        if name == embedded.NAME:
            return self._embedded(words, local, history)
        if name.startswith(GGUF):
            return self._gguf(name, words, local, history)
        return await self._at_endpoint(name, words, history)

    async def target(self, name: str | None, local: LocalServer) -> Target:
        """Where to send a request for the model called `name`, or for the default.

        Raises NoModel, ConfigurationError for a model, endpoint or key that cannot be used, GeneratorError where an
        endpoint must say which models it has, and does not.
        """
        name = name or (await self.default())[0]
        if name.startswith(replay.PREFIX):
            raise ConfigurationError(f"{name} is a text that is read again, no model that takes a request")
        if name == embedded.NAME:
            return self._local_target(name, self._embedded_file(), embedded.OPTIONS, local)
        if name.startswith(GGUF):
            path = self._gguf_file(name)
            return self._local_target(os.path.basename(path), path, {}, local)
        endpoint, upstream, model = await self._at(name)
        limits = endpoint.limits(self.settings)
        return Target(model, upstream.host, lambda: nullcontext(upstream), endpoint.body, limits)

    def check(self, name: str | None) -> None:
        """Raises what `source` would for the model called `name`, as far as that is known without asking anybody."""
        chosen = self.chosen()
        name = name or (chosen and chosen[0])
        if name is None:  # whether there is one, an Ollama must tell
            return
        if name.startswith(replay.PREFIX):
            replay.parse(name, self.caller.directory)
        elif name == embedded.NAME:
            self._embedded_file()
        elif name.startswith(GGUF):
            self._gguf_file(name)
        else:
            key_for(self._named(name)[0], self.caller, self.home)

    async def doubt(self, name: str | None) -> str | None:
        """What to say of a model that is not listed where it is asked. Raises ModelNotFound."""
        chosen = self.chosen()
        name = name or (chosen and chosen[0])
        if name is None or name == embedded.NAME or name.startswith((GGUF, replay.PREFIX)):
            return None
        endpoint, model = self._named(name)
        if not model or model == endpoint.model or not self.upstream(endpoint).local:
            return None
        offered = [str(row["id"]) for row in await quickly(self.offered(endpoint.name)) or ()]
        if not offered or {model, f"{model}:latest"} & set(offered):  # as an Ollama calls what has no tag
            return None
        said = f"{endpoint.name} does not list a model {model}: it has {_some(offered)}"
        if endpoint.name == "ollama":
            raise ModelNotFound(said)
        return said

    async def default(self) -> tuple[str, str]:
        """The name of the model to ask when none is named, and how it was found. Raises NoModel."""
        return self.chosen() or self.ready(await self.ollama())

    def chosen(self) -> tuple[str, str] | None:
        """The default that the user set, None without one."""
        environment = self.caller.environment
        if environment.get("PTSTREAM_MODEL"):
            return environment["PTSTREAM_MODEL"], "PTSTREAM_MODEL"
        if self.settings.model:
            return self.settings.model, self.home.config
        for variable in ("OPENAI_BASE_URL", "OPENAI_API_KEY"):
            if environment.get(variable):
                return "openai", variable
        return None

    def ready(self, ollama: Running) -> tuple[str, str]:
        """The default that is there without being set. Raises NoModel."""
        for row in filter(chats, ollama.rows):
            return f"ollama/{row['id']}", "a running Ollama"
        problem = embedded.problem()
        if problem is None and embedded.find(self.home):
            return embedded.NAME, "the embedded model"
        # What keeps llama.cpp from running although it was installed, or could not be.
        here = problem if problem not in (None, embedded.NOT_INSTALLED) else INSTALL
        unasked = f"\n  not asked:                {ollama.problem}" if ollama.problem else ""
        raise NoModel(NO_MODEL.format(here=here, config=self.home.config) + unasked)

    async def ollama(self) -> Running:
        """What a running Ollama says of the models that run on its machine; nothing if there is no Ollama."""
        try:
            table: Any = await quickly(self._tags())
            here = (row for row in table["models"] if row["name"] and not row.get("remote_host"))
            return Running([{**row, "id": str(row["name"])} for row in here])
        except ForeignListener as error:
            return Running(problem=str(error))
        except (TypeError, KeyError, AttributeError):
            return Running()

    async def _tags(self) -> Any:
        from ptstream.generators.openai.connection import get_json

        upstream = self.upstream(self.endpoints["ollama"])
        return await get_json(upstream, upstream.base_url.removesuffix("/").removesuffix("/v1") + "/api/tags")

    # --- endpoints

    async def _at_endpoint(self, name: str, words: Words, history: Sequence[Message]) -> Source:
        endpoint, upstream, chosen = await self._at(name)
        conversation = messages(words, history=history)
        limits = endpoint.limits(self.settings)
        asked = partial(self._chat, endpoint, upstream, chosen)
        return Source(
            model=chosen,
            place=upstream.host,
            flush=Flush.SENTENCES,
            generate=lambda: asked(conversation),
            go_on=(lambda text: asked([*conversation, _begun(text)])) if endpoint.continues else None,
            limits=limits,
        )

    def _chat(self, endpoint: Endpoint, upstream: Upstream, model: str, conversation: Sequence[Message]) -> Generation:
        from ptstream.generators.openai.chat import chat

        return chat(upstream, model, conversation, manner=self._manner(endpoint), learned=self.learned)

    def _manner(self, endpoint: Endpoint) -> Manner:
        """How an endpoint is to be asked."""
        from ptstream.generators.openai.chat import Manner

        limits = endpoint.limits(self.settings)
        return Manner(
            stream=endpoint.stream,
            stream_options=endpoint.stream_options,
            body=endpoint.body,
            tries=endpoint.tries,
            longest_wait=(limits.first or math.inf) if endpoint.longest_wait is None else endpoint.longest_wait,
            silence=min(filter(None, (limits.first, limits.idle)), default=None),
        )

    async def _at(self, name: str) -> tuple[Endpoint, Upstream, str]:
        """The endpoint of a model, where that is asked, and what the model is called there."""
        endpoint, model = self._named(name)
        upstream = self.upstream(endpoint)
        return endpoint, upstream, model or endpoint.model or await self._first(upstream)

    def _named(self, name: str) -> tuple[Endpoint, str]:
        """The endpoint and what it calls the model; an empty name leaves that to the endpoint."""
        head, _, model = name.partition("/")
        if head in self.endpoints:
            return self.endpoints[head], model
        environment = self.caller.environment
        # OpenAI's own models have no slash: what has one was meant for an endpoint, and is not sent to OpenAI.
        set_up = environment.get("OPENAI_API_KEY") or "openai" in self.settings.endpoints
        if environment.get("OPENAI_BASE_URL") or (set_up and "/" not in name):
            return self.endpoints["openai"], name
        raise ModelNotFound(
            f"no model or endpoint is called {name}. A name is ENDPOINT/MODEL, with one of"
            f" {', '.join(self.endpoints)}; or {embedded.NAME}, {GGUF}PATH, {replay.PREFIX}PATH;"
            " or a plain MODEL where OPENAI_API_KEY, OPENAI_BASE_URL or [endpoints.openai] in the config file is set"
        )

    def upstream(self, endpoint: Endpoint) -> Upstream:
        """Where to ask an endpoint, with its key. Raises ConfigurationError if that is missing."""
        from ptstream.generators.openai.upstream import Upstream

        return Upstream(
            endpoint.base_url,
            key_for(endpoint, self.caller, self.home),
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
        from ptstream.generators.openai.chat import models

        return await models(self.upstream(self.endpoints[name]))

    async def _first(self, upstream: Upstream) -> str:
        import anyio

        from ptstream.generators.openai.chat import models

        with anyio.move_on_after(PATIENTLY):
            for row in filter(chats, await models(upstream)):
                return str(row["id"])
            raise GeneratorError(f"{upstream.host} says that it has no model to chat with; name one with --model")
        raise GeneratorError(f"{upstream.host} does not say which models it has; name one with --model")

    # --- this machine

    def _embedded(self, words: Words, local: LocalServer, history: Sequence[Message]) -> Source:
        conversation = messages(words, system=embedded.SYSTEM, history=history)
        return self._local(embedded.NAME, self._embedded_file(), conversation, embedded.OPTIONS, local)

    def _gguf(self, name: str, words: Words, local: LocalServer, history: Sequence[Message]) -> Source:
        path = self._gguf_file(name)
        return self._local(os.path.basename(path), path, messages(words, history=history), {}, local)

    def _embedded_file(self) -> str:
        path = embedded.find(self.home)
        if path is None:
            raise ConfigurationError(embedded.problem() or embedded.NO_FILE)
        return path

    def _gguf_file(self, name: str) -> str:
        # No file's name holds a NUL, and `expanduser` would not take one.
        path = os.path.join(self.caller.directory, os.path.expanduser(name.removeprefix(GGUF).partition("\0")[0]))
        # Looked at first: opening a pipe would wait for its writer.
        if "\0" in name or not os.path.isfile(path):
            raise ConfigurationError(f"--model {name}: there is no such file")
        try:
            with open(path, "rb") as file:
                begin = file.read(4)
        except OSError as error:
            raise ConfigurationError(f"--model {name}: {error.strerror}") from error
        if begin != b"GGUF":
            raise ConfigurationError(f"--model {name}: this is not a GGUF file")
        return path

    def _local_target(self, name: str, path: str, options: Mapping[str, Any], local: LocalServer) -> Target:
        if problem := embedded.problem():
            raise ConfigurationError(problem)
        return Target(name, "this machine", lambda: local.reach(os.path.realpath(path)), options)

    def _local(
        self,
        name: str,
        path: str,
        conversation: list[Message],
        options: Mapping[str, Any],
        local: LocalServer,
    ) -> Source:
        if problem := embedded.problem():
            raise ConfigurationError(problem)

        def generate() -> Generation:
            return local.chat(os.path.realpath(path), conversation, options)

        def go_on(text: str) -> Generation:
            return local.chat(os.path.realpath(path), [*conversation, _begun(text)], options)

        return Source(model=name, place="this machine", flush=Flush.SENTENCES, generate=generate, go_on=go_on)


def _begun(text: str) -> Message:
    """A last message of the assistant's, which a server that continues goes on with in mid-sentence."""
    return {"role": "assistant", "content": text}


def _some(names: Sequence[str]) -> str:
    """The names in a line, as many as a person reads."""
    more = f" and {len(names) - SOME} more" if len(names) > SOME else ""
    return ", ".join(names[:SOME]) + more


async def quickly(asked: Coroutine[Any, Any, T]) -> T | None:
    """What an endpoint answers that nobody asked for by name: None if it does not, or not at once.

    Raises ForeignListener.
    """
    import anyio

    with anyio.move_on_after(QUICKLY):
        try:
            return await asked
        except ForeignListener:
            raise
        except (GeneratorError, ConfigurationError):
            return None
    return None
