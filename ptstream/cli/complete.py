"""Completion: what a shell asks, how it is answered, and the three scripts that ask.

`ptstream __complete …` is on the fast path: it answers in about twice the time that Python takes to start. In
an older database a stream may have a name that means something to a shell: it is offered only to a script that has it
quoted. zsh and fish quote what they put on the line themselves; what bash puts there is quoted here.
"""

from __future__ import annotations

import os

from ptstream.cli.candidates import candidates
from ptstream.names import is_name
from ptstream.settings import Home

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

SHELLS = ("bash", "zsh", "fish")

QUOTING = "--quoted"
"""What a script says first that quotes what it is given, before the words of its line."""

BASH = "--bash"
"""What bash's says, before its line up to the cursor and what of that it will replace."""


def complete(home: Home, words: list[str]) -> int:
    """Write one candidate a line, and behind a tab what it is; for bash, what is to be put on its line.

    `words` are the line's, the last one unfinished. Who does not say that it quotes, as a script that an older ptstream
    printed, is offered what needs no quoting.
    """
    if words[:1] == [BASH]:
        lines = list(_for_bash(home, *words[1:3]))
    else:
        quoting = words[:1] == [QUOTING]
        *before, begun = words[quoting:] or [""]
        found = candidates(home, before, begun)
        lines = [f"{word}\t{what}" if what else word for word, what in found if quoting or _is_plain(word)]
        lines = [line for line in lines if line.startswith(begun)]
    os.write(1, "".join(f"{line}\n" for line in lines).encode("utf-8", "replace"))
    return 0


_LETTERS = frozenset("abcdefghijklmnopqrstuvwxyz")
_VALUE = _LETTERS.union("ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_", "./:,+-")


def _is_plain(word: str) -> bool:
    """Whether it is the same quoted and unquoted, in every shell and inside of quotes too.

    `@last`, a name, an option, with its value perhaps, a model, or words with commas between them.
    """
    if word == "@last" or is_name(word):
        return True
    if not word.startswith("-"):
        return word[:1] not in tuple("./:,+") and bool(word) and _VALUE.issuperset(word)
    option, equals, value = word.partition("=")
    name = option.removeprefix("-").removeprefix("-")
    return (
        name[:1] in _LETTERS
        and _LETTERS.issuperset(name.replace("-", ""))
        and (bool(value) or not equals)
        and (_VALUE.issuperset(value))
    )


# --- bash, which puts a candidate on its line as it comes


def _for_bash(home: Home, line: str = "", replaced: str = "") -> Iterator[str]:
    """What may stand in the place of `replaced`, with which the line ends: the rest of a word, quoted.

    bash begins a word anew at a colon, and behind an open quote; what stands before that is kept.
    """
    *before, word = _words(line)
    kept = word.removesuffix(replaced)
    open_quote = word[:1] in ("'", '"')
    begun, begins = (_unquoted(each[open_quote:]) for each in (word, kept))
    if begun is None or begins is None:
        return
    for candidate, _ in candidates(home, [_unquoted(each) or each for each in before[1:]], begun):
        if candidate.startswith(begun) and (_is_plain(candidate) or not open_quote):
            yield _quoted(candidate[len(begins) :])


def _words(line: str) -> list[str]:
    """The words of a bash line as they stand there, the last one unfinished: "" behind a space."""
    words, quote, escaped = [""], "", False
    for character in line:
        if character.isspace() and not quote and not escaped:
            words += [""] if words[-1] else []
            continue
        words[-1] += character
        if escaped:
            escaped = False
        elif character == "\\" and quote != "'":
            escaped = True
        elif character in (quote or "'\""):
            quote = "" if quote else character
    return words


def _unquoted(word: str) -> str | None:
    """What a word without quotes is to bash; None for one that it would expand, or that quotes a part of itself."""
    unquoted, escaped = "", False
    for character in word:  # a backslash at the end stands before what is yet to be typed
        if not escaped and character in "'\"$`":
            return None
        escaped = character == "\\" and not escaped
        unquoted += "" if escaped else character
    return unquoted


def _quoted(word: str) -> str:
    """A word for bash, in which nothing but letters, digits and `@_.:+=/-` stands without a backslash."""
    return "".join(each if each.isalnum() or each in "_@.:+=/-" else f"\\{each}" for each in word)


SCRIPTS = {
    "bash": """\
_ptstream() {
    local line
    COMPREPLY=()
    while IFS= read -r line; do
        COMPREPLY+=("$line")
    done < <(ptstream __complete --bash "${COMP_LINE:0:COMP_POINT}" "$2" 2>/dev/null)
}
complete -o default -F _ptstream ptstream
""",
    "zsh": """\
#compdef ptstream
_ptstream() {
    local -a found
    local line word
    while IFS= read -r line; do
        word=${line%%$'\\t'*}
        found+=("${${word//\\\\/\\\\\\\\}//:/\\\\:}:${line#*$'\\t'}")
    done < <(ptstream __complete --quoted "${(@Q)words[2,CURRENT-1]}" "${(M)PREFIX#-}" 2>/dev/null)
    if (( ${#found} )); then _describe -V ptstream found; else _files; fi
}
if [[ ${funcstack[1]:-} == _ptstream ]]; then _ptstream "$@"; else compdef _ptstream ptstream; fi
""",
    "fish": """\
function __ptstream_complete
    set -l begun (commandline -ct)
    set -l found (ptstream __complete --quoted (commandline -opc)[2..-1] (string match -r '^-?' -- $begun) 2>/dev/null)
    if set -q found[1]
        string join \\n -- $found
    else
        __fish_complete_path $begun
    end
end
complete -c ptstream -e
complete -c ptstream -f -a '(__ptstream_complete)'
""",
}
