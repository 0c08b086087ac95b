"""Text from a model, a command or another person, made harmless for a terminal.

What could move the cursor, set the title, write the clipboard, change a mode, turn the reading direction or hide text
is taken out; everything that is there to be read is left in. Colour is left to the output of commands alone. Where
text goes, and whether it is filtered at all, `screen.py` decides. `re` is imported only when there is something to
look at, because `cat` begins with this module.
"""

from __future__ import annotations

LIMIT = 8192
"""How many characters the body of a title, clipboard or picture sequence may have (kitty's have 4 KiB)."""

FORBIDDEN = (
    r"\x00-\x08\x0b-\x1f\x7f-\x9f\xad\u061c\u200e\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff0-\ufffb"
    r"\U0001bca0-\U0001bca3\U0001d173-\U0001d17a\U000e0000-\U000e00ff\U000e01f0-\U000e0fff"
)
"""What never comes out, for a character class: the controls but LF and TAB; Unicode's line and paragraph separators;
of its format and unassigned characters (Cf, Cn) those that turn the reading direction (Bidi_Control) or are not to be
seen (Default_Ignorable_Code_Point, and interlinear annotations). Of these, four are left in, without which words of
some scripts cannot be written: U+200B to U+200D, and U+180E. The page's untrusted.js has the same."""

UNSEEN = r"\u034f\u180b-\u180f\u200b-\u200d\ufe00-\ufe0f\U000e0100-\U000e01ef"
"""Joiners and variation selectors, for a character class: nobody sees them, and many in a row are a hidden text."""

IN_A_ROW = 3
"""How many of them may follow each other: an emoji has two; Arabic letters that join, but not in one sign, three."""

# Each without its last character. Bounded, so that what is held back is; possessive, so that none backtracks.
_CSI = r"(?:\x1b\[|\x9b)[0-?]{0,64}+[ -/]{0,16}+"
_IN_STRING = r"[^\n\r\x07\x18\x1a\x1b\x80-\x9f]"
_STRING = rf"(?:\x1b[PX\]^_]|[\x90\x98\x9d-\x9f]){_IN_STRING}{{0,{LIMIT}}}+"
_ESCAPE = r"\x1b[ -/]{0,4}+"

_STRING_GOES_ON = rf"{_IN_STRING}*+\Z"
_UNDECIDED = rf"(?:\r|{_ESCAPE}|{_CSI}|(?P<string>{_STRING})|{_STRING}\x1b)\Z"
_TOO_MANY = rf"(?<=[{UNSEEN}]{{{IN_A_ROW}}})[{UNSEEN}]+"
_LAST_UNSEEN = rf"[{UNSEEN}]{{0,{IN_A_ROW}}}\Z"
_PRINTABLE_UNSEEN = frozenset("\u034f\u180b\u180c\u180d\u180f").union(
    map(chr, (*range(0xFE00, 0xFE10), *range(0xE0100, 0xE01F0)))
)
_UNWANTED = rf"\r\n?|{_CSI}[@-~]|{_STRING}(?:\x07|\x9c|\x1b\\)|{_ESCAPE}[0-~]|[{FORBIDDEN}]"

_RETURN = r"\r+(\n?)"


class Filter:
    """Takes a text in pieces and gives it back without control sequences, the same however it was cut.

    A sequence that breaks off (at a line's end, at another sequence, after `LIMIT` characters, at the end)
    loses only its beginning: its body is shown, so that nothing can make the rest of a text disappear. CR LF
    becomes LF, and so does a lone CR: each state of a progress bar gets a line, and no line is written over. So do
    U+2028 and U+2029, which end a line or a paragraph.
    """

    def __init__(self) -> None:
        self._held = ""
        self._in_string = False
        self._unseen = ""

    def feed(self, text: str) -> str:
        """What of the text so far can be shown. What may be a sequence is held back until that is known."""
        if not self._held and _is_plain(text):
            self._unseen = "" if text else self._unseen
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
        return self._thinned(self._stripped(text[:decided]))

    def end(self) -> str:
        """What was held back. The filter may be used for another text then."""
        rest, self._held, self._in_string = self._held, "", False
        rest, self._unseen = self._thinned(self._stripped(rest)), ""
        return rest

    def whole(self, text: str) -> str:
        """A text that is all there is."""
        return self.feed(text) + self.end()

    def _stripped(self, text: str) -> str:
        return _stripped(text)

    def _thinned(self, text: str) -> str:
        """Without the unseen characters that are too many in a row, wherever the text was cut."""
        if not text:
            return text
        import re

        before, text = self._unseen, re.sub(_TOO_MANY, "", self._unseen + text)
        last = re.search(_LAST_UNSEEN, text[-IN_A_ROW:])
        self._unseen = last[0] if last else ""
        return text[len(before) :]


class CommandFilter(Filter):
    """The same for the output of a command on a terminal, where two things mean what they mean there.

    A lone CR begins its line anew: a progress bar is one line. With `colours`, SGR (ECMA-48 8.3.117) is left in, but
    for what hides a text; what is given back always ends in the terminal's own colours, and the next begins with those
    that the text has set.
    """

    def __init__(self, colours: bool) -> None:
        super().__init__()
        self._colours = colours
        self._set: list[str] = []
        self._returned = False

    def feed(self, text: str) -> str:
        before = "".join(self._set)
        return self._closed(before, super().feed(text))

    def end(self) -> str:
        rest = self._closed("".join(self._set), super().end())
        self._set, self._returned = [], False
        return rest

    def _closed(self, before: str, shown: str) -> str:
        if not shown:
            return shown
        if self._returned or "\r" in shown:
            import re

            # What ends in CR stands there until something else does: CR CR LF is an end of a line, too.
            shown, self._returned = "\r" * self._returned + shown, shown[-1] == "\r"
            shown = re.sub(_RETURN, lambda match: match[1] or "\r\x1b[K", shown.rstrip("\r"))
        return f"{before}{shown}\x1b[0m" if shown and (before or self._set) else shown

    def _stripped(self, text: str) -> str:
        if not text:
            return text
        import re

        return re.sub(_UNWANTED, lambda match: self._kept(match[0]), text)

    def _kept(self, sequence: str) -> str:
        if sequence[0] == "\r":
            return "\n" if sequence[-1] == "\n" else "\r"
        parameters = sequence[:-1].removeprefix("\x1b[").removeprefix("\x9b")
        if self._colours and sequence[-1] == "m" and not parameters.strip("0123456789;:") and len(sequence) > 2:
            return self._colour(parameters)
        return _instead(sequence)

    def _colour(self, parameters: str) -> str:
        kept = _visible(parameters.split(";"))
        if not kept:
            return ""
        sequence = f"\x1b[{';'.join(kept)}m"
        # A text that sets many and never resets them keeps the last of them: memory does not grow with it.
        self._set = [] if kept[-1] in ("", "0") else [*self._set[-15:], sequence]
        return sequence


def _visible(parameters: list[str]) -> list[str]:
    """Those of SGR without the one that hides text (8), which may also be a part of a colour (38;5;8)."""
    kept: list[str] = []
    while parameters:
        length = {"5": 3, "2": 5}.get("".join(parameters[1:2]), 1) if parameters[0] in ("38", "48", "58") else 1
        if parameters[0] not in ("8", "08", "008"):
            kept += parameters[:length]
        parameters = parameters[length:]
    return kept


def clean(text: str, one_line: bool = False) -> str:
    """A whole text made harmless. As `one_line`: also stripped, one space for every run of white space."""
    if not _is_plain(text):
        text = Filter().whole(text)
    return " ".join(text.split()) if one_line else text


def _is_plain(text: str) -> bool:
    """Whether there is certainly nothing to take out; every forbidden character counts as not printable."""
    printable = text.isprintable() or text.replace("\n", "").replace("\t", "").isprintable()
    return printable and (text.isascii() or _PRINTABLE_UNSEEN.isdisjoint(text))


def _stripped(text: str) -> str:
    if not text:
        return text
    import re

    return re.sub(_UNWANTED, lambda match: _instead(match[0]), text)


def _instead(sequence: str) -> str:
    return "\n" if sequence[0] in "\r\u2028\u2029" else ""
