"""The manual: clean, and held to the program: its commands, options, choices, exit codes and configuration.

The pages are read as mdoc source: an option is a `Fl` macro, a list entry an `It` line, a literal word a `Cm`.
"""

from __future__ import annotations

import re
import shlex
import subprocess
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

import ptstream
from ptstream.cli.app import COMMANDS, application, load
from ptstream.cli.detach import DETACHING
from ptstream.config import Endpoint, Settings
from ptstream.daemon import openapi
from ptstream.errors import every_error
from tests.conftest import needs
from tests.docs import DESIGN, MAN, PAGES, README, ROOT, design_of, modules, purpose_of

HELP = {"-h", "--help"}
"""Every command has them; ptstream.1 says so once."""


@dataclass(frozen=True)
class Taken:
    """A command of the program: where its page describes it, and the click command."""

    page: str
    section: str | None
    command: Any

    @property
    def options(self) -> set[str]:
        """The options it takes, by every name."""
        return {name for each in self.command.params for name in each.opts if name.startswith("-")}

    @property
    def choices(self) -> set[str]:
        """The words that its parameters are chosen from."""
        return {str(word) for each in self.command.params for word in getattr(each.type, "choices", ())}


def taken() -> Iterator[Taken]:
    """The program, its commands, and the daemon's."""
    yield Taken("ptstream", None, application())
    for name in COMMANDS:
        command = load(name)
        if subcommands := getattr(command, "commands", None):
            for word, each in subcommands.items():
                yield Taken(f"ptstream-{name}", word, each)
        else:
            yield Taken(f"ptstream-{name}", None, command)


TAKEN = list(taken())
NAMES = [f"{each.page} {each.section or ''}".strip() for each in TAKEN]
each_command = pytest.mark.parametrize("command", TAKEN, ids=NAMES)
each_page = pytest.mark.parametrize("page", PAGES, ids=[page.name for page in PAGES])


def text_of(page: str) -> str:
    """The page's source."""
    (path,) = MAN.glob(f"{page}.[157]")
    return path.read_text(encoding="ascii")


def section(page: str, title: str, macro: str = "Sh") -> str:
    """The part of the page under this heading."""
    end = r"^\.Sh |\Z" if macro == "Sh" else r"^\.S[hs] |\Z"
    found = re.search(rf"^\.{macro} {re.escape(title)}\n(.*?)(?={end})", text_of(page), re.M | re.S)
    assert found, f"{page} has no {title}"
    return found[1]


def described(command: Taken) -> str:
    """The part of its page that describes the command."""
    return section(command.page, command.section, "Ss") if command.section else text_of(command.page)


def options_in(source: str) -> set[str]:
    """The options that macros name; `Fl -` is the `--` before a command of the user's."""
    return {f"-{word}" for word in re.findall(r"\bFl (-?\w[\w-]*)", source)}


def examples_in(source: str) -> Iterator[str]:
    """The lines of literal displays."""
    for line in re.findall(r"^\.Dl (.*)", source, re.M):
        yield line.replace(r"\(dq", '"').replace(r"\-", "-")
    for block in re.findall(r"^\.Bd -literal.*\n((?:(?!\.Ed).*\n)+)", source, re.M):
        yield from block.splitlines()


@needs("mandoc")
@each_page
def test_mandoc_has_nothing_to_say(page: Path) -> None:
    done = subprocess.run(["mandoc", "-Tlint", "-W", "warning", str(page)], capture_output=True, text=True)
    assert (done.returncode, done.stdout + done.stderr) == (0, "")


@needs("mandoc")
@each_page
def test_a_page_fits_80_columns(page: Path) -> None:
    done = subprocess.run(["mandoc", "-Tascii", str(page)], capture_output=True, text=True, check=True)
    lines = re.sub(".\b", "", done.stdout).splitlines()
    assert [line for line in lines if len(line) > 80] == []


@needs("mandoc")
@each_page
def test_a_page_can_be_read_in_40_columns(page: Path) -> None:
    """All but its literal displays, which no width can break: no line is longer, unless it is one word."""
    source = re.sub(r"^\.Bd -literal.*\n(?:(?!\.Ed).*\n)*\.Ed\n|^\.Dl .*\n", "", page.read_text("ascii"), flags=re.M)
    line = ["mandoc", "-Tutf8", "-O", "width=40"]
    done = subprocess.run(line, input=source.encode(), capture_output=True, check=True)
    lines = re.sub(".\b", "", done.stdout.decode()).splitlines()
    assert [line for line in lines if len(line) > 40 and " " in line.strip()] == []


def test_every_command_has_a_page_and_every_page_a_command() -> None:
    of_commands = {page.name for page in PAGES if page.suffix == ".1"}
    assert of_commands == {"ptstream.1", *(f"ptstream-{name}.1" for name in COMMANDS)}


@each_page
def test_a_page_is_called_as_its_file_and_says_what_the_help_says(page: Path) -> None:
    text = page.read_text(encoding="ascii")
    assert f".Dt {page.stem.upper()} {page.suffix[1:]}\n" in text
    assert f".Nm {page.stem}\n.Nd " in text
    if command := COMMANDS.get(page.stem.removeprefix("ptstream-")):
        assert f".Nd {command.help[0].lower()}{command.help[1:-1]}\n" in text


def test_the_overview_lists_the_commands_in_the_helps_order_and_words() -> None:
    listed = re.findall(
        r"^\.It Cm ([\w-]+)\n(.*);\n\.Xr ptstream-([\w-]+) 1 \.$", section("ptstream", "DESCRIPTION"), re.M
    )
    assert listed == [(name, command.help[:-1], name) for name, command in COMMANDS.items()]
    assert set(re.findall(r"Xr ptstream-([\w-]+) 1", section("ptstream", "SEE ALSO"))) == set(COMMANDS)


@each_command
def test_a_page_lists_exactly_the_options_that_there_are(command: Taken) -> None:
    listed = [options_in(line) for line in described(command).splitlines() if line.startswith(".It Fl")]
    assert set().union(*listed) == command.options | (HELP if command.page == "ptstream" else set())
    for each in command.command.params:  # all names of one option stand in one entry
        assert set(each.opts) in listed or not each.opts[0].startswith("-")


@each_command
def test_each_option_has_an_example_in_the_help_and_on_the_page(command: Taken) -> None:
    shown = command.command.examples.split(), " ".join(examples_in(text_of(command.page))).split()
    for words in shown:
        lacking = [
            each.opts for each in command.command.params if each.opts[0][0] == "-" and not {*each.opts} & {*words}
        ]
        assert lacking == []


@each_command
def test_a_page_names_the_words_to_choose_from(command: Taken) -> None:
    assert command.choices <= set(re.findall(r"(?:Cm|\|) ([a-z]+)", described(command)))


@each_page
def test_a_page_names_no_option_that_does_not_exist(page: Path) -> None:
    """An option is the page's own, or one of a command that the page speaks of, as in `Fl -raw` of `Cm watch`."""
    text = page.read_text(encoding="ascii")
    pages = {page.stem, "ptstream", *(f"ptstream-{word}" for word in re.findall(r"Cm (\w+)", text))}
    known = HELP.union(*(each.options for each in TAKEN if each.page in pages))
    assert options_in("\n".join(line for line in text.splitlines() if line.startswith("."))) <= known


@each_page
def test_the_program_takes_what_an_example_says(page: Path) -> None:
    """Each is parsed as the command line would parse it, but not run."""
    for line in examples_in(page.read_text(encoding="ascii")):
        # What follows `--` is another program's; xargs adds what is wanted.
        for said in re.findall(r"(?<![\w/-])(?<!xargs )ptstream ([^|&)>]+)", line):
            name, *words = shlex.split(said.partition(" -- ")[0])
            if name == "--version":
                continue
            if name in ("--home", "--color"):
                _, name, *words = words
            command = load(name)
            if subcommands := getattr(command, "commands", None):
                command = subcommands[words.pop(0)]
            with command.make_context(name, words):
                pass


def test_the_exit_codes_are_the_programs() -> None:
    listed = [int(code) for code in re.findall(r"^\.It (\d+)$", section("ptstream", "EXIT STATUS"), re.M)]
    errors = {kind.exit_code for kind in every_error()}  # the command line's own included: it is imported here
    assert listed == sorted({0} | errors | {128 + signal for signal in DETACHING})


def test_the_keys_of_the_configuration_are_the_programs() -> None:
    text = section("ptstream-config", "SETTINGS")
    listed = re.findall(r"^\.It Va (\w+)$", text, re.M)
    lines = re.findall(r"^\.It Va (\w.*)$", section("ptstream-config", "ENDPOINTS"), re.M)
    of_endpoints = [word for line in lines for word in line.split(" , ")]
    assert set(listed) == set(Settings.__annotations__) - {"endpoints"}
    assert set(of_endpoints) == set(Endpoint.__annotations__) - {"name"}
    for key in ("first_timeout", "idle_timeout", "total_timeout", "max_delay", "max_bytes"):
        default = re.search(rf"^\.It Va {key}\n(?:(?!\.It).*\n)*?Default: ([\d.]+)", text, re.M)
        assert default, key
        assert float(default[1]) == (getattr(Settings(), key) or 0), key


def test_the_pages_install_with_the_package() -> None:
    build = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["hatch"]["build"]["targets"]
    places = {f"man/{page.name}": f"share/man/man{page.suffix[1:]}/{page.name}" for page in PAGES}
    assert build["wheel"]["shared-data"] == places
    assert "man" in build["sdist"]["include"]


def test_each_promise_of_safety_names_tests_that_there_are() -> None:
    text = (ROOT / "man" / "ptstream-security.7").read_text(encoding="ascii")
    promised = re.search(r"^\.Sh PROMISES\n(.*?)^\.Sh ", text, re.M | re.S)
    assert promised
    for promise in re.split(r"^\.It ", promised[1], flags=re.M)[1:]:
        named = re.findall(r"^\.Pa (tests/[\w/]+\.py) (test_\w+|[a-z]\w+)", promise, re.M)
        assert named, f"no test is named for: {promise}"
        for file, name in named:
            assert re.search(rf"\bdef _?{name}\b", (ROOT / file).read_text(encoding="utf-8")), f"{file} has no {name}"


# --- words


def glossary() -> dict[str, str]:
    """The words of ptstream-design(7) and what each means."""
    return dict(re.findall(r"^\.It (.*)\n((?:(?!\.It|\.El).*\n)+)", section("ptstream-design", "GLOSSARY"), re.M))


OURS = (
    "asides? doors endings? faces? hot inlets? life papers? patience persisting rooms? seams? serving settled? settles"
    " told unheard"
).replace(" ", "|")
"""Words that once meant something here alone: whoever reads would have to learn them."""


def test_the_glossary_is_short_and_the_overview_says_the_same() -> None:
    assert len(glossary()) <= 25
    words = re.findall(r"^\.It (.*)\n((?:(?!\.It|\.El).*\n)+)", section("ptstream", "Words", "Ss"), re.M)
    assert words
    assert dict(words).items() <= glossary().items()


def strange(text: str) -> list[str]:
    """The words of our own that stand in it, but for parts of paths, addresses and names of files."""
    return re.findall(rf"(?<![\w/.-])(?:{OURS})(?![\w/-]|\.\w)", text, re.I)


@pytest.mark.parametrize("path", [README, *PAGES], ids=lambda path: path.name)
def test_no_word_of_our_own_needs_to_be_learned(path: Path) -> None:
    assert strange(path.read_text("utf-8").replace("\n.It seam\n", "\n")) == []  # a field's name, in the glossary


@each_command
def test_no_help_has_a_word_of_our_own(command: Taken) -> None:
    said = [command.command.help, *(getattr(each, "help", None) for each in command.command.params)]
    assert strange(" ".join(filter(None, said))) == []


# --- what there is


def test_the_map_is_the_tree() -> None:
    """`python -m tests.docs` writes it."""
    source = DESIGN.read_text("ascii")
    named = [
        f"{folder}{name}"
        for folder, listed in re.findall(r"^\.Ss (ptstream/.*)\n((?:(?!\.Ss |\.Sh ).*\n)*)", source, re.M)
        for name in re.findall(r"^\.It Pa (.*)", listed, re.M)
    ]
    there = [f"{folder}/{path.name}" for folder, paths in modules(ROOT / "ptstream").items() for path in paths]
    assert sorted(named) == sorted(name for name in there if not name.endswith("/__init__.py"))
    assert design_of(source) == source


def test_every_module_says_what_it_is_for() -> None:
    for paths in modules(ROOT / "ptstream").values():
        for path in paths:
            assert re.search(r"\w{3,} .*\w", purpose_of(path)), path


def test_the_page_about_http_has_every_route() -> None:
    said = re.sub(r" Ns (Ar|Li) ", lambda each: "", section("ptstream-http", "ROUTES"))
    routes = set(re.findall(r"^\.It Li (\w+ \S+)$", said, re.M))
    wanted = {
        f"{method.upper()} {path.replace('{id}', 'ID').replace('{model}', 'MODEL')}"
        for path, operations in openapi.document()["paths"].items()
        for method in operations
        if method != "parameters"
    }
    assert routes == wanted


def test_the_page_about_the_library_has_every_name() -> None:
    text = text_of("ptstream-library")
    methods = [name for name in vars(ptstream.PersistentStreams) if not name.startswith("_")]
    for name in [*ptstream.__all__, *methods]:
        assert re.search(rf"\b{name}\b", text), name
