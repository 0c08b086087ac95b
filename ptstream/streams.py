"""The nouns: a stream, its status, its text, its pieces, and what it was asked to say.

Values only, and without `dataclasses`: `cat` loads this, and importing that would cost it half a start of Python. Who
stores them is `store`'s business, who makes them `drive`'s.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from enum import StrEnum
from typing import Any, NamedTuple, Self, get_type_hints


class Status(StrEnum):
    """Where a stream stands: `pending`, `streaming`, then exactly one of the four ends."""

    PENDING = "pending"
    STREAMING = "streaming"
    DONE = "done"
    ERROR = "error"
    TIMEOUT = "timeout"
    CANCELLED = "cancelled"

    @property
    def ended(self) -> bool:
        """Whether nothing comes after this status, ever."""
        return self not in (Status.PENDING, Status.STREAMING)


class Flush(StrEnum):
    """How a generator's text is cut into chunks."""

    SENTENCES = "sentences"
    LINES = "lines"


class Record(dict[str, Any]):
    """What an app gets, and may give away as it is: a dictionary of its fields, which are its attributes too.

    A dictionary, because only that is an object to `json` and whatever is built on it. Like a tuple of its values it
    can be taken apart (`text, offset = piece`) and compared. Its attributes cannot be set.
    """

    __slots__ = ()

    def __getattr__(self, name: str) -> Any:
        try:
            return self[name]
        except KeyError:
            raise AttributeError(f"{type(self).__name__} has no field {name!r}") from None

    def __iter__(self) -> Iterator[Any]:
        return iter(self.values())

    def __eq__(self, other: object) -> bool:
        return tuple(self) == other if isinstance(other, tuple) else dict.__eq__(self, other)

    def __ne__(self, other: object) -> bool:
        return not self == other

    __hash__ = None

    def __repr__(self) -> str:
        return f"{type(self).__name__}({', '.join(f'{name}={value!r}' for name, value in self.items())})"

    def __dir__(self) -> list[str]:
        return [*super().__dir__(), *self.keys()]

    @classmethod
    def of(cls, fields: Mapping[str, Any]) -> Self:
        """One with these values, which are all of its fields, in their order."""
        made = cls.__new__(cls)
        made.update(fields)
        return made

    def replaced(self, **changes: Any) -> Self:
        """The same with other values in some fields."""
        return self.of({**self, **changes})

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: Any) -> Any:
        """What Pydantic, and so FastAPI, takes it for where it is the type of an answer: an object of these fields."""
        from typing_extensions import TypedDict  # which Pydantic brings: before Python 3.12 it takes no other

        return handler.generate_schema(TypedDict(cls.__name__, get_type_hints(cls)))  # type: ignore[operator]


class Piece(Record):
    """Text as a reader gets it.

    `offset` is where this text ends, in bytes of UTF-8 from the start of the stream: pass it back to go on.
    """

    __slots__ = ()
    __match_args__ = ("text", "offset")

    text: str
    offset: int

    def __init__(self, text: str, offset: int) -> None:
        super().__init__(text=text, offset=offset)


class Body(Record):
    """All the text of a stream at one moment: `offset` is its end in bytes, `error` the cause of a bad end."""

    __slots__ = ()
    __match_args__ = ("text", "status", "offset", "error")

    text: str
    status: Status
    offset: int
    error: str | None

    def __init__(self, text: str, status: Status, offset: int, error: str | None) -> None:
        super().__init__(text=text, status=status, offset=offset, error=error)


class TerminalSize(NamedTuple):
    """Of a terminal, in cells. One that nobody has given a size has this one."""

    columns: int = 80
    rows: int = 24


TTY = "tty"
"""The one option of a command: whether it has a pseudo-terminal."""


class GenerationRequest(NamedTuple):
    """What a stream was asked to say, and by what. None means: not given yet, may be given when it is driven."""

    prompt: str | None = None
    system: str | None = None
    model: str | None = None
    command: tuple[str, ...] | None = None
    generator: str | None = None
    flush: Flush | None = None
    options: Mapping[str, Any] | None = None
    """Further fields of the request to a model: temperature, seed and the like. None as a value: not sent at all.

    Of a command there is one alone, `TTY`.
    """

    @property
    def tty(self) -> bool:
        """Whether it is a command that has a pseudo-terminal."""
        return bool(self.command and self.options and self.options.get(TTY) is True)


MODEL_OPTIONS = (
    "temperature",
    "max_tokens",
    "max_completion_tokens",
    "top_p",
    "seed",
    "stop",
    "reasoning_effort",
    "verbosity",
    "presence_penalty",
    "frequency_penalty",
)
"""What most models take, as OpenAI's chat completions call it: how a model answers, and so the next turn, too."""

NOT_OPTIONS = frozenset(("model", "messages", "stream", "stream_options"))
"""Fields of a request to a model that have other places than its options."""


def merged(had: GenerationRequest, given: GenerationRequest) -> GenerationRequest:
    """What a stream has been asked; what that leaves open is taken from `given`."""
    return had._replace(**{word: value for word, value in given._asdict().items() if getattr(had, word) is None})


def inherited(had: GenerationRequest, given: GenerationRequest) -> GenerationRequest:
    """What a stream is asked that comes after one which was asked `had`. What is not given is that one's.

    But what a command said is asked about, and not said again: that takes a model. Of the options each that is given
    takes the place of the one that was.
    """
    if given.command or given.generator or given.model or (given.prompt is not None and had.command):
        if given.command or had.command:  # a command's option is none of a model's
            had = had._replace(options=None)
        had = had._replace(command=None, generator=None, model=None)
    if given.options is not None:
        given = given._replace(options={**(had.options or {}), **given.options})
    return had._replace(**{word: value for word, value in given._asdict().items() if value is not None})


class Attempt(NamedTuple):
    """One claim of a stream by an owner. `begin` is the offset where its text starts; times are Unix seconds."""

    epoch: int
    owner: str
    begin: int
    started_at: float
    ended_at: float | None
    pieces: int
    cause: str | None
    usage: dict[str, Any] | None
    model: str | None
    place: str | None

    @property
    def exit_code(self) -> int | None:
        """The exit code of a command that ended by itself; it lies in `usage`, as all that is known after the run."""
        code = (self.usage or {}).get("exit_code")
        return code if isinstance(code, int) else None

    @property
    def signal(self) -> str | None:
        """The signal that killed a command, as SIGKILL; but none of ours."""
        name = (self.usage or {}).get("signal")
        return name if isinstance(name, str) else None

    @property
    def counts(self) -> dict[str, Any] | None:
        """Of `usage`, what a model counted."""
        return {name: count for name, count in (self.usage or {}).items() if name not in EXIT} or None


EXIT = ("exit_code", "signal")
"""What `usage` says of a command's exit: one of these."""


class Stream(Record):
    """One text, append-only, and what it was asked to say.

    `bytes` is the end of its last chunk; times are Unix seconds. `seam` is where its own text begins, in bytes: before
    that stands its parent's. None: not decided until it is driven. `note` is what there is to know of a text that has
    ended well: that it was cut off at its length.
    """

    __slots__ = ()

    id: str
    name: str | None
    title: str | None
    status: Status
    bytes: int
    prompt: str | None
    system: str | None
    model: str | None
    command: tuple[str, ...] | None
    generator: str | None
    flush: Flush | None
    options: Mapping[str, Any] | None
    error: str | None
    created_at: float
    ended_at: float | None
    parent: str | None
    parent_offset: int | None
    seam: int | None
    note: str | None

    def __init__(
        self,
        id: str,
        name: str | None,
        title: str | None,
        status: Status,
        bytes: int,
        request: GenerationRequest,
        error: str | None,
        created_at: float,
        ended_at: float | None,
        parent: str | None,
        parent_offset: int | None,
        seam: int | None = 0,
        note: str | None = None,
    ) -> None:
        super().__init__(
            id=id,
            name=name,
            title=title,
            status=status,
            bytes=bytes,
            **request._asdict(),
            error=error,
            created_at=created_at,
            ended_at=ended_at,
            parent=parent,
            parent_offset=parent_offset,
            seam=seam,
            note=note,
        )

    @property
    def request(self) -> GenerationRequest:
        """What it was asked to say, and by what."""
        return GenerationRequest(*(self[field] for field in GenerationRequest._fields))


class Parent(NamedTuple):
    """What a new stream comes after: another one's text up to `offset`, which it is to continue, or to answer."""

    id: str
    offset: int
    continued: bool


class Claim(NamedTuple):
    """The right to write a stream: valid while the store's epoch is this one. `begin` is an offset in bytes."""

    id: str
    epoch: int
    begin: int


class Kept(NamedTuple):
    """A chunk without its text: the bytes from `start` to `stop` were made durable `at` this moment (Unix seconds)."""

    start: int
    stop: int
    at: float


class History(NamedTuple):
    """How a stream came about: its attempts, first one first, how many pieces they were given, and its chunks."""

    attempts: list[Attempt]
    pieces: int
    chunks: int


class State(NamedTuple):
    """Where a stream stands at one moment. Its chunks end at byte `bytes`, its text, the tail's included, at `size`."""

    status: Status
    bytes: int
    size: int
    error: str | None
    note: str | None


def owner_died(end: int) -> str:
    """The cause of the end that a stream is given whose owner is no more, and whose text ends at byte `end`."""
    return f"its owner died at byte {end}"


def whole(data: bytes) -> int:
    """How many bytes of `data` are left without a UTF-8 character that is cut off at its end."""
    for back in range(1, min(4, len(data)) + 1):
        byte = data[-back]
        if byte < 0x80:
            break
        if byte >= 0xC0:  # a character's first byte: is the rest of it there?
            size = 2 if byte < 0xE0 else 3 if byte < 0xF0 else 4
            return len(data) - back if size > back else len(data)
    return len(data)
