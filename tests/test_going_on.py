"""Going on: a new stream that begins with an old one's text or answers it, and a further attempt after a drop."""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Any

import anyio
import pytest

from ptstream import resumption
from ptstream.conversation import going_on, history
from ptstream.engine.protocol import Engine
from ptstream.errors import GeneratorDropped, NotFinished, OffsetBeyondEnd, UsageError
from ptstream.follow import Follow
from ptstream.generators import Event, Source
from ptstream.generators.openai.chat_messages import messages
from ptstream.owner import open_owner
from ptstream.settings import Home
from ptstream.streams import Flush, GenerationRequest, Parent, Status, Stream
from tests import endpoint
from tests.conftest import Cli, tails

pytestmark = pytest.mark.anyio

TEXT = "One two three. Für fünf Füße. Seven eight nine. Ten."


async def ended(engine: Engine, words: GenerationRequest, text: str, parent: Parent | None = None) -> Stream:
    """A stream that is done and says `text`."""

    async def generate() -> AsyncGenerator[Event, None]:
        yield text

    async with open_owner(engine) as owner:
        id = (await engine.create(words, parent=parent)).id
        attempt = await owner.start(id, Source("m", "here", Flush.SENTENCES, generate))
        await attempt.ended.wait()
    return await engine.get(id)


# --- a further attempt


def dropping(times: int, pause: anyio.Event | None = None) -> Source:
    """Drops after every third word, `times` times, and goes on from where it was."""
    left = times

    async def go_on(text: str) -> AsyncGenerator[Event, None]:
        nonlocal left
        rest = TEXT[len(text) :].split(" ")
        for place, word in enumerate(rest):
            if place == 3 and left:
                left -= 1
                raise GeneratorDropped("the provider hung up")
            yield word + (" " if place < len(rest) - 1 else "")

    return Source("m", "here", Flush.SENTENCES, lambda: go_on(""), resume=go_on)


@pytest.fixture
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resumption, "BACKOFF", 0.0)


@pytest.mark.usefixtures("at_once")
async def test_on_drop_the_same_stream_goes_on(engine: Engine, home: Home) -> None:
    live, stored = b"", b""
    async with open_owner(engine) as owner, anyio.create_task_group() as tasks:
        id = (await engine.create()).id

        async def watch() -> None:
            nonlocal stored
            async for data in Follow(owner.engine.cursor(id, live=False)):
                stored += data

        tasks.start_soon(watch)
        attempt = await owner.start(id, dropping(2), on_drop=True)
        async for data in Follow(owner.engine.cursor(id), audience=owner.audience):
            live += data
        await attempt.ended.wait()
    assert live.decode() == stored.decode() == (await engine.text(id)).decode() == TEXT
    assert (await engine.recovered(id)).status is Status.DONE
    attempts = await engine.attempts(id)
    assert [(a.epoch, a.begin, a.pieces, a.cause) for a in attempts] == [
        (1, 0, 3, "the provider hung up"),
        (2, 15, 3, "the provider hung up"),
        (3, len("One two three. Für fünf Füße. ".encode()), 4, None),
    ]
    assert tails(home) == []


@pytest.mark.usefixtures("at_once")
async def test_it_gives_up_after_a_while(engine: Engine) -> None:
    def hang_up() -> Event:
        raise GeneratorDropped("the provider hung up")

    async def drop(_: str = "") -> AsyncGenerator[Event, None]:
        yield hang_up()

    async with open_owner(engine) as owner:
        attempt = await owner.start(
            (await engine.create()).id, Source("m", "p", Flush.SENTENCES, drop, resume=drop), on_drop=True
        )
        await attempt.ended.wait()
        state = await engine.recovered(attempt.claim.id)
        assert (state.status, state.error) == (Status.ERROR, "the provider hung up")
        assert len(await engine.attempts(attempt.claim.id)) == 11


async def test_without_on_drop_it_ends(engine: Engine) -> None:
    async with open_owner(engine) as owner:
        attempt = await owner.start((await engine.create()).id, dropping(1))
        await attempt.ended.wait()
        assert await engine.text(attempt.claim.id) == b"One two three. "
        assert (await engine.recovered(attempt.claim.id)).error == "the provider hung up"


@pytest.mark.usefixtures("at_once")
async def test_a_cancel_wins_over_a_further_attempt(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    async with open_owner(engine) as owner:
        id, reclaim = (await engine.create()).id, owner._writer.reclaim

        async def cancelled_first(*words: Any) -> Any:
            await engine.cancel(id)
            return await reclaim(*words)

        async def stay(text: str = "") -> AsyncGenerator[Event, None]:
            if text:
                await anyio.sleep_forever()
            yield "One two three. "
            raise GeneratorDropped("the provider hung up")

        monkeypatch.setattr(owner._writer, "reclaim", cancelled_first)
        attempt = await owner.start(id, Source("m", "p", Flush.SENTENCES, stay, resume=stay), on_drop=True)
        await attempt.ended.wait()
    assert (await engine.recovered(id)).status is Status.CANCELLED
    assert await engine.text(id) == b"One two three. "


# --- a new stream


async def test_what_it_inherits(engine: Engine) -> None:
    parent = await ended(engine, GenerationRequest(prompt="Why?", system="S", model="m"), TEXT)
    size = len(TEXT.encode())
    assert await going_on(engine, parent, None, GenerationRequest()) == (
        parent.request,
        Parent(parent.id, size, True),
    )
    assert (await going_on(engine, parent, 15, GenerationRequest(model="n")))[0] == GenerationRequest(
        prompt="Why?", system="S", model="n"
    )
    assert (await going_on(engine, parent, None, GenerationRequest(command=("x",))))[0] == GenerationRequest(
        prompt="Why?", system="S", command=("x",)
    )
    words, before = await going_on(engine, parent, None, GenerationRequest(prompt="And?"))
    assert (words.prompt, before) == ("And?", Parent(parent.id, size, False))
    with pytest.raises(OffsetBeyondEnd):
        await going_on(engine, parent, size + 1, GenerationRequest())
    with pytest.raises(UsageError, match="inside a character"):
        await going_on(engine, parent, 17, GenerationRequest())
    with pytest.raises(NotFinished):
        await going_on(engine, await engine.create(), None, GenerationRequest())


async def test_the_conversation_before(engine: Engine) -> None:
    first = await ended(engine, GenerationRequest(prompt="Who?"), "Me. ")
    second = await ended(engine, GenerationRequest(prompt="Why?"), "Because. Yes", Parent(first.id, 4, False))
    rest = await engine.create(GenerationRequest(prompt="Why?"), parent=Parent(second.id, 9, True))
    await engine.begin(rest.id, "Because. ")
    third = await engine.create(GenerationRequest(prompt="And?"), parent=Parent(rest.id, 9, False))
    said = [("user", "Who?"), ("assistant", "Me. "), ("user", "Why?"), ("assistant", "Because. ")]
    assert [(turn["role"], turn["content"]) for turn in await history(engine, third)] == said
    assert (
        await history(engine, await engine.get(rest.id))
        == await history(engine, second)
        == (await history(engine, third))[:2]
    )
    assert await engine.text(rest.id) == b"Because. "
    await engine.delete(first.id)
    assert [turn["content"] for turn in await history(engine, third)] == ["Why?", "Because. "]


async def test_a_question_that_got_no_answer_belongs_to_the_conversation(engine: Engine) -> None:
    first = await ended(engine, GenerationRequest(prompt="Who?"), "")
    again = await ended(engine, GenerationRequest(prompt="Who?"), "Me.", Parent(first.id, 0, True))
    following = await engine.create(GenerationRequest(prompt="Why?"), parent=Parent(first.id, 0, False))
    assert await history(engine, following) == [{"role": "user", "content": "Who?"}]
    assert await history(engine, again) == []


@pytest.mark.parametrize(
    ("answer", "told"),
    [
        ("<think>Rain?</think>It rained.", "It rained."),
        ("\n<think>\nRain?\n</think>\n\nIt rained.", "It rained."),
        ("<thinking>Rain?</thinking> It rained.", "It rained."),
        ("Rain?\n</think>\n\nIt rained.", "It rained."),
        ("It rained.", "It rained."),
        ("Write `</think>` after it.", "Write `</think>` after it."),
        ("It <think>rained</think>.", "It <think>rained</think>."),
        ("<think>Rain?", None),
        ("<think>Rain?</think>\n", None),
    ],
)
async def test_thinking_aloud_is_not_sent_back(engine: Engine, answer: str, told: str | None) -> None:
    first = await ended(engine, GenerationRequest(prompt="Who?"), answer)
    assert (await engine.text(first.id)).decode() == answer
    second = await engine.create(GenerationRequest(prompt="Why?"), parent=Parent(first.id, len(answer), False))
    assert [turn["content"] for turn in await history(engine, second)] == ["Who?", *([told] if told else [])]


async def test_a_long_prompt_is_taken_over_whole(cli: Cli, engine: Engine) -> None:
    prompt = "why " * 5000
    cli.run("drive", "--name", "old", "--prompt", prompt, "--", "wc", "-c")
    assert cli.out("drive", "--from", "old", "--name", "new", "--", "wc", "-c").strip() == str(len(prompt))
    assert (await engine.get((await engine.find("new")).id)).prompt == prompt


async def test_drive_from(cli: Cli, engine: Engine, folder: Path) -> None:
    (folder / "text").write_text(TEXT)
    cli.run("drive", "-m", f"replay:{folder}/text?rate=0", "--name", "old")
    old = await engine.find("old")
    done = cli.run("drive", "--from", "old@15")
    assert done.stdout.decode() == TEXT
    assert f"goes on from {old.id} at byte 15" in done.stderr.decode()
    shown = json.loads(cli.out("show", "--json", "@last"))
    assert (shown["parent"], shown["parent_offset"], shown["seam"]) == (old.id, 15, 15)
    assert [attempt["begin"] for attempt in shown["attempts"]] == [15]
    done = cli.run("drive", "--from", "old", "--", "echo", "anew")
    assert done.stdout == b"anew\n"
    assert b"begins anew" in done.stderr
    shown = json.loads(cli.out("show", "--json", "@last"))
    assert (shown["parent"], shown["parent_offset"], shown["seam"]) == (old.id, 0, 0)
    assert b"inside a character" in cli.run("drive", "--from", "old@17", code=2).stderr
    cli.run("drive", "--from", "old@999", code=2)
    cli.run("drive", "--from", "nowhere", code=3)
    cli.run("drive", "old", "--from", "old", code=2)
    assert b"cannot go on" in cli.run("drive", "--on-drop", "continue", "--", "true", code=2).stderr


async def test_the_next_turn_of_a_conversation(cli: Cli, home: Home, engine: Engine) -> None:
    async with endpoint.serve() as server:
        environment = {"OPENAI_BASE_URL": server.base_url, "OPENAI_API_KEY": "k"}

        async def ask(*words: str) -> None:
            await anyio.to_thread.run_sync(lambda: cli.run("drive", "-m", "ok", *words, env=environment))

        await ask("-p", "Why?", "-s", "Be brief.", "--name", "one")
        await ask("--from", "one", "-p", "And why that?")
        first = (await engine.text((await engine.find("one")).id)).decode()
        asked = [(m["role"], m["content"]) for m in server.requests[-1].body["messages"]]
    said = [("system", "Be brief."), ("user", "Why?"), ("assistant", first), ("user", "And why that?")]
    assert asked == said


async def test_a_commands_text_is_asked_about_and_not_made_again(cli: Cli, home: Home, engine: Engine) -> None:
    async with endpoint.serve() as server:
        environment = {"OPENAI_BASE_URL": server.base_url, "OPENAI_API_KEY": "k", "PTSTREAM_MODEL": "ok"}

        async def run(*words: str, code: int = 0) -> Any:
            return await anyio.to_thread.run_sync(lambda: cli.run(*words, env=environment, code=code))

        script = "echo begun; echo no such file >&2; exit 2"
        await run("drive", "--name", "build", "--", "sh", "-c", script, code=5)
        await run("drive", "--from", "build", "--name", "why", "-p", "Why?")
        await run("drive", "--from", "why", "-p", "And now?")
        asked = [each for each in server.requests if each.method == "POST"]  # and not for its list of models
        first, second = ([(m["role"], m["content"]) for m in each.body["messages"]] for each in asked[-2:])
        await run("drive", "--from", "build@3", "-p", "Why?", "-m", "ok")
        cut = server.requests[-1].body["messages"][-1]["content"]
    shown = f"$ sh -c '{script}'\nbegun\n[error: sh: exit code 2: no such file]"
    answer = (await engine.text((await engine.find("why")).id)).decode()
    assert first == [("user", f"{shown}\n\nWhy?")]
    assert second == [("user", f"{shown}\n\nWhy?"), ("assistant", answer), ("user", "And now?")]
    assert cut == f"{shown}\n\nWhy?".replace("\nbegun", "\nbeg")
    words = (await engine.get((await engine.find("why")).id)).request
    assert (words.command, words.model, words.prompt) == (None, "ok", "Why?")


async def test_what_a_command_was_given_is_shown_too(engine: Engine) -> None:
    command = await ended(engine, GenerationRequest(prompt="b\na\n", command=("sort", "-u")), "a\nb\n")
    words, before = await going_on(engine, command, None, GenerationRequest(prompt="Why?"))
    question = await engine.create(words, parent=before)
    said = [{"role": "user", "content": "$ sort -u\nstandard input:\nb\na\noutput:\na\nb"}]
    assert await history(engine, question) == said
    assert messages(words, history=said) == [{"role": "user", "content": f"{said[0]['content']}\n\nWhy?"}]
    again, _ = await going_on(engine, command, None, GenerationRequest())
    assert again.command == ("sort", "-u")
    with_another, _ = await going_on(engine, command, None, GenerationRequest(prompt="c", command=("wc",)))
    assert with_another == GenerationRequest(prompt="c", command=("wc",))


async def test_a_question_without_an_answer_stays_in_the_conversation(engine: Engine) -> None:
    first = await ended(engine, GenerationRequest(prompt="Who?"), "")
    second = await ended(engine, GenerationRequest(prompt="Why?"), "Because.", Parent(first.id, 0, False))
    third = await engine.create(GenerationRequest(prompt="And?"), parent=Parent(second.id, 8, False))
    assert messages(third.request, history=await history(engine, third)) == [
        {"role": "user", "content": "Who?\n\nWhy?"},
        {"role": "assistant", "content": "Because."},
        {"role": "user", "content": "And?"},
    ]
