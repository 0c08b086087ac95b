"""The forms of request bodies: every request is held to them, and the OpenAPI document describes them."""

from __future__ import annotations

from typing import Annotated, Any

from msgspec import UNSET, Meta, Struct, UnsetType, structs

from ptstream.names import LONGEST
from ptstream.streams import NOT_OPTIONS, Flush, GenerationRequest

MAX_OFFSET = 10**15
MAX_TTL = 10**10

_WORD = r"[^\s@/\x00-\x1f\x7f-\x9f-][^\s@/\x00-\x1f\x7f-\x9f]{0,199}"
REFERENCE_PATTERN = rf"^(@last|{_WORD})$"

Reference = Annotated[str, Meta(min_length=1, max_length=200, pattern=REFERENCE_PATTERN)]
Name = Annotated[
    str,
    Meta(
        min_length=1,
        max_length=LONGEST,
        description="letters and digits of any script, the marks that belong to them, and ._:+- (but no - in front)",
        extra_json_schema={"format": "stream-name"},
    ),
]
"""What `as_name` takes, which judges it where the stream is made: a pattern knows too little of letters."""

Text = Annotated[str, Meta(min_length=1)]
WholeNumber = Annotated[float, Meta(ge=0, le=MAX_OFFSET, multiple_of=1)]
"""5.0 is an integer as well (JSON Schema, 6.1.1)."""
Seconds = Annotated[float, Meta(ge=0, le=MAX_TTL, description="seconds after its end")]
Option = Annotated[str, Meta(min_length=1, pattern=rf"^(?!(?:{'|'.join(sorted(NOT_OPTIONS))})$)")]
Options = Annotated[
    dict[Option, Any],
    Meta(description="further fields of the request to the model: temperature, seed and the like; null: not sent"),
]
Command = Annotated[tuple[str, ...], Meta(min_length=1)]


class CreateStream(Struct, forbid_unknown_fields=True, kw_only=True):
    """A new stream. With `parent` it comes after that one: with a prompt as its next turn, else as its continuation."""

    prompt: str | None = None
    system: str | None = None
    model: Text | None = None
    name: Name | None = None
    title: str | None = None
    flush: Flush | None = None
    options: Options | None = None
    ttl: Seconds | None = None
    parent: Reference | UnsetType = UNSET
    parent_offset: WholeNumber | UnsetType = UNSET


class CreateAnyStream(CreateStream, forbid_unknown_fields=True, kw_only=True):
    """The same on the socket, whose owner may run anything anyway."""

    command: Command | None = None
    generator: str | None = None


class FillStream(Struct, forbid_unknown_fields=True, kw_only=True):
    """What a pending stream was made without, or what is to be driven."""

    prompt: str | None = None
    system: str | None = None
    model: Text | None = None
    flush: Flush | None = None
    options: Options | None = None


class FillAnyStream(FillStream, forbid_unknown_fields=True, kw_only=True):
    """The same on the socket, whose owner may run anything anyway."""

    command: Command | None = None
    generator: str | None = None


class CheckRequest(Struct, kw_only=True):
    """What could be driven, and as whom: a connection from elsewhere, if `caller` names one."""

    prompt: str | None = None
    system: str | None = None
    model: Text | None = None
    flush: Flush | None = None
    options: Options | None = None
    command: Command | None = None
    generator: str | None = None
    caller: str | None = None


def request_of(body: CreateStream | FillStream | CheckRequest) -> GenerationRequest:
    """What a stream is asked."""
    return GenerationRequest(
        **{name: value for name, value in structs.asdict(body).items() if name in GenerationRequest._fields}
    )


class DriveStream(Struct, forbid_unknown_fields=True):
    """How a stream is driven over the network."""

    on_drop: bool = False


Cells = Annotated[int, Meta(ge=1, le=65535)]


class DriveHere(Struct):
    """How one is driven on the socket, and as whom: a connection from elsewhere, if `caller` names one.

    `terminal` is the size of the one that a command gets, columns and rows, if it is to have one.
    """

    stderr: bool = False
    terminal: tuple[Cells, Cells] | None = None
    on_drop: bool = False
    caller: str | None = None


class Terminal(Struct, forbid_unknown_fields=True):
    """The size that the terminal of a command is to have."""

    columns: Cells
    rows: Cells


class CallerContext(Struct):
    """From where a drive is asked for: only what an operating system would have given to the client."""

    directory: str
    environment: dict[str, str]
    umask: Annotated[int, Meta(ge=0, le=0o777)]
    python: str | None
    core: Annotated[int, Meta(ge=-1, le=2**63 - 1)] | None = None

    def __post_init__(self) -> None:
        """Raises ValueError."""
        if any("=" in name for name in self.environment):
            raise ValueError("the environment is no environment")
        for word in (self.directory, self.python or "", *self.environment, *self.environment.values()):
            if b"\0" in word.encode("utf-8", "surrogateescape"):
                raise ValueError("a NUL inside a string")


class CancelStream(Struct, forbid_unknown_fields=True):
    """How a stream is cancelled: with `drain`, its model goes on to its own end, so that its usage becomes known."""

    drain: bool = False


class Completion(Struct):
    """OpenAI's request for an answer. All of it is the provider's to judge, but who that is."""

    model: str | None = None
