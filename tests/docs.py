"""What is made: HTML of the pages in `man/`, the map in ptstream-design(7), and what completion knows of the commands.

`python -m tests.docs` writes all of it anew, after a page, a module's docstring, the layers in pyproject.toml or a
command's options have changed; tests hold what is committed to what this makes. mandoc and ruff must be installed.
"""

from __future__ import annotations

import ast
import re
import subprocess
import sys
import textwrap
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from ptstream.cli.options import RUNNING
from ptstream.streams import Status

ROOT = Path(__file__).parents[1]
MAN = ROOT / "man"
HTML = ROOT / "ptstream" / "docs"
DESIGN = MAN / "ptstream-design.7"
PAGES = sorted(MAN.iterdir())
README = ROOT / "README.md"

MANDOC = ("mandoc", "-Thtml", "-I", "os=ptstream")
LOOKS = ("-O", "style=style.css,man=%N.%S.html;https://manned.org/%N.%S")
"""A link to a page of ours leads to its file, any other to a collection of manual pages."""

MADE = re.compile(r'(?<=^\.\\" -- made by `python -m tests\.docs`\n).*(?=^\.\\" -- until here$)', re.M | re.S)
"""The part of ptstream-design(7) that is made."""


def html_of(page: Path) -> str:
    """The page as HTML."""
    return subprocess.run([*MANDOC, *LOOKS, page.name], cwd=MAN, capture_output=True, text=True, check=True).stdout


ESCAPED = {"&": "", "e": "\\", "-": "-"}
"""What these letters behind a backslash stand for in mdoc."""


WRAPPED = textwrap.TextWrapper(78, break_long_words=False, break_on_hyphens=False)


class Snippet(NamedTuple):
    """A display of a page, marked in its source by a comment before it: `.\\" snippet: NAME`."""

    page: str
    name: str
    text: str


def snippets(page: Path) -> Iterator[Snippet]:
    """The marked displays, as a reader sees them."""
    found = re.findall(r'^\.\\" snippet: (\S+)\n\.Bd -literal.*\n((?:.*\n)*?)\.Ed$', page.read_text("ascii"), re.M)
    for name, source in found:
        yield Snippet(
            page.name, name, re.sub(r"\\([&e-])", lambda each: {"&": "", "e": "\\", "-": "-"}[each[1]], source)
        )


def blocks(language: str) -> list[str]:
    """The README's fenced blocks of a language."""
    return re.findall(rf"^```{language}\n(.*?)^```$", README.read_text("utf-8"), re.M | re.S)


# --- the map


def map_of(package: Path) -> str:
    """Every layer and every module of the package, with what it is for, as mdoc."""
    return "".join(_layers()) + "".join(_modules(package))


def _scripts(web: Path) -> Iterator[Path]:
    return (path for path in web.rglob("*.js") if path.parent.name != "vendor")


def modules(package: Path) -> dict[str, list[Path]]:
    """The modules by their folder, below `package`'s parent. Scripts for browsers are modules, too."""
    folders: dict[str, list[Path]] = {}
    for path in sorted([*package.rglob("*.py"), *_scripts(package / "web")]):
        folders.setdefault(path.parent.relative_to(package.parent).as_posix(), []).append(path)
    return folders


def purpose_of(module: Path) -> str:
    """The first paragraph of its docstring, or of its first comment."""
    source = module.read_text("utf-8")
    if module.suffix == ".js":
        comment = re.search(r"^//.*\n(?://.*\n)*", source, re.M)
        paragraph = re.sub(r"^// ?", "", comment[0], flags=re.M) if comment else ""
    else:
        paragraph = ast.get_docstring(ast.parse(source)) or ""
    return " ".join(paragraph.split("\n\n")[0].split())


def _layers() -> Iterator[str]:
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["tool"]["importlinter"]["contracts"]
    yield ".Ss Layers\nA module imports only from the rows below its own.\n.Bl -enum -compact\n"
    for row in next(contract["layers"] for contract in contracts if contract["type"] == "layers"):
        names = ", ".join(name.strip().removeprefix("ptstream.") for name in re.split("[:|]", row))
        yield f".It\n{_text(names)}"
    yield ".El\n"


def _modules(package: Path) -> Iterator[str]:
    for folder, paths in modules(package).items():
        yield f".Ss {folder}/\n"
        package_file = package.parent / folder / "__init__.py"
        if package_file in paths:
            yield _text(purpose_of(package_file))
        yield ".Bl -tag -width Ds\n"
        for path in paths:
            if path != package_file:
                yield f".It Pa {path.name}\n{_text(purpose_of(path))}"
        yield ".El\n"


def _text(said: str) -> str:
    """Lines of mdoc: each sentence begins one."""
    escaped = re.sub(r"`([^`]*)`", r"\\(oq\1\\(cq", said.replace("\\", "\\e"))
    escaped = re.sub(r"[^\x00-\x7f]", lambda character: f"\\[u{ord(character[0]):04X}]", escaped)
    sentences = re.split(r"(?<=[.!?]) (?=\W*[A-Z])", escaped)
    lines = [line for sentence in sentences for line in WRAPPED.wrap(sentence)]
    return "".join(f"\\&{line}\n" if line[0] in ".'" else f"{line}\n" for line in lines)


def design_of(source: str) -> str:
    """The source of ptstream-design(7) with the map as it is now."""
    return MADE.sub(lambda _: map_of(ROOT / "ptstream"), source)


# --- what completion knows

GRAMMAR = ROOT / "ptstream" / "cli" / "grammar.py"

KINDS: dict[str | None, str | tuple[str, ...]] = {
    "ID": "ID",
    "[ID]": "ID",
    "[ID...]": "ID...",
    "ID...": "ID...",
    "ID[@N]": "ID",
    "MODEL": "MODEL",
    "STATUS,...": (RUNNING, *(status.value for status in Status)),
    "KEY VALUE": "OPTION",
    "DIR": "FILE",
    "FILE": "FILE",
    "FILE.py:NAME|NAME": "FILE",
    "PLACE": "FILE",
}
"""What is offered where a word is called so in a help page; where it is called otherwise, nothing can be."""


def kind_of(parameter: Any) -> str | tuple[str, ...]:
    """What word it takes: one of a few, an ID, a MODEL, a FILE, some other TEXT, or none (`""`), as a flag."""
    if getattr(parameter, "is_flag", False):
        return ""
    return tuple(getattr(parameter.type, "choices", ())) or KINDS.get(parameter.metavar, "TEXT")


def grammar() -> dict[str, dict[str, Any]]:
    """Of each command, `daemon run` and the like included, and of the words before one (`""`)."""
    from ptstream.cli.app import COMMANDS, application, load

    commands: dict[str, Any] = {"": application()}
    for name in COMMANDS:
        command: Any = load(name)
        commands |= {f"{name} {each}": sub for each, sub in getattr(command, "commands", {}).items()} or {name: command}
    return {
        name: {
            option: kind_of(parameter)
            for parameter in command.params
            for option in (parameter.opts if parameter.param_type_name == "option" else ["argument"])
        }
        for name, command in commands.items()
    }


def grammar_source() -> str:
    """The module that says so."""
    source = (
        '"""What may stand on each command\'s line, for completion, which loads no typer.\n\n'
        'Made by `python -m tests.docs`.\n"""\n\nfrom __future__ import annotations\n\n'
        f"WORDS: dict[str, dict[str, str | tuple[str, ...]]] = {grammar()!r}\n"
        '"""Command → its options, and `argument`, each with the kind of word that it takes (`""`: none)."""\n'
    )
    line = [sys.executable, "-m", "ruff", "format", "--stdin-filename", GRAMMAR.name, "-"]
    return subprocess.run(line, cwd=ROOT, input=source, capture_output=True, text=True, check=True).stdout


def main() -> None:
    """Write what is made."""
    GRAMMAR.write_text(grammar_source(), "utf-8")
    DESIGN.write_text(design_of(DESIGN.read_text("ascii")), "ascii")
    for page in HTML.glob("*.html"):
        page.unlink()
    for page in PAGES:
        (HTML / f"{page.name}.html").write_text(html_of(page), "utf-8")


if __name__ == "__main__":
    main()
