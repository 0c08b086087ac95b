"""A conversation from the command line: its next turn, its text in order, its streams, and running one again."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import anyio
import anyio.to_thread
import pytest

from ptstream.streams import NOT_OPTIONS
from tests import endpoint
from tests.conftest import Cli, listening, playing


def id_of(done: Any) -> str:
    """The id that a command said first."""
    return str(done.stderr.decode().split()[0])


def shown(cli: Cli, id: str) -> dict[str, Any]:
    fields: dict[str, Any] = json.loads(cli.out("show", "--json", id))
    return fields


@pytest.mark.anyio
async def test_the_next_turn_and_the_conversation(cli: Cli) -> None:
    async with endpoint.serve() as server:
        cli.environment |= {"OPENAI_BASE_URL": server.base_url, "OPENAI_API_KEY": "k", "PTSTREAM_MODEL": "ok"}

        async def out(*words: str, code: int = 0, **more: Any) -> Any:
            return await anyio.to_thread.run_sync(lambda: cli.run(*words, code=code, **more))

        assert b"no such stream yet" in (await out("drive", "-c", "-p", "And?", code=3)).stderr
        first = id_of(await out("drive", "-p", "Why?\nTell me."))
        await out("drive", "--", "echo", "a command")
        second = id_of(await out("drive", "-c", input="And why that?"))
        await out("drive", "-c", code=2)  # without a question
        other = id_of(await out("drive", "-p", "Another thing"))
        third = id_of(await out("drive", "-c", second, "-p", "So?"))
        said = [(m["role"], m["content"]) for m in server.requests[-1].body["messages"]]
        again = id_of(await out("drive", "--again", third))
        said_again = [(m["role"], m["content"]) for m in server.requests[-1].body["messages"]]
    answer = endpoint.TEXT
    assert (
        said
        == said_again
        == [
            ("user", "Why?\nTell me."),
            ("assistant", answer),
            ("user", "And why that?"),
            ("assistant", answer),
            ("user", "So?"),
        ]
    )
    assert shown(cli, second)["parent"] == first
    text = f"> Why?\n> Tell me.\n\n{answer}\n\n> And why that?\n\n{answer}\n\n> So?\n\n{answer}\n"
    assert cli.out("cat", "--thread", third) == cli.out("cat", "--thread", "--wait", again) == text
    assert [line.split("\t")[0] for line in cli.out("show", "--thread", again).splitlines()] == [first, second, again]
    lines = [json.loads(line) for line in cli.out("show", "--thread", "--json", second).splitlines()]
    assert [(line["id"], line["prompt"]) for line in lines] == [(first, "Why?\nTell me."), (second, "And why that?")]
    titles = {line.split("\t")[0]: line.split("\t")[-1] for line in cli.out("ls").splitlines()}
    assert (titles[second], titles[other]) == (f"↳{first[:4]} And why that?", "Another thing")
    assert titles[again] == "So?"
    cli.run("cat", "--thread", "--offset", "3", third, code=2)


@pytest.mark.anyio
async def test_export(cli: Cli) -> None:
    async with endpoint.serve() as server:
        cli.environment |= {"OPENAI_BASE_URL": server.base_url, "OPENAI_API_KEY": "k", "PTSTREAM_MODEL": "ok"}

        async def asked(*words: str, code: int = 0) -> str:
            return id_of(await anyio.to_thread.run_sync(lambda: cli.run("drive", *words, code=code)))

        run = await asked("--", "sh", "-c", "echo '```'; exit 3", code=5)
        first = await asked("--from", run, "-p", "Why?", "-s", "Be brief.")
        second = await asked("-c", "-p", "So?")
        said = server.requests[-1].body["messages"]
    answer, failed = endpoint.TEXT, "[error: sh: exit code 3]"
    text = f"````console\n$ sh -c 'echo '\"'\"'```'\"'\"'; exit 3'\n```\n````\n\n{failed}\n"
    assert cli.out("export", run) == text
    assert cli.out("export", second) == f"> So?\n\n{answer}\n"
    assert cli.out("export", "--thread", first) == f"{text}\n> Why?\n\n{answer}\n"
    whole = json.loads(cli.out("export", "--thread", second, "--format", "json"))
    lines = [json.loads(line) for line in cli.out("export", "--thread", second, "--format", "jsonl").splitlines()]
    assert whole["streams"] == lines
    assert [(line["id"], line["text"]) for line in lines] == [(run, "```\n"), (first, answer), (second, answer)]
    assert [each["role"] for each in whole["messages"]] == ["system", "user", "user", "assistant", "user", "assistant"]
    assert whole["messages"][-3:-1] == said[-2:]
    assert cli.out("show", "--json", second) != cli.out("export", "--format", "jsonl", second)


@pytest.mark.anyio
async def test_options_go_to_the_model_and_on_to_the_next_turn(cli: Cli) -> None:
    async with endpoint.serve() as server:
        endpoints = '[endpoints.mine]\nbase_url = "{}"\nmodel = "ok"\n[endpoints.mine.body]\ntop_p = 0.9\nseed = 1\n'
        models = "[endpoints.mine.models.ok]\nseed = 2\nuser = 'me'\n[endpoints.mine.models.other]\nseed = 3\n"
        cli.home.make()
        Path(cli.home.config).write_text(f'model = "mine"\n{endpoints.format(server.base_url)}{models}')

        async def sent(*words: str) -> dict[str, Any]:
            await anyio.to_thread.run_sync(lambda: cli.run("drive", *words))
            body = server.requests[-1].body
            return {key: value for key, value in body.items() if key not in NOT_OPTIONS}

        assert await sent("-p", "Why?") == {"top_p": 0.9, "seed": 2, "user": "me"}
        options = ("-o", "temperature", "0.2", "-o", "stop", '["a", "b"]', "--option", "reasoning_effort", "high")
        given = {"temperature": 0.2, "stop": ["a", "b"], "reasoning_effort": "high"}
        assert await sent("-p", "Why?", *options, "-o", "user", "null") == {"top_p": 0.9, "seed": 2, **given}
        said = await sent("-c", "-p", "And?", "-o", "temperature", "1", "-o", "seed", "7")
        assert said == {"top_p": 0.9, **given, "temperature": 1, "seed": 7}
        assert await sent("--again", "@last") == said
    assert json.loads(cli.out("show", "--json", "@last"))["options"]["reasoning_effort"] == "high"


def test_elsewhere_all_of_it_is_the_same(cli: Cli) -> None:
    with playing() as url, listening(f'model = "mine/ok"\n[endpoints.mine]\nbase_url = "{url}"\n') as face:
        cli.environment |= {"PTSTREAM_HOST": face.url, "PTSTREAM_TOKEN": face.token}
        first = id_of(cli.run("drive", "-p", "Why?", "-o", "seed", "7"))
        second = id_of(cli.run("drive", "-c", "-p", "So?"))
        again = id_of(cli.run("drive", "--again", second))
        assert cli.run("drive", "--again", code=3).stdout == b""  # no command's
        assert shown(cli, again)["options"] == {"seed": 7}
        assert [line.split("\t")[0] for line in cli.out("show", "--thread", second).splitlines()] == [first, second]
        for words in (
            ["cat", "--thread", again],
            ["show", "--thread", "--json", again],
            ["export", "--thread", "--format", "json", again],
            ["search", "why"],
            ["ls"],
        ):
            assert cli.out(*words) == face.cli.out(*words) != ""


def test_options_that_are_none(cli: Cli) -> None:
    for words in (["-o", "messages", "x", "-p", "x"], ["-p", "x", "-o", "seed"], ["-o", "seed", "1", "--", "true"]):
        cli.run("drive", *words, code=2)


def test_what_does_not_go_with_a_next_turn(cli: Cli) -> None:
    for words in (
        ["-c", "--from", "x", "-p", "y"],
        ["-c", "--", "true"],
        ["--again", "-p", "x"],
        ["--again", "--", "true"],
    ):
        cli.run("drive", *words, code=2)


def test_a_command_again(cli: Cli) -> None:
    cli.run("drive", "--again", code=3)
    first = id_of(cli.run("drive", "--title", "counted", "--", "sh", "-c", "wc -c; echo said >&2", input="four"))
    kept = id_of(cli.run("tee", input="nothing to run"))
    again = cli.run("drive", "--again", "--stderr")
    assert (again.stdout, id_of(again)) != (b"", first)
    assert again.stdout.split() == [b"4", b"said"]
    fields = shown(cli, id_of(again))
    assert (fields["parent"], fields["parent_offset"], fields["title"]) == (first, 0, "counted")
    text = cli.out("cat", "--thread", id_of(again))
    assert text == "```console\n$ sh -c 'wc -c; echo said >&2'\n4\nsaid\n```\n"
    assert b"not asked anything" in cli.run("drive", "--again", kept, code=2).stderr
