"""What a stream was asked, as an engine stores it: its columns, how its prompt begins, and whether two differ."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ptstream import strict_json
from ptstream.errors import NameTaken, RequestDiffers, UsageError
from ptstream.streams import NOT_OPTIONS, TTY, GenerationRequest, Status, Stream

OPENING = 200
"""Characters of a prompt that are kept with its stream, so that it is recognised in a list."""

LONGEST_OPTIONS = 64 * 1024
"""Characters of a model's options, as JSON, at most: they lie in the stream's row."""


def checked(text: str | None, what: str) -> str | None:
    """Raises UsageError for what UTF-8 has no bytes for, as an undecodable argument of a command."""
    try:
        if text is not None:
            text.encode()
    except UnicodeEncodeError as error:
        raise UsageError(f"the {what} is not UTF-8 text") from error
    return text


def prompts_of(request: GenerationRequest) -> dict[str, str | None]:
    """The columns of `prompts`. Raises UsageError for text that is not UTF-8."""
    return {"prompt": checked(request.prompt, "prompt"), "system": checked(request.system, "system prompt")}


def opening_of(request: GenerationRequest) -> str | None:
    """How the prompt begins. Raises as `prompts_of` does."""
    prompt = prompts_of(request)["prompt"]
    return prompt and prompt[:OPENING]


def columns_of(request: GenerationRequest) -> dict[str, str | None]:
    """Other columns of what a stream was asked. Raises UsageError for text that is not UTF-8."""
    return {
        "model": checked(request.model, "model's name"),
        "command": None if request.command is None else strict_json.dumps(list(request.command)),
        "generator": checked(request.generator, "generator's name"),
        "flush": request.flush and request.flush.value,
        "options": None if request.options is None else options_as_text(request.options),
    }


def options_as_text(options: Mapping[str, Any]) -> str:
    """A model's options as they are stored. Raises UsageError for what can be none, or is too long."""
    for key in options:
        if not key or key in NOT_OPTIONS:
            raise UsageError(f"{key[:40]!r} is no option of a model")
    try:
        text = strict_json.dumps(dict(sorted(options.items())))
    except (TypeError, ValueError, RecursionError) as error:
        raise UsageError(f"a model's options are no JSON: {error}") from error
    if len(text) > LONGEST_OPTIONS:
        raise UsageError(f"a model's options are too long: they have {LONGEST_OPTIONS} characters of JSON at most")
    return text


def check_one_generator(request: GenerationRequest) -> None:
    """Raises UsageError for a stream that both a command and something else would write, or with a model's options."""
    if request.command and request.options and (set(request.options) != {TTY} or not request.tty):
        raise UsageError("a model's options go with no command")
    if request.command and (request.model or request.generator):
        raise UsageError("a stream has one generator: a command, a model or a generator function")


def check_same(found: Stream, request: GenerationRequest, name: str | None) -> Stream:
    """The stream that has the name already. Raises NameTaken if it was asked something else."""
    if different := differences(found.request, request):
        raise NameTaken(
            f"the name {name!r} is taken by stream {found.id}, which has another {' and another '.join(different)}"
        )
    return found


def check_fits(found: Stream, request: GenerationRequest) -> None:
    """Raises RequestDiffers for what the stream has otherwise, or was not given while it was pending."""
    if different := differences(found.request, request, open_is_free=found.status is Status.PENDING):
        raise RequestDiffers(
            f"stream {found.id} was given another {' and another '.join(different)}:"
            " a stream says one thing (make a new one for another)"
        )


def differences(had: GenerationRequest, given: GenerationRequest, *, open_is_free: bool = False) -> list[str]:
    """What of a request was given now and is not what the stream has, by name."""
    before, now = (prompts_of(request) | columns_of(request) for request in (had, given))
    return [
        column
        for column, value in now.items()
        if value is not None and value != before[column] and not (open_is_free and before[column] is None)
    ]
