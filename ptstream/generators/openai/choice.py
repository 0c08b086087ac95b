"""What an object of an answer says: which choice it is about, and the words in it, in whichever of their places.

Chat completions as OpenAI and all who speak as it does send them; Ollama's own lines, too.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

THOUGHTS = ("reasoning_content", "reasoning", "thinking", "reasoning_text", "reasoning_details")
"""Where reasoning stands, one of which is read: some say it twice."""

WORDS = ("text", "content", "thinking", "reasoning", "reasoning_text", "summary", "refusal", "value")
"""Where the words of a part stand."""


def choice_in(item: Mapping[str, Any]) -> Mapping[str, Any]:
    """The choice that an object is about, if that is the first; empty without one."""
    return _ollamas(item) or _first(item.get("choices"))


def reasoning_in(saying: Mapping[str, Any]) -> str:
    """The reasoning of a delta or a message."""
    return request_of(next((saying[name] for name in THOUGHTS if saying.get(name)), None))


def tools_in(saying: Mapping[str, Any]) -> Iterator[str]:
    """The names of the tools that a delta or a message calls."""
    calls = saying.get("tool_calls")
    for call in (*(calls if isinstance(calls, list) else ()), {"function": saying.get("function_call")}):
        function = call.get("function") if isinstance(call, dict) else None
        if isinstance(function, dict) and function.get("name"):
            yield str(function["name"])


def request_of(value: Any) -> str:
    """The words of a string, of a part, or of a list of such; what is none of these has none."""
    if isinstance(value, list):
        return "".join(map(request_of, value))
    if isinstance(value, dict):
        return next((request_of(value[name]) for name in WORDS if value.get(name)), "")
    return string(value)


def string(value: Any) -> str:
    """`value` if it is a string, else an empty one."""
    return value if isinstance(value, str) else ""


def table(value: Any) -> Mapping[str, Any]:
    """`value` if it is an object, else an empty one."""
    return value if isinstance(value, dict) else {}


def _first(choices: Any) -> Mapping[str, Any]:
    """The choice that an event is about, if that is the first."""
    tables = map(table, choices if isinstance(choices, list) else ())
    return next((each for each in tables if str(each.get("index") or 0) == "0"), {})


def _ollamas(item: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """What Ollama's own lines say, as a choice: some pass them on as they come."""
    if isinstance(item.get("message"), dict) and "choices" not in item:
        return {"message": item["message"], "finish_reason": item.get("done_reason") or item.get("done")}
    return None
