"""A user's own Python function as a generator: inside a program, and as a command of the daemon.

`async def generate(stream)` yields text, `async def generate(stream, append)` appends it; which of the two a
function is, its parameters tell. For the daemon it runs in a process of the caller's interpreter, never in the
daemon: `call_process` is what runs there, and it uses this module, so nothing heavy is imported at the top.
"""

from __future__ import annotations

import functools
import importlib.util
import inspect
import os
import sys
from collections.abc import AsyncGenerator, Callable, Coroutine, Iterator
from contextlib import aclosing
from types import ModuleType
from typing import TYPE_CHECKING, Any, NoReturn, TypeVar

from ptstream import strict_json
from ptstream.errors import ConfigurationError, GeneratorError, UsageError, ungrouped
from ptstream.generators import Caller, Event, Generation, Note, Reasoning, Source, Stderr, Usage
from ptstream.generators.surrogates import PIECE, Surrogates, slices
from ptstream.streams import Flush, Stream

if TYPE_CHECKING:
    from ptstream.generators.command import Command

GROUP = "ptstream.generators"
"""The entry point group of generators that are installed for everybody."""

PROCESS = os.path.join(os.path.dirname(os.path.abspath(__file__)), "call_process.py")

LONGEST_FRAME = 1024 * 1024
"""Bytes of a frame at most: of text it takes no more than PIECE characters."""

MARK = "__ptstream_generator__"

Append = Callable[[str], Coroutine[Any, Any, int]]
"""Hands text over; returns, once it is kept, the offset where it ends, in bytes from the start of the stream."""

Function = TypeVar("Function", bound=Callable[..., Any])


def generator(name: str) -> Callable[[Function], Function]:
    """Name a generator function within its file: `--generator FILE.py:NAME` then finds it by `name`."""

    def mark(function: Function) -> Function:
        setattr(function, MARK, name)
        return function

    return mark


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
    """What says how a call goes: behind partials, methods, decorators that tell what they wrap, `__call__`."""
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


# --- inside a program


def from_function(function: Callable[..., Any], stream: Stream) -> Generation:
    """What `function` gives for `stream`. Its own exceptions come through as they are.

    Iterate and close it in one task, and leave no cancel scope in between that was open before: where the
    function appends, it runs in a task of the generation's own.
    """
    return _appended(function, stream) if appends(function) else _yielded(function, stream)


async def _yielded(function: Callable[..., Any], stream: Stream) -> Generation:
    surrogates = Surrogates()
    async with aclosing(events_of(function, stream)) as events:
        async for event in events:
            if not isinstance(checked(event), str):
                yield event
                continue
            for part in slices(event, PIECE):
                if text := surrogates.feed(part):
                    yield text
    if text := surrogates.end():
        yield text


async def _appended(function: Callable[..., Any], stream: Stream) -> Generation:
    import anyio

    handover = _Handover(stream.bytes)
    with ungrouped():
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(handover.run, function, stream)
            async with aclosing(handover.pieces()) as pieces:
                async for piece in pieces:
                    yield piece
            tasks.cancel_scope.cancel()
    if handover.failure is not None:
        raise handover.failure


class _Offer:
    """One piece on its way: settled when the reader has come back for the next, or never will."""

    def __init__(self, text: str) -> None:
        import anyio

        self.text = text
        self.kept = False
        self.settled = anyio.Event()


class _Handover:
    """Where a function and its reader meet, each in its task: `append` returns when the reader wants more."""

    def __init__(self, offset: int) -> None:
        import anyio

        self.failure: Exception | None = None
        self._offset = offset
        self._turn = anyio.Lock()
        self._offer: _Offer | None = None
        self._ready = anyio.Event()
        self._over = False
        self._surrogates = Surrogates()

    async def run(self, function: Callable[..., Any], stream: Stream) -> None:
        """Call the function and remember how it ended: its exception must not cancel the reader in mid-step."""
        try:
            await function(stream, self.append)
        except Exception as error:
            self.failure = error
        finally:
            self._over = True
            self._ready.set()
            if self._offer is not None:
                self._offer.settled.set()

    async def append(self, text: str) -> int:
        """See `Append`. Raises anyio.ClosedResourceError when the generation is over."""
        import anyio

        if not isinstance(text, str):
            raise TypeError(f"append takes text (str), not {type(text).__name__}")
        async with self._turn:
            for part in slices(text, PIECE) if text else ("",):
                if whole := self._surrogates.feed(part):
                    await self._hand_over(_Offer(whole))
                elif self._over:
                    raise anyio.ClosedResourceError
            return self._offset

    async def _hand_over(self, offer: _Offer) -> None:
        import anyio

        if not self._over:
            self._offer = offer
            self._ready.set()
            try:
                await offer.settled.wait()
            finally:
                if self._offer is offer:  # not looked at yet: taken back
                    self._offer = None
        if not offer.kept:
            raise anyio.ClosedResourceError

    async def pieces(self) -> AsyncGenerator[str, None]:
        """The pieces as they are handed over, until the function has ended."""
        import anyio

        while not self._over:
            if self._offer is None:
                self._ready = anyio.Event()
                await self._ready.wait()
                continue
            offer, self._offer = self._offer, None
            try:
                yield offer.text
                offer.kept = True
                self._offset += len(offer.text.encode())
            finally:
                offer.settled.set()
        if rest := self._surrogates.end():
            yield rest


# --- as a command of the daemon


def load(target: str) -> Callable[..., Any]:
    """The function that `FILE.py:NAME` or an entry point's name stands for. Raises UsageError, and whatever the
    user's code raises when it is imported.
    """
    file, name = split(target)
    return _from_file(file, name) if file else _from_entry_point(target)


def split(target: str) -> tuple[str | None, str]:
    """`FILE.py:NAME` in its two halves; no file for an entry point's name."""
    file, _, name = target.rpartition(":")
    if file.endswith(".py"):
        return file, name
    return (name, "") if name.endswith(".py") else (None, target)


def source(stream: Stream, caller: Caller) -> Source:
    """The stream's own generator function, ready to run. Its silence is its author's business.

    Raises UsageError, ConfigurationError where it can be seen at once that there is none.
    """
    target = stream.words.generator or ""
    check_target(target, caller.directory)
    left: list[str] = []
    return Source(
        model=target,
        place=os.fsencode(caller.directory).decode("utf-8", "replace"),
        flush=Flush.SENTENCES,
        generate=lambda: _called(target, stream, caller, left),
        patient=True,
        left=left,
    )


def check_target(target: str, directory: str) -> None:
    """Raises UsageError, ConfigurationError where it can be seen at once that there is no such function."""
    file, name = split(target)
    if file and not name:
        raise UsageError(f"--generator {target} names no function: write {file}:NAME")
    if file and not os.path.isfile(os.path.join(directory, file)):
        raise ConfigurationError(f"--generator {target}: there is no file {file} in {directory}")


async def _called(target: str, stream: Stream, caller: Caller, left: list[str]) -> Generation:
    from ptstream.generators import command

    # -P: no module of the working directory stands in for one of Python's.
    argv = [caller.python or sys.executable, "-P", PROCESS, target]
    frames, beside = Frames(), command.Decoder()
    stdin = strict_json.dumps(_described(stream)).encode("ascii")
    async with command.running(argv, stdin=stdin, caller=caller, left=left) as process:
        async for pipe, data in process.output:
            if pipe == "stdout":
                for event in frames.feed(data):
                    yield event
            elif piece := beside.feed(data):
                yield Stderr(piece)
        for event in frames.end():
            yield event
        # Only now, so that a traceback on stderr, which is another pipe, came before its error.
        if frames.failure is not None:
            raise GeneratorError(f"{target}: {frames.failure}")
        if not frames.ended:
            await _raise_exit(process, target)


async def _raise_exit(process: Command, target: str) -> NoReturn:
    """The process went without a frame that says so."""
    try:
        await process.end()
    except GeneratorError as error:
        raise GeneratorError(f"{target}: {error}") from error
    raise GeneratorError(f"{target}: left its process before its end")


def _described(stream: Stream) -> dict[str, Any]:
    words = stream.words
    return {
        "id": stream.id,
        "name": stream.name,
        "title": stream.title,
        "bytes": stream.bytes,
        "created_at": stream.created_at,
        "words": {"prompt": words.prompt, "system": words.system, "model": words.model},
    }


class Frames:
    """What `call_process` writes: a JSON object a line, in ASCII, each with one key."""

    def __init__(self) -> None:
        self.ended = False
        self.failure: str | None = None
        self._rest = b""
        self._surrogates = Surrogates()

    def feed(self, data: bytes) -> Iterator[Event]:
        """The events in it. `ended` and `failure` tell how it went. Raises GeneratorError for a frame too long."""
        *lines, self._rest = (self._rest + data).split(b"\n")
        for line in (*lines, self._rest):
            if len(line) > LONGEST_FRAME:
                raise GeneratorError(f"the generator says more at once than {LONGEST_FRAME} bytes that is no text")
        for line in lines:
            ((kind, value),) = strict_json.loads(line).items()
            yield from self._event(kind, value)

    def end(self) -> Iterator[str]:
        """What is left to say after the last frame."""
        if text := self._surrogates.end():
            yield text

    def _event(self, kind: str, value: Any) -> Iterator[Event]:
        match kind:
            case "text":
                if text := self._surrogates.feed(value):
                    yield text
            case "reasoning":
                yield Reasoning(value)
            case "note":
                yield Note(value)
            case "usage":
                yield Usage(value)
            case "end":
                self.ended = True
            case "error":
                self.failure = value


def _from_file(file: str, name: str) -> Callable[..., Any]:
    module = _imported(file)
    values = vars(module)
    marked = {getattr(value, MARK): value for value in values.values() if hasattr(value, MARK)}
    function: Callable[..., Any] | None = marked.get(name) or values.get(name)
    if callable(function):
        return function
    own = [key for key, value in values.items() if inspect.isfunction(value) and value.__module__ == module.__name__]
    names = ", ".join(dict.fromkeys([*marked, *own])) or "none at all"
    problem = f"has no function {name}" if name else "needs a function's name"
    raise UsageError(f"{file} {problem}; write {file}:NAME (there is {names})")


def _imported(file: str) -> ModuleType:
    path = os.path.abspath(file)
    # As for a script: what lies beside the file can be imported by it.
    sys.path.insert(0, os.path.dirname(path))
    name = os.path.splitext(os.path.basename(path))[0]
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


def _from_entry_point(name: str) -> Callable[..., Any]:
    from importlib.metadata import entry_points

    found = entry_points(group=GROUP)
    for entry in found:
        if entry.name == name:
            function: Callable[..., Any] = entry.load()
            return function
    names = ", ".join(sorted({entry.name for entry in found})) or "none"
    raise UsageError(f"no generator is called {name}; installed: {names}; one of your own: --generator FILE.py:NAME")
