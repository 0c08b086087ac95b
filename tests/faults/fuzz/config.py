"""Config files, whatever stands in them: settings, or a short error that repeats no secret; also from the command."""

from __future__ import annotations

import os
from typing import Any

from hypothesis import strategies as st

from ptstream.config import ENDPOINT_KEYS, KEYS, load
from ptstream.daemon.host_and_origin import OwnAddresses
from ptstream.daemon.listen_address import address_of
from ptstream.errors import ConfigurationError
from ptstream.generators.openai.upstream import COMPLETIONS, Upstream
from ptstream.settings import Home
from tests.faults.fuzz.grammar import broken, one_of
from tests.faults.fuzz.growth import Pumped
from tests.faults.fuzz.search import Look, Wrong, search
from tests.faults.ground import Ground, ground
from tests.faults.runs import Run
from tests.faults.tally import Tally

SECRET = "sk-nobody-else-sees-this"

LINES, CHARACTERS = 3, 2000
"""What an error may have."""

HUGE = 32 * 1024
"""Characters of a file that has one thing again and again. Python's own parser takes a square of the time for some."""

SECRETS = (
    f'[endpoints.a]\nbase_url = "https://a.example/v1"\nheaders = {{ authorization = "Bearer {SECRET}" }}\n',
    f'[endpoints.a]\nbase_url = "https://a.example/v1?api_key={SECRET}"\nkey = "{SECRET}"\n',
    f'[endpoints.a]\nbase_url = "https://user:{SECRET}@a.example/v1"\nquery = {{ key = "{SECRET}" }}\n',
    f'[endpoints.a]\nbase_url = "httpx://user:{SECRET}@a.example/v1"\n',
    f'[endpoints.a]\nheaders = {{ "x\\ny" = "{SECRET}" }}\nbase_url = "http://a"\n',
    f'[endpoints.a]\nbase_url = "http://a"\nheaders = {{ x = "{SECRET}\\n" }}\nbody = {{ token = "{SECRET}" }}\n',
    f'[endpoints]\na = "{SECRET}"\n',
    f'public_url = "https://user:{SECRET}@box.example"\n',
    f'origins = ["https://user:{SECRET}@box.example"]\n',
    f'api_key = "{SECRET}"\n',
)
"""Where people write what is secret, rightly or not."""

WORDS = (
    *('""', '"x"', "'x'", '"""x\ny"""', "'''x'''", "0", "-1", "1.5", "nan", "inf", "-inf", "1e400", "true", "false"),
    *("[]", "[1]", '["x"]', "{}", "{ x = 1 }", '{ x = "y" }', "1979-05-27", "07:32:00", "1979-05-27T07:32:00Z"),
    *("0x" + "f" * 5000, "9" * 5000, "1_0", "0o17", "[" * 3000 + "]" * 3000, "{ a = " * 3000, '"\\ud800"', '"\\x1b"'),
    *('"http://127.0.0.1:1/v1"', '"https://[::1"', '"http://é"', '"127.0.0.1:1"', '":0"', '"\\u202e\\u001b[2J"'),
)

NAMES = (*KEYS, "endpoints", *ENDPOINT_KEYS, "x", '"\\u001b[2J"', '""', "a.b.c", "'é'")

HEADERS = (
    "[endpoints.a]",
    "[endpoints.b]",
    "[endpoints]",
    "[[endpoints]]",
    "[model]",
    '[endpoints."\\u001b]0;t\\u0007"]',
)

LINE = st.builds("{} = {}".format, one_of(NAMES), one_of(WORDS)) | st.sampled_from(HEADERS)

FILES = st.lists(LINE | st.text(max_size=8), max_size=8).map(lambda lines: "\n".join(lines).encode("utf-8", "replace"))

ENDPOINT = st.lists(
    st.builds("{} = {}".format, st.sampled_from(tuple(ENDPOINT_KEYS)), one_of(WORDS)), max_size=4, unique=True
).map(lambda lines: "\n".join(['[endpoints.a]\nbase_url = "http://a/v1"', *lines]).encode())

PARTS = st.sampled_from(
    ("[", "{a=", "a.", '"', "[[a]]\n", "[a]\n", "a=[", "\n", "# x\n", "9", "\\", "'''", "x=1\n", "é", "[a.", "a={")
)


def fuzz(run: Run, tally: Tally, count: int) -> None:
    """All of it."""
    with run.case(tally, -1) as chance, ground(chance) as here:
        here.home.make()
        looks: list[Look[Any]] = [
            Look(
                broken(FILES | ENDPOINT | st.sampled_from(SECRETS).map(str.encode)), lambda file: _read(here.home, file)
            ),
            Look(st.sampled_from(SECRETS), lambda file: _keeps(here.home, file), len(SECRETS)),
            Look(
                st.builds(Pumped, st.sampled_from(("", "a = ", "[a]\n")), PARTS, st.sampled_from(("", "]", '"'))),
                lambda pumped: _read(here.home, pumped.of(HUGE).encode()),
                5,
            ),
            Look(broken(FILES | ENDPOINT), lambda file: _command(here, file), 2),
        ]
        search(run, tally, looks)


def _read(home: Home, file: bytes) -> str:
    """What the settings, or what uses them, say against a file; nothing if it is right."""
    with open(home.config, "wb") as config:
        config.write(file)
    try:
        _use(home)
    except ConfigurationError as error:
        said = str(error)
    else:
        return ""
    _check_short(said)
    return said


def _use(home: Home) -> None:
    """As the daemon and the commands do."""
    settings = load(home)
    if settings.listen is not None:
        address_of(settings.listen)
    OwnAddresses("127.0.0.1", settings)
    for each in settings.endpoints.values():
        upstream = Upstream(each.base_url, headers=each.headers, query=each.query, key_header=each.key_header)
        upstream.url(COMPLETIONS)
        upstream.all_headers()
        _ = upstream.host, upstream.local, upstream.address, upstream.proxy, each.limits(settings)


def _check_short(said: str) -> None:
    if len(said.splitlines()) > LINES or len(said) > CHARACTERS:
        raise Wrong("an error that nobody reads", f"{len(said)} characters: {said[:200]!r}")


def _keeps(home: Home, file: str) -> None:
    said = _read(home, file.encode())
    if SECRET in said:
        raise Wrong("an error repeats a secret", said)


def _command(here: Ground, file: bytes) -> None:
    """The same of a process, which may not be a fault's either."""
    with open(here.home.config, "wb") as config:
        config.write(file)
    asked = here.ask("create", "x")
    said, code = asked.said, asked.process.returncode
    if "Traceback" in said or code not in (0, 2, 4):
        raise Wrong("the command fails", f"exit {code}: {said[-500:]}")
    if any(character < " " and character != "\n" for character in said):
        raise Wrong("the command prints controls", said)
    _check_short(said.replace(os.linesep + "  ", " "))
