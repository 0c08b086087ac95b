"""A request's body: bounded before it is parsed, strict JSON, and of the form that its route says."""

from __future__ import annotations

from typing import Any, TypeVar

import anyio.to_thread
import msgspec
from starlette.requests import Request

from ptstream import strict_json, wire
from ptstream.errors import CodedBody, TooLarge, UsageError

LARGE = 256 * 1024
"""Bytes of a request from which on it is read in a thread of its own, so that others have their turn meanwhile."""

SHOWN = 200
"""Characters that a refusal says of what does not fit."""

T = TypeVar("T")


async def body_as(request: Request, form: type[T]) -> T:
    """The request's JSON as a value of that form (a `msgspec.Struct`). Raises UsageError, CodedBody, TooLarge."""
    return converted(await json_body(request), form)


def converted(value: Any, form: type[T]) -> T:
    """A JSON value as one of that form. Raises UsageError."""
    try:
        return msgspec.convert(value, form)
    except (msgspec.ValidationError, UnicodeEncodeError) as error:  # the latter of a lone surrogate
        raise UsageError(f"the request does not fit: {str(error)[:SHOWN]}") from error


async def json_body(request: Request) -> Any:
    """The request's JSON; an empty body is an empty object. Raises UsageError, CodedBody, TooLarge."""
    if coding := wire.coding_of(request.headers.getlist("content-encoding")):
        raise CodedBody(f"a request is taken as it is, and not compressed ({coding[:40]}): send it without")
    try:
        data = await _whole(request)
        if len(data) > LARGE:
            return await anyio.to_thread.run_sync(strict_json.loads, data)
        return strict_json.loads(data) if data else {}
    except strict_json.TooComplex as error:
        raise UsageError(f"the request holds {error}") from error
    except ValueError as error:
        # Not its `repr`, which may hold all of the body, and keys with it.
        raise UsageError(f"the request is no JSON: {type(error).__name__}: {error}") from error


async def _whole(request: Request) -> bytes:
    """All of the body. Raises TooLarge as soon as it is that, ClientDisconnect."""
    data = bytearray()
    async for run in request.stream():
        data += run
        if len(data) > wire.MAX_BODY:
            raise TooLarge(f"a request may have {wire.MAX_BODY} bytes")
    return bytes(data)
