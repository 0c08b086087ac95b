"""What providers, gateways and local servers do when they answer: one row a habit, as the bytes that they send.

Each is what somebody has met; how ptstream takes it stands beside it. Played by `endpoint`, run by `test_habits`.
"""

from __future__ import annotations

import json
from typing import Any, NamedTuple

PIECES = ["It was ", "a dark night. ", "The rain fell, ", "and nobody said why. ", "Then it stopped."]
TEXT = "".join(PIECES)
BEGIN = "".join(PIECES[:3])

EVENTS = "text/event-stream; charset=utf-8"
JSON = "application/json"

DONE = b"data: [DONE]\n\n"


class Habit(NamedTuple):
    """A body as it is sent, and what is to come of it: the text, the status, and words of the note or the cause."""

    name: str
    body: bytes
    text: str = TEXT
    status: str = "done"
    said: str | None = None
    """In the note of a good end, in the cause of a bad one; None: there is neither."""
    kind: str | None = EVENTS

    @property
    def answer(self) -> bytes:
        """The whole answer."""
        kind = f"content-type: {self.kind}\r\n" if self.kind else ""
        return f"HTTP/1.1 200 OK\r\n{kind}connection: close\r\n\r\n".encode() + self.body


def event(**fields: Any) -> bytes:
    return b"data: " + json.dumps(fields, ensure_ascii=False).encode() + b"\n\n"


def choice(delta: dict[str, Any] | None = None, finish: Any = None, **more: Any) -> dict[str, Any]:
    return {"index": 0, "delta": {} if delta is None else delta, "finish_reason": finish, **more}


def chunk(delta: dict[str, Any] | None = None, finish: Any = None, **more: Any) -> bytes:
    """One event with a choice, `more` in that."""
    return event(id="c-1", object="chat.completion.chunk", choices=[choice(delta, finish, **more)])


def said(pieces: list[str] = PIECES, finish: Any = None) -> bytes:
    return b"".join(chunk({"content": piece}, finish) for piece in pieces)


def thought(pieces: list[str] = PIECES, name: str = "reasoning_content") -> bytes:
    return b"".join(chunk({name: piece}) for piece in pieces)


def end(reason: Any = "stop") -> bytes:
    return chunk({}, reason) + DONE


ROLE = chunk({"role": "assistant", "content": ""})
PLAIN = ROLE + said() + end()
OBJECTS = [json.loads(line.removeprefix(b"data: ")) for line in PLAIN.split(b"\n\n") if line.startswith(b"data: {")]


def whole(content: Any = TEXT, finish: Any = "stop", **more: Any) -> dict[str, Any]:
    """An answer in one body."""
    message = {"role": "assistant", "content": content, **more}
    return {
        "id": "c-1",
        "object": "chat.completion",
        "choices": [{"index": 0, "message": message, "finish_reason": finish}],
    }


def dumped(value: Any, **more: Any) -> bytes:
    return json.dumps(value, **more).encode()


CALL = {"index": 0, "id": "t", "type": "function", "function": {"name": "web_search", "arguments": "{}"}}
CONTEXT = {
    "code": 400,
    "message": "request (19185 tokens) exceeds the available context size",
    "type": "exceed_context",
}

GOOD = ("stop", "STOP", "end_turn", "stop_sequence", "COMPLETE", "eos", "eos_token", "FINISH_REASON_STOP", "tool_calls")
LONG = ("length", "MAX_TOKENS", "max_output_tokens", "model_length", "model_context_window_exceeded", "MaxTokens")
FILTERED = ("content_filter", "SAFETY", "RECITATION", "PROHIBITED_CONTENT", "guardrail_intervened", "contentFilter")
BROKEN = ("abort", "error", "ERROR", "insufficient_system_resource", "network_error", "cancelled", "TIME_LIMIT")

ENDS = [
    *(Habit(f"ends: {word}", said() + end(word)) for word in GOOD),
    *(Habit(f"ends: {word}", said(PIECES[:3]) + end(word), BEGIN, said="cut off") for word in LONG),
    *(Habit(f"ends: {word}", said(PIECES[:3]) + end(word), BEGIN, "error", "content filter") for word in FILTERED),
    *(Habit(f"ends: {word}", said(PIECES[:3]) + end(word), BEGIN, "error", "gave up in the middle") for word in BROKEN),
    Habit("ends: nobody knows how", said() + end("banana"), said="'banana'"),
    Habit("the reason null, as a word", b"".join(chunk({"content": p}, "null") for p in PIECES) + end()),
    Habit("stop in every chunk", said(finish="stop") + DONE),
    Habit("stop in every chunk, and no [DONE]", said(finish="stop")),
    Habit("stop in the first chunk", chunk({"role": "assistant", "content": ""}, "stop") + said() + end()),
    Habit("stop in the reasoning", chunk({"reasoning_content": "Rain."}, "stop") + said() + end()),
    Habit("stop in every chunk, length in the last", said(PIECES[:3], "stop") + end("length"), BEGIN, said="cut off"),
    Habit("stop, then a filter", said(PIECES[:3], "stop") + end("content_filter"), BEGIN, "error", "content filter"),
    Habit("text after all was said", said(PIECES[:4]) + end() + said(PIECES[4:]) + end()),
    Habit("[DONE] without a reason", said() + DONE, said="without a finish reason"),
    Habit("neither a reason nor [DONE]", said(PIECES[:3]), BEGIN, "error", "closed the connection before"),
    Habit(
        "cut in an event", said(PIECES[:3]) + b'data: {"choices": [{"delta": {"cont', BEGIN, "error", "broke off before"
    ),
    Habit("what it cost, after all was said", PLAIN + b"event: cost\ndata: 0.0012\n\n"),
    Habit("the end said twice, in other words", PLAIN + b"data: DONE\n\n"),
    Habit("words after the reason", said() + chunk({}, "stop") + b"data: bye\n\n"),
    Habit("a state in words", said(PIECES[:3]) + b'event: status\ndata: "running"\n\n' + said(PIECES[3:]) + end()),
    Habit("no reason known, then a good one", said(finish="FINISH_REASON_UNSPECIFIED") + end()),
    Habit("usage after the end", said() + chunk({}, "stop") + event(choices=[], usage={"total_tokens": 3}) + DONE),
    Habit("usage in the choice", said() + chunk({}, "stop", usage={"total_tokens": 3}) + DONE),
]

NO_TEXT = [
    Habit("only reasoning", thought() + end(), "", said="its reasoning alone"),
    Habit("only reasoning, cut off", thought() + end("length"), "", said="cut off"),
    Habit("only white space", said(["\n\n"]) + end(), "\n\n", said="said nothing"),
    Habit("nothing", ROLE + end(), "", said="said nothing"),
    Habit("only a call", chunk({"tool_calls": [CALL]}) + end("tool_calls"), "", said="called a tool (web_search)"),
    Habit(
        "only a call, as it was", chunk({"function_call": CALL["function"]}) + end("function_call"), "", said="a tool"
    ),
    Habit(
        "text and a call", said() + chunk({"tool_calls": [CALL]}) + end("tool_calls"), said="called a tool (web_search)"
    ),
    Habit("a refusal", chunk({"refusal": "I can"}) + chunk({"refusal": "not."}) + end(), "", said="refused: I cannot."),
    Habit("a refusal in one body", dumped(whole(None, refusal="I cannot.")), "", said="refused: I cannot.", kind=JSON),
    Habit("no choice at all", event(choices=[]) + DONE, "", said="said nothing"),
]


def so_far(delta: bool) -> bytes:
    """Each chunk with the whole message so far, with its delta or without."""
    text, body = "", b""
    for piece in PIECES:
        text += piece
        message = {"role": "assistant", "content": text}
        more = {"message": message} if delta else {"message": message, "delta": None}
        body += event(choices=[choice({"content": piece}, None) | more])
    return body + event(choices=[choice({}, "stop") | {"message": {"role": "assistant", "content": text}}]) + DONE


def trimmed() -> bytes:
    """The whole message without a delta, white space cut off."""
    return event(choices=[{"index": 0, "finish_reason": "stop", "message": {"content": TEXT}}]) + DONE


SHAPES = [
    Habit("plain", PLAIN),
    Habit("the whole message beside each delta", so_far(delta=True)),
    Habit("the whole message without a delta", so_far(delta=False)),
    Habit("the whole message at the end", said() + chunk({}, "stop", message={"content": TEXT}) + DONE),
    Habit("the whole message at the end, trimmed", said([*PIECES, " "]) + chunk(None, "stop") + trimmed(), f"{TEXT} "),
    Habit("usage that is none", event(choices=[choice({"content": TEXT})], usage=[1]) + end()),
    Habit("reasoning that is none", event(choices=[choice({"content": TEXT, "reasoning": True})]) + end()),
    Habit("text beside its delta", event(choices=[{"delta": {"role": "assistant"}, "text": TEXT}]) + end()),
    Habit("the whole message at the end alone", ROLE + chunk({}, "stop", message={"content": TEXT}) + DONE),
    Habit(
        "messages instead of deltas",
        b"".join(event(choices=[{"message": {"content": piece}}]) for piece in PIECES) + end(),
    ),
    Habit("a list of parts", chunk({"content": [{"type": "text", "text": PIECES[0]}]}) + said(PIECES[1:]) + end()),
    Habit("parts that are strings", chunk({"content": PIECES}) + end()),
    Habit("a part alone", chunk({"content": {"type": "text", "text": TEXT}}) + end()),
    Habit(
        "parts that think",
        chunk({"content": [{"type": "thinking", "thinking": [{"type": "text", "text": "Rain."}]}]}) + said() + end(),
    ),
    Habit("a part that is a picture", chunk({"content": [{"type": "image_url"}]}) + said() + end(), said="image_url"),
    Habit("reasoning as a list", chunk({"reasoning": [{"type": "text", "text": "Rain."}]}) + said() + end()),
    Habit(
        "reasoning told twice",
        chunk({"reasoning": "Rain.", "reasoning_details": [{"type": "reasoning.text", "text": "Rain."}]})
        + said()
        + end(),
    ),
    Habit("think stays text", said(["<think>Rain.</think>", *PIECES]) + end(), f"<think>Rain.</think>{TEXT}"),
    Habit("the index as a word", event(choices=[{**choice({"content": TEXT}), "index": "0"}]) + end()),
    Habit("another choice first", event(choices=[{**choice({"content": "No. "}), "index": 1}]) + said() + end()),
    Habit("text where completions had it", event(choices=[{"text": TEXT, "index": 0}]) + end()),
    Habit("a filter's verdicts first", event(choices=[], prompt_filter_results=[{"prompt_index": 0}]) + said() + end()),
]

NEWLINE = b"\n\n"

BODIES = [
    Habit("events called plain text", PLAIN, kind="text/plain"),
    Habit("events called nothing", PLAIN, kind=None),
    Habit("events called JSON", PLAIN, kind=JSON),
    Habit("events called bytes", PLAIN, kind="application/octet-stream"),
    Habit("events called a web page", PLAIN, kind="text/html"),
    Habit("one body called events", dumped(whole())),
    Habit("one body", dumped(whole()), kind=JSON),
    Habit("one body, laid out", dumped(whole(), indent=2), kind=JSON),
    Habit("one body, no reason", dumped(whole(finish=None)), kind=JSON, said="without a finish reason"),
    Habit("one body, in parts", dumped(whole([{"type": "text", "text": TEXT}])), kind=JSON),
    Habit("one body, cut", dumped(whole())[:-20], "", "error", "broke off before", kind=JSON),
    Habit("an array", dumped(OBJECTS), kind=JSON),
    Habit("NDJSON", b"\n".join(map(dumped, OBJECTS)) + b"\n", kind="application/x-ndjson"),
    Habit("NDJSON called JSON, no last line feed", b"\n".join(map(dumped, OBJECTS)), kind=JSON),
    Habit(
        "Ollama's own lines",
        b"".join(
            dumped({"message": {"role": "assistant", "content": piece}, "done": False}) + b"\n" for piece in PIECES
        )
        + dumped({"message": {"role": "assistant", "content": ""}, "done": True, "done_reason": "stop"}),
        kind="application/x-ndjson",
    ),
    Habit(
        "an array that breaks off", b"[" + b",\n".join(map(dumped, OBJECTS[:4])) + b",\n{", BEGIN, "error", "broke off"
    ),
    Habit("objects one behind the other", b"".join(map(dumped, OBJECTS)), kind=JSON),
    Habit("no blank lines", PLAIN.replace(NEWLINE, b"\n")),
    Habit("no last blank line", PLAIN.removesuffix(DONE).rstrip()),
    Habit("one last line feed", PLAIN.removesuffix(DONE).rstrip() + b"\n"),
    Habit("lines parted by CR LF", PLAIN.replace(b"\n", b"\r\n")),
    Habit("lines parted by CR", PLAIN.replace(b"\n", b"\r")),
    Habit("a byte order mark", b"\xef\xbb\xbf" + PLAIN),
    Habit("a byte order mark in each event", PLAIN.replace(b"data:", b"\xef\xbb\xbfdata:")),
    Habit("two byte order marks", b"\xef\xbb\xbf" * 2 + PLAIN),
    Habit("white space first", b" \t" + PLAIN),
    Habit("zeros first", b"\0\0" + PLAIN),
    Habit("a space before the colon", PLAIN.replace(b"data:", b"data :")),
    Habit("fields without a colon", b"event\nid\n" + PLAIN.replace(NEWLINE, b"\n\ndata\n\n")),
    Habit("a tab in a string", b'data: {"choices": [{"delta": {"content": "a\tb"}}]}\n\n' + end(), "a\tb"),
    Habit("no space after the colon", PLAIN.replace(b"data: ", b"data:")),
    Habit("comments", b": PROCESSING\n\n" + PLAIN.replace(NEWLINE, b"\n\n: ping\n\n")),
    Habit("names and ids", b"retry: 10\n" + PLAIN.replace(b"data: ", b"id: 1\nevent: message\ndata: ")),
    Habit("pings", b"event: ping\ndata: ping\n\n" + said() + b'event: ping\ndata: {"type": "ping"}\n\n' + end()),
    Habit("unknown fields", b"x-what: is this\n" + PLAIN.replace(NEWLINE, b"\n\nx-what: is this\n")),
    Habit(
        "data over lines",
        b"".join(b"data: " + dumped(o, indent=1).replace(b"\n", b"\ndata: ") + b"\n\n" for o in OBJECTS),
    ),
    Habit(
        "separators that are none",
        chunk({"content": "a\u2028b\u2029c\u0085d\u001ce\u000bf"}) + end(),
        "a\u2028b\u2029c\u0085d\u001ce\u000bf",
    ),
    Habit(
        "an emoji in two halves",
        b'data: {"choices": [{"delta": {"content": "a\\ud83d"}}]}\n\n'
        b'data: {"choices": [{"delta": {"content": "\\ude00"}}]}\n\n' + end(),
        "a\U0001f600",
    ),
    Habit("[DONE] in quotes", said() + chunk({}, "stop") + b'data: "[DONE]"\n\n'),
]

FAULTS = [
    Habit("an error without a frame", dumped({"error": CONTEXT}), "", "error", "available context size"),
    Habit(
        "an error without a frame, laid out",
        dumped({"error": CONTEXT}, indent=2),
        "",
        "error",
        "available context size",
    ),
    Habit("an error as a field", b"error: " + dumped(CONTEXT) + b"\n\n" + DONE, "", "error", "available context size"),
    Habit("an error as an object", event(object="error", **CONTEXT) + DONE, "", "error", "available context size"),
    Habit("an error as an event", b"event: error\n" + event(**CONTEXT), "", "error", "available context size"),
    Habit("an error in words", b"event: error\ndata: out of memory\n\n", "", "error", "out of memory"),
    Habit("an error that is a word", event(error="out of memory"), "", "error", "out of memory"),
    Habit("an error in an array", dumped([{"error": CONTEXT}]), "", "error", "available context size", kind=JSON),
    Habit("an error in the choice", chunk(error={"message": "out of memory"}), "", "error", "out of memory"),
    Habit("an error beside a flag", event(error=True, message="out of memory"), "", "error", "out of memory"),
    Habit("only a message", event(message="out of memory"), "", "error", "out of memory"),
    Habit("only a detail", dumped({"detail": [{"loc": ["x"], "msg": "out of memory"}]}), "", "error", "out of memory"),
    Habit("a code and a message", event(code="InvalidApiKey", message="out of memory"), "", "error", "out of memory"),
    Habit("a status of its own", event(base_resp={"status_code": 1004, "status_msg": "log in"}), "", "error", "log in"),
    Habit("a complaint in capitals", dumped({"Message": "not authorized"}), "", "error", "not authorized", kind=JSON),
    Habit("a complaint of its own", dumped({"status": "fail", "reason": "used up"}), "", "error", "used up", kind=JSON),
    Habit("something else", dumped({"object": "list"}), "", "error", "not part of an answer", kind=JSON),
    Habit("a filter of Google's", event(choices=[], promptFeedback={"blockReason": "SAFETY"}), "", "error", ": SAFETY"),
    Habit(
        "text beside an error",
        dumped({"choices": [{"error": {"message": "out of memory"}, "message": {"content": BEGIN}}]}),
        BEGIN,
        "error",
        "out of memory",
        kind=JSON,
    ),
    Habit("words after text", said(PIECES[:3]) + b"upstream connect error\n", BEGIN, "error", "upstream connect error"),
    Habit("a page after text", said(PIECES[:3]) + b"<html><title>502</title></html>", BEGIN, "error", ": 502"),
    Habit("a page after a comment", b": ping\n\n<html><title>Bad gateway</title></html>", "", "error", "(Bad gateway)"),
    Habit(
        "another's error behind it",
        event(error={"message": "Provider returned error", "metadata": {"raw": '{"error": "out of memory"}'}}),
        "",
        "error",
        "out of memory",
    ),
    Habit("an error after text", said(PIECES[:3]) + event(error=CONTEXT), BEGIN, "error", "available context size"),
    Habit("an error after text, no frame", said(PIECES[:3]) + dumped({"error": CONTEXT}), BEGIN, "error", "size"),
    Habit(
        "an error in NDJSON",
        dumped(OBJECTS[1]) + b"\n" + dumped({"error": CONTEXT}),
        PIECES[0],
        "error",
        "context size",
    ),
    Habit("a login page", b"<!doctype html>\n<title>Log in</title>", "", "error", "web page", kind="text/html"),
    Habit("a login page called events", b"<html><body>Please log in</body></html>", "", "error", "(Please log in)"),
    Habit("words", b"upstream is out of memory", "", "error", "upstream is out of memory", kind="text/plain"),
    Habit("nothing at all", b"", "", "error", "closed the connection before"),
    Habit("content that is a number", chunk({"content": 17}), "", "error", "not part of an answer: '17'"),
    Habit("no JSON", said(PIECES[:3]) + b"data: It was\n\n", BEGIN, "error", "not part of an answer: 'It was'"),
]

ALL = [*ENDS, *NO_TEXT, *SHAPES, *BODIES, *FAULTS]
