"""UTF-8 that arrives in pieces: decoded, and what is not UTF-8 replaced and counted."""

from __future__ import annotations

import codecs


class Decoder:
    """UTF-8 in any cuts; what is not UTF-8 becomes U+FFFD and is counted in `replaced`."""

    def __init__(self) -> None:
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self._carry = b""
        self.replaced = 0

    def feed(self, data: bytes, final: bool = False) -> str:
        """The text that is whole now."""
        text = self._decoder.decode(data, final)
        genuine = (self._carry + data).count(b"\xef\xbf\xbd")  # U+FFFD that was there already
        self._carry = data[-2:] if len(data) >= 2 else (self._carry + data)[-2:]
        self.replaced += max(0, text.count("\ufffd") - genuine)
        return text
