"""One answer as it comes in: turns the objects of its body into text and what is said beside it, and says how it ended.

Pure, free of I/O. `event_stream` takes the objects out of a body, `choice` and `reported_error` say what is in one, and
`endpoint_timeouts` how long the next one is waited for.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from ptstream import strict_json
from ptstream.errors import GeneratorDropped, GeneratorError, NoAnswer
from ptstream.generators import Event, Note, Reasoning, Usage
from ptstream.generators.openai import reported_error
from ptstream.generators.openai.choice import choice_in, reasoning_in, request_of, string, table, tools_in
from ptstream.generators.openai.error_text import shorten
from ptstream.generators.openai.event_stream import Item, Mark
from ptstream.generators.openai.finish_reason import Finish, finish_of
from ptstream.generators.surrogates import Surrogates, mend

if TYPE_CHECKING:
    from ptstream.generators.openai.upstream import Upstream


class Answer:
    """Reads one answer. Of several choices it is the first.

    Text after a finish reason is text, and takes that reason back.
    """

    def __init__(self, upstream: Upstream) -> None:
        self._host = upstream.host
        redaction = upstream.redaction()
        self._redact, self._without_secrets = redaction.of, redaction.within
        self.finish = Finish.NONE
        """What has been said of its end since its last text."""
        self.closed = False
        """Whether the endpoint has said that this was all of it."""
        self.spoke = False
        """Whether any of its text has come."""
        self.characters = 0
        """Characters of text and of reasoning that have come."""
        self._reason = ""
        self._objects = 0
        self._messages = 0
        self._foreign = ""
        self._by_delta = False
        self._took_back = False
        self._with_text = False
        self._usage: Mapping[str, Any] | None = None
        self._text = Surrogates()
        self._thoughts = Surrogates()
        self._so_far = _SoFar()
        self._thought = False
        self._calls: list[str] = []
        self._refusal = ""
        self._left_out: set[str] = set()

    @property
    def proven(self) -> bool:
        """Whether it would be whole, even if the connection broke now.

        A reason that came with text, of an endpoint that has taken one back, is no proof: it comes with every text.
        """
        return self.closed or (self.finish is not Finish.NONE and not self._took_back)

    def read(self, item: Item) -> Iterator[Event]:
        """What one object of its body says. Raises EndpointError for an error, NoAnswer for what is no answer's."""
        if isinstance(item, Mark):
            self.closed = self.closed or item is Mark.DONE
            return
        choice = choice_in(item)
        self._count(item, choice)
        text, thought = self._text_and_reasoning(choice)
        self.characters += len(text) + len(thought)
        if thought := self._thoughts.feed(thought):
            self._thought = True
            yield Reasoning(thought)
        if text:
            self._take_back()
        if whole := self._text.feed(text):
            self._add(whole)
            yield whole
        reported_error.check(item, choice, self._host, self._redact)
        self._end_with(choice, text=bool(text))

    def _count(self, item: Mapping[str, Any], choice: Mapping[str, Any]) -> None:
        """What kind of object it is, and what it says of usage: some count on with every event, the last word holds."""
        self._objects += 1
        self._messages += "delta" not in choice and bool(choice.get("message"))
        self._usage = table(item.get("usage")) or table(choice.get("usage")) or self._usage
        if not (choice or self._foreign or "choices" in item or self._usage):
            self._foreign = self._short(strict_json.dumps(item, ensure_ascii=False))[:200]

    def end(self, *, in_order: bool = True) -> Iterator[Event]:
        """What remains to say; `in_order`: the body did not break off.

        Raises GeneratorError for an answer that is not whole, GeneratorDropped where it just stopped.
        """
        if text := self._text.end():
            self._add(text)
            yield text
        if self._usage:
            yield Usage(self._without_secrets(self._usage))
        if self._foreign and not (self.spoke or self._thought or self.closed or self.finish):
            raise NoAnswer(f"{self._host} sent something that is not part of an answer: {self._foreign}")
        if self.finish in (Finish.FILTERED, Finish.BROKEN):
            raise GeneratorError(f"{self._host} {self._bad_finish()}")
        in_one_body = self._objects == self._messages == 1
        if not (self.proven or (in_order and (self.finish or in_one_body))):
            raise GeneratorDropped(f"{self._host} closed the connection before the answer's end")
        yield from (Note(text, kept=True) for text in self._notes(in_order=in_order))

    # --- its end

    def _end_with(self, choice: Mapping[str, Any], *, text: bool) -> None:
        reason = choice.get("finish_reason") or choice.get("finishReason") or choice.get("stop_reason")
        finish = finish_of(reason)
        if finish > self.finish:
            self.finish, self._reason, self._with_text = finish, self._short(str(reason)), text

    def _bad_finish(self) -> str:
        if self.finish is Finish.FILTERED:
            words = f": {self._short(self._refusal)}" if self._refusal else ""
            return f"withheld the rest of the answer (content filter: {self._reason}){words}"
        return f"gave up in the middle of the answer ({self._reason})"

    def _notes(self, *, in_order: bool) -> Iterator[str]:
        """What is to be known of an answer that has ended well."""
        if not self.spoke:
            yield f"the answer has no text: {self._instead()}"
        if self.finish is Finish.LENGTH:
            yield f"the answer was cut off: it reached the limit of its length ({self._reason})"
        if self.finish is Finish.UNKNOWN:
            yield f"the answer ended for a reason that ptstream does not know: {self._short(self._reason)!r}"
        if self.finish is Finish.NONE:
            yield f"{self._host} closed the answer without a finish reason: it may not be whole"
        if not in_order and self._with_text and not self.closed:
            yield f"{self._host} broke off after the answer's finish reason: it may not be whole"
        if self.spoke and (self._refusal or self._calls):
            yield self._instead()
        for kind in sorted(self._left_out):
            yield f"a part of the answer that is no text was left out: {kind}"

    def _instead(self) -> str:
        """What came instead of text."""
        if self._refusal:
            return f"the model refused: {self._short(self._refusal)}"
        if self._calls:
            called = self._short(", ".join(dict.fromkeys(self._calls)))
            return f"the model called a tool ({called}), and none is run here"
        if self._thought:
            return "the model gave its reasoning alone"
        return "the model said nothing"

    def _short(self, text: str) -> str:
        """Words of the server's on one line, of bounded length, and without what is secret."""
        return shorten(self._redact(text))

    # --- what it says

    def _text_and_reasoning(self, choice: Mapping[str, Any]) -> tuple[str, str]:
        """The text and the reasoning of a choice."""
        delta, message = table(choice.get("delta")), table(choice.get("message"))
        saying = delta if isinstance(choice.get("delta"), dict) else message
        self._note_beside(saying)
        text, thought = self._parted(saying.get("content"))
        if saying is message:
            text = self._so_far.rest_of(text, alone=not self._by_delta)
        elif not (text or self.spoke):  # beside deltas that have not said anything yet
            text = self._parted(message.get("content"))[0] or string(choice.get("text"))
        self._by_delta = self._by_delta or (saying is delta and bool(text))
        if not (delta or message):
            text = string(choice.get("text"))
        return text, reasoning_in(saying) + thought

    def _add(self, text: str) -> None:
        self.spoke = self.spoke or not text.isspace()
        self._so_far.add(text)

    def _take_back(self) -> None:
        """There is more text: what was said of the end was not the end."""
        self._took_back = self._took_back or self.finish is not Finish.NONE
        self.finish, self._reason = Finish.NONE, ""

    def _note_beside(self, saying: Mapping[str, Any]) -> None:
        """Calls and refusals, for an answer that has no text."""
        if refusal := saying.get("refusal"):
            self._refusal += request_of(refusal)
        self._calls += tools_in(saying)

    def _parted(self, content: Any) -> tuple[str, str]:
        """The text of a message's content, and the reasoning that stands among its parts. Raises NoAnswer."""
        if not isinstance(content, list):
            if content is None or isinstance(content, str | dict):
                return request_of(content), ""
            begin = self._short(strict_json.dumps(content))[:80]
            raise NoAnswer(f"{self._host} sent something that is not part of an answer: {begin!r}")
        text = thought = ""
        for part in content:
            kind = str(part.get("type", "text")) if isinstance(part, dict) else "text"
            if "think" in kind or "reason" in kind:
                thought += request_of(part)
            elif kind == "refusal":
                self._refusal += request_of(part)
            elif words := request_of(part):
                text += words
            elif kind not in ("text", "output_text"):
                self._left_out.add(self._short(kind))
        return text, thought


class _SoFar:
    """The text so far, by its length and its hash, to find what a message adds that repeats it."""

    def __init__(self) -> None:
        self._length = 0
        self._hash = hashlib.blake2b(digest_size=16)

    def add(self, text: str) -> None:
        """More of it."""
        self._length += len(text)
        self._hash.update(text.encode())

    def rest_of(self, message: str, *, alone: bool) -> str:
        """What a message without a delta adds: the rest, where it begins with all the text so far.

        Where it stands `alone`, no delta having said anything, it may be a piece; else it only says the same again.
        """
        begin, rest = mend(message)[: self._length], mend(message)[self._length :]
        repeats = self._length and hashlib.blake2b(begin.encode(), digest_size=16).digest() == self._hash.digest()
        return rest if repeats else message if alone else ""
