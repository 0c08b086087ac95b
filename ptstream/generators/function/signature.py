"""Which of the two forms a generator function has, recognized by its parameters.

`async def generate(stream)` yields text, `async def generate(stream, append)` appends it. Running one is left
to `in_program` and `function_process`.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Coroutine
from typing import Any

from ptstream.errors import UsageError
from ptstream.generators import Note, Reasoning, Usage
from ptstream.streams import Stream

Append = Callable[[str], Coroutine[Any, Any, int]]
"""Hands text over; returns, once it is kept, the offset where it ends, in bytes from the start of the stream."""


def check(function: Any) -> None:
    """Raises TypeError for what can be seen, without calling it, to be no generator.

    What a lambda gives is only seen when it is called (`lambda stream: generate(stream, model)`).
    """
    if problem := _problem(function):
        raise TypeError(
            "a generator is `async def generate(stream)`, which yields text, or `async def generate(stream, append)`,"
            f" which appends it: {problem}"
        )


def _problem(function: Any) -> str | None:
    if inspect.isasyncgen(function) or inspect.isgenerator(function) or inspect.iscoroutine(function):
        if not inspect.isasyncgen(function):
            function.close()
        return f"pass {function.__name__} itself, not what calling it gives"
    if inspect.isclass(function):
        return f"{function.__qualname__} is a class"
    if not callable(function):
        return f"{function!r:.80} is none"
    inner = _innermost(function)
    if not (_is_async(inner) or getattr(inner, "__name__", "") == "<lambda>"):
        return f"{named(function)} is not `async def`"
    try:
        takes_append = appends(function)
    except UsageError:
        return f"{named(function)} takes {inspect.signature(function)}"
    silent = inspect.iscoroutinefunction(inner) and not takes_append
    return f"{named(function)} neither yields nor takes `append`" if silent else None


def appends(function: Callable[..., Any]) -> bool:
    """Whether it takes `(stream, append)`. Raises UsageError for a function that takes neither form."""
    signature, inner = inspect.signature(function), _innermost(function)
    takes_stream = _takes(signature, 1)
    if not inspect.isasyncgenfunction(inner) and _takes(signature, 2):
        return inspect.iscoroutinefunction(inner) or not takes_stream
    if takes_stream:
        return False
    raise UsageError(f"a generator takes (stream) and yields text, or (stream, append): {named(function)} does not")


def _takes(signature: inspect.Signature, count: int) -> bool:
    try:
        signature.bind(*[None] * count)
    except TypeError:
        return False
    return True


def _is_async(function: Any) -> bool:
    return inspect.isasyncgenfunction(function) or inspect.iscoroutinefunction(function)


def _innermost(function: Any) -> Any:
    """What says how a call goes: behind partials, methods, decorators that name what they wrap, `__call__`."""
    while not _is_async(function):
        if isinstance(function, functools.partial):
            function = function.func
        elif inspect.ismethod(function):
            function = function.__func__
        elif hasattr(function, "__wrapped__"):
            function = function.__wrapped__
        elif inspect.isroutine(function):
            break
        else:
            function = type(function).__call__
    return function


def named(function: Callable[..., Any]) -> str:
    """What to call it in a message."""
    return getattr(function, "__qualname__", type(function).__qualname__)


def events_of(function: Callable[..., Any], stream: Stream) -> Any:
    """What a function that takes `(stream)` gives. Raises UsageError if that is no async generator."""
    events = function(stream)
    if inspect.isasyncgen(events):
        return events
    if inspect.iscoroutine(events):
        events.close()
    raise UsageError(f"{named(function)} is no async generator: it is `async def` and yields")


def checked(event: Any) -> Any:
    """`event`, if it is one. Raises TypeError."""
    if isinstance(event, str | Reasoning | Usage | Note):
        return event
    raise TypeError(f"a generator gives text (str), not {type(event).__name__}")
