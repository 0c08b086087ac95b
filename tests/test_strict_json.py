"""Numbers that are none: they neither come in, from whomever, nor go out, to whomever."""

from __future__ import annotations

import json
import math
import re
import sqlite3
from collections.abc import AsyncIterator, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any, NoReturn

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

import ptstream
from ptstream import strict_json, wire
from ptstream.config import load
from ptstream.errors import ConfigurationError, GeneratorError
from ptstream.generators import Note, Usage
from ptstream.generators.openai.model_list import models
from ptstream.generators.openai.refusals import refused
from ptstream.generators.openai.upstream import Upstream
from ptstream.settings import Home
from tests import endpoint as module
from tests.conftest import ROOT, Cli, Face, listening, locked, together
from tests.test_openai import ask

LONG = "9" * 5000
NONE = ("NaN", "Infinity", "-Infinity", "1e999", "-1e999", LONG, f"-{LONG}", f"[{LONG}]", '{"a": [NaN]}')

DEEP = f"{'[' * 300}{']' * 300}"


def strictly(text: str | bytes) -> Any:
    """As a reader that takes JSON alone, which Python's does not."""

    def refuse(word: str) -> NoReturn:
        raise AssertionError(f"{word} is no JSON")

    return json.loads(text, parse_constant=refuse)


@pytest.mark.parametrize("text", [*NONE, "[" * 100_000, DEEP, "nan", "-", "", "{}{}", '"\x01"'])
def test_what_is_no_json_does_not_come_in(text: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        strict_json.loads(text)
    with pytest.raises(ValueError, match=r"."):
        strict_json.loads(text.encode())


def test_what_is_nested_is_read_as_far_as_it_can_be_gone_through() -> None:
    for loads in (strict_json.loads, strict_json.loads_mended):
        nested = loads("[" * strict_json.DEEPEST + "]" * strict_json.DEEPEST)
        assert strict_json.finite(nested) == nested
        with pytest.raises(ValueError, match="within each other"):
            loads(DEEP)


@pytest.mark.parametrize("text", NONE)
def test_what_a_stranger_says_is_mended(text: str) -> None:
    assert strict_json.loads_mended(text) in (None, [None], {"a": [None]})


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf, [math.nan], {"a": {"b": math.inf}}])
def test_what_is_no_number_does_not_go_out(value: Any) -> None:
    for dumps in (strict_json.dumps, wire.dumps):
        with pytest.raises(ValueError, match="not JSON compliant"):
            dumps(value)
    assert "null" in strict_json.dumps(strict_json.finite(value))


def test_what_json_has_no_form_for_is_a_string() -> None:
    value = {1: math.nan, "path": Path("/x"), "more": ({1}, 10**400, -0.0, True)}
    assert strict_json.finite(value) == {"1": None, "path": "/x", "more": ["{1}", None, -0.0, True]}


values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=10,
)


@given(values)
def test_what_is_json_comes_back_as_it_was(value: Any) -> None:
    assert strict_json.loads(strict_json.dumps(value)) == value
    assert strict_json.loads_mended(strict_json.dumps(value, ensure_ascii=False)) == value
    assert strict_json.finite(value) == value


def test_json_has_one_place() -> None:
    """But the process of a user's function, which runs where no ptstream is, and is given and gives strings alone."""
    users = {
        path.name
        for path in (ROOT / "ptstream").rglob("*.py")
        if path.parent.name != "examples"  # as somebody's own program
        and re.search(r"^\s*(import|from) json\b|\.json\(\)", path.read_text(), re.MULTILINE)
    }
    assert users == {"strict_json.py", "function_process.py"}


# --- from a provider


@pytest.mark.anyio
async def test_usage_that_has_no_numbers(server: module.Server) -> None:
    """The answer is whole: what is wrong beside it costs nothing of it."""
    events = await ask(server, "no-numbers")
    assert "".join(event for event in events if isinstance(event, str)) == module.TEXT
    assert events[-1] == Usage({"total_tokens": None, "cost": None, "more": [None, None], "prompt_tokens": 7})


@pytest.mark.anyio
async def test_usage_that_is_nested_without_end(server: module.Server) -> None:
    """It is not read, and said; the text before it has its end."""
    head = b"HTTP/1.1 200 OK\r\nconnection: close\r\n\r\n"
    said = b'data: {"choices": [{"delta": {"content": "Yes."}, "finish_reason": "stop"}]}\n\n'
    server.scripts["deep"] = head + said + f'data: {{"usage": {{"a": {DEEP}}}}}\n\ndata: [DONE]\n\n'.encode()
    text, note = [event for event in await ask(server, "deep", "sk-of-the-test") if event]
    assert text == "Yes."
    assert isinstance(note, Note)
    assert "broke off after the answer's finish reason" in note.text
    server.models = [{"id": "m", "more": json.loads(DEEP)}]
    with pytest.raises(GeneratorError, match="not JSON"):
        await models(Upstream(server.base_url, "sk-of-the-test"))


@pytest.mark.anyio
async def test_usage_of_a_programs_own_generator(tmp_path: Path) -> None:
    """It is stored as JSON, which other programs read as well."""

    async def generate(_: ptstream.Stream) -> AsyncIterator[str | Usage]:
        yield "Yes."
        yield Usage({"cost": math.nan, "more": [math.inf], "total_tokens": 7})

    async with ptstream.open(str(tmp_path / "home")) as pts:
        id = await pts.create(prompt="x")
        assert [piece.text async for piece in pts.drive(id, generate)] == ["Yes."]
        assert (await pts.body(id)).status == "done"
    with closing(sqlite3.connect(tmp_path / "home" / "db" / "ptstream.db")) as database:
        ((kept,),) = database.execute("SELECT usage FROM attempts")
    assert strictly(kept) == {"cost": None, "more": [None], "total_tokens": 7}


@pytest.fixture(scope="module")
def face(endpoint: str) -> Iterator[Face]:
    with listening(f'[endpoints.mine]\nbase_url = "{endpoint}"\n') as found:
        yield found


def test_all_that_is_said_of_such_a_stream_is_json(face: Face) -> None:
    cli = face.cli
    id = cli.run("drive", "-m", "mine/no-numbers", "-p", "x").stderr.decode().split()[0]
    lines = (("show", "--json", id), ("ls", "--json"), ("watch", "--json", id), ("models", "--json"))
    said = {words[0]: done.stdout.decode() for words, done in together(cli, lines)}
    for line in "".join(said.values()).splitlines():
        strictly(line)
    usage = {"total_tokens": None, "cost": None, "more": [None, None], "prompt_tokens": 7}
    assert strictly(said["show"])["attempts"][0]["usage"] == usage
    for path in (f"/streams/{id}", "/streams", "/status", "/models", "/openapi.json", "/v1/models", "/search?q=night"):
        strictly(face.http.get(path).content)


def test_what_has_been_stored_so_is_read(face: Face) -> None:
    """By an earlier version, or by whoever writes there."""
    id = face.cli.run("drive", "-m", "mine/ok", "-p", "x").stderr.decode().split()[0]
    with locked(face.cli.home) as sql:
        sql(f"""UPDATE attempts SET usage = '{{"a": NaN, "b": [-Infinity, {LONG}], "c": 1}}'""")
    usage = {"a": None, "b": [None, None], "c": 1}
    assert strictly(face.cli.out("show", "--json", id))["attempts"][0]["usage"] == usage
    assert strictly(face.http.get(f"/streams/{id}").content)["attempts"][0]["usage"] == usage
    assert "NaN" not in face.cli.out("show", id)


# --- to the daemon


@pytest.mark.parametrize("number", [*NONE[:7], "-1", "true", '"1"', "[1]"])
def test_a_request_with_a_number_that_is_none(face: Face, number: str) -> None:
    answers = [
        face.http.post("/streams", content=f'{{"prompt": "x", "ttl": {number}}}'),
        face.http.post("/streams", content=f'{{"parent": "@last", "parent_offset": {number}}}'),
    ]
    if number in NONE:
        content = f'{{"model": "mine/ok", "messages": [], "temperature": {number}}}'
        answers.append(face.http.post("/v1/chat/completions", content=content))
    before = len(face.http.get("/streams").json()["streams"])
    for answer in answers:
        assert answer.status_code == 400, answer.text
        strictly(answer.content)
        assert len(answer.content) < 1000
    assert len(face.http.get("/streams").json()["streams"]) == before


def test_a_number_that_is_one_is_taken(face: Face) -> None:
    for number in ("0", "-0", "0.0", "1.5", "1e3", "10000000000"):
        assert face.http.post("/streams", content=f'{{"prompt": "x", "ttl": {number}}}').status_code == 201


# --- in the config file, and on the command line

MINE = '[endpoints.mine]\nbase_url = "http://x/v1"'


@pytest.mark.parametrize(
    "line",
    [
        *(f"{key} = {value}" for key in ("first_timeout", "max_delay") for value in ("nan", "inf", "-1")),
        *(f"idle_timeout = {value}" for value in ("1e999", "-inf", "true", '"1"', "9" * 400, LONG)),
        *(f"max_bytes = {value}" for value in ("0", "-1", "1.5", "nan", "true", LONG)),
        *(f"{MINE}\nfirst_timeout = {value}" for value in ("nan", "inf", "1e999", LONG)),
        *(f"{MINE}\nbody = {{ t = {value} }}" for value in ("nan", "inf", "[1e999]", "9" * 400)),
        "a = " + "[" * 100_000,
    ],
    ids=lambda line: line.replace("\n", " ")[:80],
)  # fmt: skip
def test_a_config_file_with_a_number_that_is_none(tmp_path: Path, line: str) -> None:
    home = Home(str(tmp_path))
    Path(home.config).write_text(line)
    with pytest.raises(ConfigurationError, match=re.escape(home.config)):
        load(home)


def test_a_line_with_a_number_that_is_none(face: Face) -> None:
    id = face.cli.out("create", "x").strip()
    lines = (
        *(("wait", "--timeout", value, id) for value in ("nan", "inf", "1e999", LONG)),
        *(("demo", "--rate", value) for value in ("nan", "inf")),
        *((command, "--offset", LONG, id) for command in ("cat", "watch")),
        ("ls", "--limit", LONG),
        ("create", "--ttl", f"{LONG}d", "x"),
        ("create", "--ttl", "nan", "x"),
    )
    for words, done in together(face.cli, lines, code=None):
        assert done.returncode == 2, (words[:2], done.stderr[-500:])
        assert b"Traceback" not in done.stderr
    done = face.cli.run("drive", "--from", f"{id}@{LONG}", code=None)
    assert (done.returncode, b"Traceback" in done.stderr) == (2, False)


def test_the_demo_runs(cli: Cli) -> None:
    assert "rows" in cli.out("demo", "--rate", "0")


# --- waits


@pytest.mark.parametrize(
    "wait", ["nan", "inf", "-inf", "1e999", "1e400", LONG, "-5", "x", "Mon, 99 Jan 99999 00:00:00 GMT"]
)
@pytest.mark.parametrize("name", ["retry-after", "retry-after-ms"])
def test_a_wait_that_is_none(name: str, wait: str) -> None:
    request = httpx.Request("POST", "http://x/v1")
    body = f'{{"error": {{"retryDelay": "{"9" * 400}s"}}}}'.encode()
    for content in (b"", body, f"try again in {'9' * 400}h".encode()):
        refusal = refused(httpx.Response(429, headers={name: wait}, request=request), content, Upstream("http://x/v1"))
        assert refusal.wait is None or 0 <= refusal.wait < math.inf
