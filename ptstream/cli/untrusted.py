"""Text from a model, a command or another person, made harmless for a terminal.

What could move the cursor, set the title, write the clipboard, change a mode or turn the reading direction
is taken out, colour included; everything that is there to be read is left in. Where text goes, and whether
it is filtered at all, `screen.py` decides. `re` is imported only when there is something to look at, because
`cat` begins with this module.
"""

from __future__ import annotations

LIMIT = 8192
"""How many characters the body of a title, clipboard or picture sequence may have (kitty's have 4 KiB)."""

FORBIDDEN = r"\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069"
"""What never comes out, for a character class: C0 but LF and TAB, DEL, C1, bidi embeddings and isolates."""

# Each without its last character. Bounded, so that what is held back is; possessive, so that none backtracks.
_CSI = r"(?:\x1b\[|\x9b)[0-?]{0,64}+[ -/]{0,16}+"
_IN_STRING = r"[^\n\r\x07\x18\x1a\x1b\x80-\x9f]"
_STRING = rf"(?:\x1b[PX\]^_]|[\x90\x98\x9d-\x9f]){_IN_STRING}{{0,{LIMIT}}}+"
_ESCAPE = r"\x1b[ -/]{0,4}+"

_STRING_GOES_ON = rf"{_IN_STRING}*+\Z"
_UNDECIDED = rf"(?:\r|{_ESCAPE}|{_CSI}|(?P<string>{_STRING})|{_STRING}\x1b)\Z"
_UNWANTED = rf"\r\n?|{_CSI}[@-~]|{_STRING}(?:\x07|\x9c|\x1b\\)|{_ESCAPE}[0-~]|[{FORBIDDEN}]"


class Filter:
    """Takes a text in pieces and gives it back without control sequences, the same however it was cut.

    A sequence that breaks off (at a line's end, at another sequence, after `LIMIT` characters, at the end)
    loses only its beginning: its body is shown, so that nothing can make the rest of a text disappear. CR LF
    becomes LF, and so does a lone CR: each state of a progress bar gets a line, and no line is written over.
    """

    def __init__(self) -> None:
        self._held = ""
        self._in_string = False

    def feed(self, text: str) -> str:
        """What of the text so far can be shown. What may be a sequence is held back until that is known."""
        if not self._held and _is_plain(text):
            return text
        import re

        if self._in_string and len(self._held) + len(text) < LIMIT and re.match(_STRING_GOES_ON, text):
            self._held += text
            return ""
        text = self._held + text
        undecided = re.search(_UNDECIDED, text)
        decided = undecided.start() if undecided else len(text)
        self._held = text[decided:]
        self._in_string = bool(undecided and undecided["string"])
        return _stripped(text[:decided])

    def end(self) -> str:
        """What was held back. The filter may be used for another text then."""
        rest, self._held, self._in_string = self._held, "", False
        return _stripped(rest)


def clean(text: str, one_line: bool = False) -> str:
    """A whole text made harmless. As `one_line`: also stripped, one space for every run of white space."""
    if not _is_plain(text):
        text = _stripped(text)
    return " ".join(text.split()) if one_line else text


def _is_plain(text: str) -> bool:
    """Whether there is certainly nothing to take out; every forbidden character counts as not printable."""
    return text.isprintable() or text.replace("\n", "").replace("\t", "").isprintable()


def _stripped(text: str) -> str:
    if not text:
        return text
    import re

    return re.sub(_UNWANTED, lambda match: "\n" if match[0][0] == "\r" else "", text)
