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
from ptstream.engine.sqlite.store import Store
from ptstream.errors import GeneratorDropped, NotFinished, OffsetBeyondEnd, UsageError
from ptstream.follow import Follow
from ptstream.generators import Event, Source
from ptstream.generators.openai.chat_messages import messages
from ptstream.settings import Home
from ptstream.streams import Flush, GenerationRequest, Parent, Status, Stream
from tests import endpoint
from tests.conftest import Cli, engaged, owning, read

TEXT = "One two three. Für fünf Füße. Seven eight nine. Ten."


def ended(store: Store, words: GenerationRequest, text: str, parent: Parent | None = None) -> Stream:
    """A stream that is done and says `text`."""

    async def generate() -> AsyncGenerator[Event, None]:
        yield text

    async def run() -> str:
        async with owning(store) as owner:
            id = store.create(words, parent=parent).id
            attempt = await owner.start(id, Source("m", "here", Flush.SENTENCES, generate))
            await attempt.ended.wait()
            return id

    return store.get(anyio.run(run))


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


@pytest.mark.anyio
@pytest.mark.usefixtures("at_once")
async def test_on_drop_the_same_stream_goes_on(store: Store) -> None:
    live, stored = b"", b""
    async with owning(store) as owner, anyio.create_task_group() as tasks:
        id = store.create().id

        async def watch() -> None:
            nonlocal stored
            async for data in Follow(owner.engine.cursor(id, live=False)):
                stored += data

        tasks.start_soon(watch)
        attempt = await owner.start(id, dropping(2), on_drop=True)
        async for data in Follow(owner.engine.cursor(id), audience=owner.audience):
            live += data
        await attempt.ended.wait()
    assert live.decode() == stored.decode() == read(store, id).decode() == TEXT
    assert store.state(id).status is Status.DONE
    attempts = store.attempts(id)
    assert [(a.epoch, a.begin, a.pieces, a.cause) for a in attempts] == [
        (1, 0, 3, "the provider hung up"),
        (2, 15, 3, "the provider hung up"),
        (3, len("One two three. Für fünf Füße. ".encode()), 4, None),
    ]
    assert not list(Path(store.home.tails).iterdir())


@pytest.mark.anyio
@pytest.mark.usefixtures("at_once")
async def test_it_gives_up_after_a_while(store: Store) -> None:
    def hang_up() -> Event:
        raise GeneratorDropped("the provider hung up")

    async def drop(_: str = "") -> AsyncGenerator[Event, None]:
        yield hang_up()

    async with owning(store) as owner:
        attempt = await owner.start(
            store.create().id, Source("m", "p", Flush.SENTENCES, drop, resume=drop), on_drop=True
        )
        await attempt.ended.wait()
        state = store.state(attempt.claim.id)
        assert (state.status, state.error, state.epoch) == (Status.ERROR, "the provider hung up", 11)


@pytest.mark.anyio
async def test_without_on_drop_it_ends(store: Store) -> None:
    async with owning(store) as owner:
        attempt = await owner.start(store.create().id, dropping(1))
        await attempt.ended.wait()
        assert read(store, attempt.claim.id) == b"One two three. "
        assert store.state(attempt.claim.id).error == "the provider hung up"


@pytest.mark.anyio
@pytest.mark.usefixtures("at_once")
async def test_a_cancel_wins_over_a_further_attempt(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    async with owning(store) as owner:
        id, reclaim = store.create().id, owner._writer.reclaim

        async def cancelled_first(*words: Any) -> Any:
            store.cancel(id)
            return await reclaim(*words)

        async def stay(text: str = "") -> AsyncGenerator[Event, None]:
            if text:
                await anyio.sleep_forever()
            yield "One two three. "
            raise GeneratorDropped("the provider hung up")

        monkeypatch.setattr(owner._writer, "reclaim", cancelled_first)
        attempt = await owner.start(id, Source("m", "p", Flush.SENTENCES, stay, resume=stay), on_drop=True)
        await attempt.ended.wait()
    assert store.state(id).status is Status.CANCELLED
    assert read(store, id) == b"One two three. "


# --- a new stream


def test_what_it_inherits(store: Store) -> None:
    parent = ended(store, GenerationRequest(prompt="Why?", system="S", model="m"), TEXT)
    size = len(TEXT.encode())
    assert engaged(store, going_on, parent, None, GenerationRequest()) == (
        parent.request,
        Parent(parent.id, size, True),
    )
    assert engaged(store, going_on, parent, 15, GenerationRequest(model="n"))[0] == GenerationRequest(
        prompt="Why?", system="S", model="n"
    )
    assert engaged(store, going_on, parent, None, GenerationRequest(command=("x",)))[0] == GenerationRequest(
        prompt="Why?", system="S", command=("x",)
    )
    words, before = engaged(store, going_on, parent, None, GenerationRequest(prompt="And?"))
    assert (words.prompt, before) == ("And?", Parent(parent.id, size, False))
    with pytest.raises(OffsetBeyondEnd):
        engaged(store, going_on, parent, size + 1, GenerationRequest())
    with pytest.raises(UsageError, match="inside a character"):
        engaged(store, going_on, parent, 17, GenerationRequest())
    with pytest.raises(NotFinished):
        engaged(store, going_on, store.create(), None, GenerationRequest())


def test_the_conversation_before(store: Store) -> None:
    first = ended(store, GenerationRequest(prompt="Who?"), "Me. ")
    second = ended(store, GenerationRequest(prompt="Why?"), "Because. Yes", Parent(first.id, 4, False))
    rest = store.create(GenerationRequest(prompt="Why?"), parent=Parent(second.id, 9, True))
    store.begin(rest.id, "Because. ")
    third = store.create(GenerationRequest(prompt="And?"), parent=Parent(rest.id, 9, False))
    said = [("user", "Who?"), ("assistant", "Me. "), ("user", "Why?"), ("assistant", "Because. ")]
    assert [(turn["role"], turn["content"]) for turn in engaged(store, history, third)] == said
    assert (
        engaged(store, history, store.get(rest.id))
        == engaged(store, history, second)
        == engaged(store, history, third)[:2]
    )
    assert read(store, rest.id) == b"Because. "
    store.delete(first.id)
    assert [turn["content"] for turn in engaged(store, history, third)] == ["Why?", "Because. "]


def test_a_question_that_got_no_answer_belongs_to_the_conversation(store: Store) -> None:
    first = ended(store, GenerationRequest(prompt="Who?"), "")
    again = ended(store, GenerationRequest(prompt="Who?"), "Me.", Parent(first.id, 0, True))
    following = store.create(GenerationRequest(prompt="Why?"), parent=Parent(first.id, 0, False))
    assert engaged(store, history, following) == [{"role": "user", "content": "Who?"}]
    assert engaged(store, history, again) == []


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
def test_thinking_aloud_is_not_sent_back(store: Store, answer: str, told: str | None) -> None:
    first = ended(store, GenerationRequest(prompt="Who?"), answer)
    assert read(store, first.id).decode() == answer
    second = store.create(GenerationRequest(prompt="Why?"), parent=Parent(first.id, len(answer), False))
    assert [turn["content"] for turn in engaged(store, history, second)] == ["Who?", *([told] if told else [])]


def test_a_long_prompt_is_taken_over_whole(cli: Cli, store: Store) -> None:
    prompt = "why " * 5000
    cli.run("drive", "--name", "old", "--prompt", prompt, "--", "wc", "-c")
    assert cli.out("drive", "--from", "old", "--name", "new", "--", "wc", "-c").strip() == str(len(prompt))
    assert store.get(store.find("new").id).prompt == prompt


def test_drive_from(cli: Cli, store: Store, folder: Path) -> None:
    (folder / "text").write_text(TEXT)
    cli.run("drive", "-m", f"replay:{folder}/text?rate=0", "--name", "old")
    old = store.find("old")
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


@pytest.mark.anyio
async def test_the_next_turn_of_a_conversation(cli: Cli, home: Home, store: Store) -> None:
    async with endpoint.serve() as server:
        environment = {"OPENAI_BASE_URL": server.base_url, "OPENAI_API_KEY": "k"}

        async def ask(*words: str) -> None:
            await anyio.to_thread.run_sync(lambda: cli.run("drive", "-m", "ok", *words, env=environment))

        await ask("-p", "Why?", "-s", "Be brief.", "--name", "one")
        await ask("--from", "one", "-p", "And why that?")
        first = read(store, store.find("one").id).decode()
        asked = [(m["role"], m["content"]) for m in server.requests[-1].body["messages"]]
    said = [("system", "Be brief."), ("user", "Why?"), ("assistant", first), ("user", "And why that?")]
    assert asked == said


@pytest.mark.anyio
async def test_a_commands_text_is_asked_about_and_not_made_again(cli: Cli, home: Home, store: Store) -> None:
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
    answer = read(store, store.find("why").id).decode()
    assert first == [("user", f"{shown}\n\nWhy?")]
    assert second == [("user", f"{shown}\n\nWhy?"), ("assistant", answer), ("user", "And now?")]
    assert cut == f"{shown}\n\nWhy?".replace("\nbegun", "\nbeg")
    words = store.get(store.find("why").id).request
    assert (words.command, words.model, words.prompt) == (None, "ok", "Why?")


def test_what_a_command_was_given_is_shown_too(store: Store) -> None:
    command = ended(store, GenerationRequest(prompt="b\na\n", command=("sort", "-u")), "a\nb\n")
    words, before = engaged(store, going_on, command, None, GenerationRequest(prompt="Why?"))
    question = store.create(words, parent=before)
    said = [{"role": "user", "content": "$ sort -u\nstandard input:\nb\na\noutput:\na\nb"}]
    assert engaged(store, history, question) == said
    assert messages(words, history=said) == [{"role": "user", "content": f"{said[0]['content']}\n\nWhy?"}]
    again, _ = engaged(store, going_on, command, None, GenerationRequest())
    assert again.command == ("sort", "-u")
    with_another, _ = engaged(store, going_on, command, None, GenerationRequest(prompt="c", command=("wc",)))
    assert with_another == GenerationRequest(prompt="c", command=("wc",))


def test_a_question_without_an_answer_stays_in_the_conversation(store: Store) -> None:
    first = ended(store, GenerationRequest(prompt="Who?"), "")
    second = ended(store, GenerationRequest(prompt="Why?"), "Because.", Parent(first.id, 0, False))
    third = store.create(GenerationRequest(prompt="And?"), parent=Parent(second.id, 8, False))
    assert messages(third.request, history=engaged(store, history, third)) == [
        {"role": "user", "content": "Who?\n\nWhy?"},
        {"role": "assistant", "content": "Because."},
        {"role": "user", "content": "And?"},
    ]
