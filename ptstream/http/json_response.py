"""Answers in JSON, and what stands in the way as one."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response

from ptstream import wire
from ptstream.errors import PtstreamError, UsageError

MEDIA_TYPE = "application/json"

UNSTORED = {
    "cache-control": "no-store, no-transform",  # whoever compresses on the way would hold pieces back, too
    "x-accel-buffering": "no",  # nginx would hold pieces back
    "x-content-type-options": "nosniff",  # the text is nobody's page
}
"""Headers of an answer that is to go to whoever asks, as it is and as it comes."""


def json_response(value: Any, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    """A value as JSON."""
    return Response(wire.dumps(value), status, headers, media_type=MEDIA_TYPE)


def error_response(error: PtstreamError) -> Response:
    """What stands in the way."""
    return Response(wire.error_body(error), error.http_status, media_type=MEDIA_TYPE)


async def _refuse(_: Request, error: Exception) -> Response:
    if isinstance(error, HTTPException):  # Starlette's own: no such route, or not by this method
        body = wire.error_body(PtstreamError(error.detail))
        return Response(body, error.status_code, error.headers, media_type=MEDIA_TYPE)
    if isinstance(error, ClientDisconnect):  # nobody hears it, and it is no fault of ours
        error = UsageError("the request broke off")
    assert isinstance(error, PtstreamError)
    return error_response(error)


EXCEPTION_HANDLERS: dict[Any, Any] = dict.fromkeys((PtstreamError, HTTPException, ClientDisconnect), _refuse)
"""Those of an application of ours: every error is sent in the same form."""
