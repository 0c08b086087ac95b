"""The request for an answer, in a form that the endpoint understands: what it refuses to understand is left out.

Two fields are sent that nobody asked for, `stream` and `stream_options`. An endpoint that refuses one of them is asked
without it, and that is remembered for as long as `UnsupportedFields` lives.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

import httpx

from ptstream import strict_json
from ptstream.errors import EndpointError, Refused
from ptstream.generators.openai.chat_messages import Message
from ptstream.generators.openai.chat_options import ChatOptions
from ptstream.generators.openai.upstream import COMPLETIONS, Upstream

STREAM, STREAM_OPTIONS = "stream", "stream_options"

OUR_OWN = {STREAM_OPTIONS: re.compile(r"stream_options|include_usage"), STREAM: re.compile(r"\bstream", re.IGNORECASE)}
"""The fields of a request that nobody asked for, and by what a refusal names them."""

UNFIT = (400, 403, 404, 405, 406, 409, 415, 422, 501)
"""The statuses of a refusal that may be for a field of the request, also for one that it does not name in full."""

NOT_FOR_A_FIELD = (0, 401, 407, 429)
"""Those of refusals that never are."""

UNKNOWN_FIELD = re.compile(
    r"(unknown|unrecogni[sz]ed|unexpected|unsupported|additional|extra)\W+(\w+\W+){0,3}?"
    r"(field|parameter|argument|propert|key|option|input)|extra_forbidden|additionalProperties",
    re.IGNORECASE,
)
"""What a refusal says for a field that it does not name."""

PARAMETER = re.compile(r'"param": *"')
"""Where a refusal names the one that it is for."""


class UnsupportedFields:
    """What endpoints were found not to understand, for as long as it is remembered: fields that are left out."""

    def __init__(self) -> None:
        self._refused: set[tuple[str, str, str]] = set()

    def refuse(self, upstream: Upstream, model: str, name: str) -> None:
        """Leave the field out from now on."""
        self._refused.add(self._key(upstream, model, name))

    def refused(self, upstream: Upstream, model: str, name: str) -> bool:
        """Whether the field is left out."""
        return self._key(upstream, model, name) in self._refused

    def _key(self, upstream: Upstream, model: str, name: str) -> tuple[str, str, str]:
        # Options are a server's to know; which of its models may be streamed differs.
        return upstream.base_url, model if name == STREAM else "", name


def post(client: httpx.AsyncClient, upstream: Upstream, content: bytes) -> httpx.Request:
    """The request that asks for an answer; `content` is its body, a JSON object."""
    return client.build_request(
        "POST", upstream.url(COMPLETIONS), content=content, headers={"Content-Type": "application/json"}
    )


class ChatRequest:
    """One conversation to be answered, and what the endpoint has been found not to understand of the request."""

    def __init__(
        self,
        upstream: Upstream,
        model: str,
        messages: Sequence[Message],
        body: Mapping[str, Any],
        options: ChatOptions,
        unsupported: UnsupportedFields,
    ) -> None:
        self._upstream = upstream
        self._model = model
        self._body = {"model": model, "messages": messages, **body}
        self._options = options
        self._unsupported = unsupported
        self._left_out: set[str] = set()

    def build(self, client: httpx.AsyncClient) -> tuple[httpx.Request, bool]:
        """The request in the form that is understood, and whether it asks for a stream."""
        own: dict[str, Any] = {STREAM: True} if self._sends(STREAM) else {}
        if self._sends(STREAM_OPTIONS):
            own[STREAM_OPTIONS] = {"include_usage": True}
        # What is not ASCII is escaped, so that half an emoji in a prompt does not fail to encode.
        content = strict_json.dumps({**self._body, **own}).encode("ascii")
        return post(client, self._upstream, content), STREAM in own

    def was_understood(self) -> None:
        """It is answered: what was left out for that is remembered."""
        for name in self._left_out:
            self._unsupported.refuse(self._upstream, self._model, name)

    def leave_out(self, error: Refused | EndpointError) -> bool:
        """Whether the error is for a field of our own, which is left out from now on."""
        if isinstance(error, EndpointError):  # in an answer of status 200, which says nothing of what is wrong
            error = Refused(str(error), status=UNFIT[0], body=str(error))
        name = self._not_understood(error)
        self._left_out |= {name} if name else set()
        return name is not None

    def _sends(self, name: str) -> bool:
        if name == STREAM_OPTIONS and not (self._options.stream_options and self._sends(STREAM)):
            return False
        left_out = name in self._left_out or self._unsupported.refused(self._upstream, self._model, name)
        return self._options.stream and not left_out

    def _not_understood(self, refusal: Refused) -> str | None:
        """The field of our own for which it refuses, if it is one."""
        if refusal.status in NOT_FOR_A_FIELD:
            return None
        sent = list(filter(self._sends, OUR_OWN))
        named = next((name for name in sent if OUR_OWN[name].search(refusal.body)), None)
        if refusal.status not in UNFIT:
            return named if named == STREAM_OPTIONS else None
        another = PARAMETER.search(refusal.body)  # it is for that one, then
        unnamed = STREAM_OPTIONS in sent and not another and UNKNOWN_FIELD.search(refusal.body)
        return named or (STREAM_OPTIONS if unnamed else None)
