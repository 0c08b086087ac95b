"""Completion of commands and stream ids: what a shell asks, and the three scripts that ask it.

`ptstream __complete WORD…` is on the hot path: it answers in about twice the time that Python itself takes.
"""

from __future__ import annotations

import os

from ptstream.errors import PtstreamError
from ptstream.settings import Home

COMMANDS = (  # held to app.py by a test
    *("drive", "watch", "cat", "create", "tee", "ls", "show", "wait", "cancel"),
    *("rm", "search", "web", "models", "demo", "path", "daemon", "completion", "dial-stdio"),
)

TAKES_ID = frozenset({"drive", "watch", "cat", "show", "wait", "cancel", "rm"})

DAEMON = ("run", "start", "stop", "status", "token", "logs")

SHELLS = ("bash", "zsh", "fish")

NEWEST = 50
"""Streams that are offered, newest first: no shell shows more of them usefully."""


def complete(home: Home, words: list[str]) -> int:
    """Write one candidate a line, behind it a tab and what it is; `words` are the line's, the last one unfinished."""
    *before, begun = words or [""]
    lines = [line for line in _candidates(home, before) if line.startswith(begun)]
    os.write(1, "".join(f"{line}\n" for line in lines).encode("utf-8", "replace"))
    return 0


def _candidates(home: Home, before: list[str]) -> list[str]:
    if not before:
        return list(COMMANDS)
    if before == ["daemon"]:
        return list(DAEMON)
    if before == ["completion"]:
        return list(SHELLS)
    given = [word for word in before[1:] if not word.startswith("-")]
    if before[0] not in TAKES_ID or "--" in before or (given and before[0] != "rm"):
        return []
    return _streams(home)


def _streams(home: Home) -> list[str]:
    if os.environ.get("PTSTREAM_HOST"):  # no TAB opens an ssh
        return []
    from ptstream.cli.untrusted import clean
    from ptstream.fields import title
    from ptstream.store.sqlite import Store

    try:
        with Store(home) as store:
            found = store.streams(limit=NEWEST)
    except PtstreamError:
        return []  # a shell's TAB is no place for an error
    newest = ["@last\tthe newest stream"] if found else []
    return newest + [
        f"{word}\t{clean(f'{stream.status} {title(stream)}', one_line=True)[:60]}"
        for stream in found
        for word in filter(None, (stream.name, stream.id))
    ]


SCRIPTS = {
    "bash": """\
_ptstream() {
    local IFS=$'\\n' line
    COMPREPLY=()
    while read -r line; do
        COMPREPLY+=("${line%%$'\\t'*}")
    done < <(ptstream __complete "${COMP_WORDS[@]:1:COMP_CWORD}" 2>/dev/null)
}
complete -o default -F _ptstream ptstream
""",
    "zsh": """\
#compdef ptstream
_ptstream() {
    local -a found
    local line
    while IFS= read -r line; do
        found+=("${${line%%$'\\t'*}//:/\\\\:}:${line#*$'\\t'}")
    done < <(ptstream __complete "${(@)words[2,CURRENT]}" 2>/dev/null)
    if (( ${#found} )); then _describe -V ptstream found; else _files; fi
}
compdef _ptstream ptstream
""",
    "fish": """\
complete -c ptstream -e
complete -c ptstream -f -a '(ptstream __complete (commandline -opc)[2..-1] (commandline -ct) 2>/dev/null)'
""",
}
