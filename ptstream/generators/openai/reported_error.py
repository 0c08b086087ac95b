"""An error that stands where an answer should be, in whichever of the shapes that endpoints give it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from ptstream import strict_json
from ptstream.errors import EndpointError
from ptstream.generators.openai.choice import table
from ptstream.generators.openai.error_text import message_in, shorten

FAILURES = ("error", "errors", "error_message", "error_msg", "errorMessage")
"""What only an object has that reports a fault."""

COMPLAINTS = ("message", "detail", "msg")
"""Where it may say what it is about, if it has no part of an answer."""

FINE = (0, 200, "0", "200")
"""Codes of an object that complains of nothing."""


def check(item: Mapping[str, Any], choice: Mapping[str, Any], host: str, redact: Callable[[str], str]) -> None:
    """Raises EndpointError, in the server's own words, for an object that reports an error, wherever it does."""
    if (error := _error_in(item, choice)) is not None:
        raise EndpointError(f"{host} reported an error: {message_in(strict_json.dumps(error), redact)}")
    if reason := table(item.get("promptFeedback")).get("blockReason"):  # Google's
        raise EndpointError(f"{host} withheld the answer (content filter: {shorten(redact(str(reason)))})")


def _error_in(item: Mapping[str, Any], choice: Mapping[str, Any]) -> Any:
    for place in (item, choice, choice.get("delta"), choice.get("message")):
        if isinstance(place, dict) and any(map(place.get, FAILURES)):
            return {name: place[name] for name in (*FAILURES, *COMPLAINTS) if place.get(name)}
    if "error" in (item.get("object"), item.get("type")) or (not choice and _complains(item)):
        return item
    base = table(item.get("base_resp"))  # MiniMax's
    return base if base.get("status_code") else None


def _complains(item: Mapping[str, Any]) -> bool:
    """Whether an object that has no part of an answer says something else."""
    if item.get("choices") or item.get("usage") or item.get("code") in FINE:
        return False
    return any(
        value and isinstance(value, str | list | dict) for name, value in item.items() if name.lower() in COMPLAINTS
    )
