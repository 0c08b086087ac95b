"""What a stream can be called, and what becomes of what older ones are called."""

from __future__ import annotations

import fcntl
import json
import re
import shlex
import socket
import subprocess
import sys
import termios
import unicodedata
from collections.abc import Callable
from pathlib import Path

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

import ptstream
from ptstream import wire
from ptstream.engine.sqlite.store import Store
from ptstream.errors import StreamNotFound, UsageError
from ptstream.names import as_name, is_name, references, shown
from tests.conftest import Cli, ended, listening, needs, sqlite_itself, together, told, until
from tests.test_completion import HOSTILE, UNSEEN, plant

GOOD = [
    *("build", "Build-2", "a.b_c:d+e", "7", "_x", ".hidden", "+1", "größe", "Việt", "сборка", "ελληνικά", "日本語ー"),
    *(
        "한국어",
        "עברית",
        "עִבְרִית",
        "العَرَبِيَّة",
        "हिन्दी",
        "தமிழ்",
        "ไทยที่นี่",
        "བསྒྲུབས",
        "ខ្មែរ",
        "မြန်မာ",
        "አማርኛ",
        "۴۲",
        "ｆｕｌｌ",
    ),
    *("می\u200cخواهم", "ශ්\u200dරී", "क्\u200dष", "क्\u200cष"),
]

BAD = [
    *(
        "",
        "-x",
        "--force",
        ".",
        "..",
        "_",
        ":",
        "a b",
        "a\tb",
        "a\nb",
        "a/b",
        "a@b",
        "@last",
        "~a",
        "a=b",
        "a,b",
        "x" * 201,
    ),
    *(f"a{sign}b" for sign in "!\"#$%&'()*;<>?[\\]^`{|}~"),
    *("a\xa0b", "a\u3000b", "a\u2028b", "a\u200bb", "a\u2060b", "a\xadb", "\ufeffa", "a\ufeff", "a\u180eb", "a\u034fb"),
    *(
        "a\u200eb",
        "a\u200fb",
        "a\u061cb",
        "a\u202eb\u202c",
        "a\u2066b\u2069",
        "a\U000e0041b",
        "a\x1b[31m",
        "a\x7f",
        "a\x9b",
    ),
    *(
        "a\u200db",
        "a\u200cb",
        "\u200ca",
        "ب\u200c",
        "ا\u200cب",
        "a\u3164",
        "\uffa0",
        "\u115fa",
        "a\u17b4",
        "a\ufe0f",
        "一\U000e0100",
    ),
    *(
        "\u0301",
        "\u0301a",
        "a-\u0301",
        "😀",
        "a→b",
        "½",
        "x²",
        "Ⅷ",
        "①",
        "1\ufe0f\u20e3",
        "a…",
        "“a”",
        "a．b",
        "\ue000",
        "\ud800",
        "\uffff",
    ),
]


@pytest.mark.parametrize("name", GOOD)
def test_letters_and_digits_of_every_script_are_a_name(name: str) -> None:
    assert as_name(name) == unicodedata.normalize("NFC", name) == as_name(unicodedata.normalize("NFD", name))
    assert references(name)[0] == shown(name) == name


@pytest.mark.parametrize("name", BAD)
def test_nothing_else_is(name: str) -> None:
    assert not is_name(name)
    with pytest.raises(UsageError) as refusal:
        as_name(name)
    assert str(refusal.value).isprintable()


@given(st.text())
def test_a_name_is_seen_whole_and_is_one_word_to_every_shell(text: str) -> None:
    try:
        name = as_name(text)
    except UsageError:
        return
    assert as_name(name) == name
    assert re.fullmatch(r"[\w\u200c\u200d.:+-]+", "".join(c for c in name if not unicodedata.combining(c))) or any(
        unicodedata.category(c) == "Mc" for c in name
    )
    assert not re.search(r"[\x00-*,/;-@\[-^`{-\x9f]", name)


@pytest.mark.parametrize("shell", [pytest.param(name, marks=needs(name)) for name in ("bash", "zsh", "fish")])
def test_what_is_shown_of_any_name_is_that_word_to_a_shell(shell: str) -> None:
    names = [*GOOD, *HOSTILE, *(UNSEEN if shell != "fish" else [])]
    if shell == "fish":  # in its quotes, two backslashes are one: no name of these has two
        names = [name for name in names if not name.endswith("\\")]
    script = "".join(f"printf '%s\\0' {shown(name)}\n" for name in names)
    line = {"bash": ["bash"], "zsh": ["zsh", "-f"], "fish": ["fish", "--no-config"]}[shell]
    done = subprocess.run(line, input=script.encode(), capture_output=True, check=True, env={"LC_ALL": "C.UTF-8"})
    assert done.stdout.decode().split("\0")[:-1] == names


# --- where names come in


def test_on_the_command_line(cli: Cli) -> None:
    lines = (("create", "--name", "$(id)", "x"), ("drive", "--name", "a;b", "--", "echo", "x"))
    for _, done in together(cli, lines, code=2):
        assert b"cannot be a name" in done.stderr
    done = cli.run("tee", "--name", "a`b", input="passed on", code=2)
    assert done.stdout == b"passed on"
    assert cli.out("ls") == ""


def test_over_http() -> None:
    with listening() as face:
        for name in ("report$(cd${IFS}${HOME};touch${IFS}RAN)", "a\u202eb", "-f", "x" * 201, "", "\u3164"):
            answer = face.http.post(wire.STREAMS, json={"prompt": "x", "name": name})
            assert (answer.status_code, answer.json()["error"]["code"]) == (400, "usage"), name
        answer = face.http.post(wire.STREAMS, json={"prompt": "x", "name": "cafe\u0301"})
        assert (answer.status_code, answer.json()["name"]) == (201, "café")
        for word in ("café", "cafe\u0301"):
            assert face.http.get(wire.STREAM.format(id=word)).json()["id"] == answer.json()["id"]
        with httpx.Client(transport=httpx.HTTPTransport(uds=face.cli.home.socket), base_url=wire.BASE_URL) as socket:
            assert socket.post(wire.STREAMS, json={"prompt": "x", "name": "$(id)"}).status_code == 400


@pytest.mark.anyio
async def test_in_the_library(place: str) -> None:
    async with ptstream.open(place) as pts:
        with pytest.raises(UsageError):
            await pts.create(name="$(id)")
        assert (await pts.stream(await pts.create(name="cafe\u0301"))).name == "café"
        assert [stream.name for stream in await pts.streams()] == ["café"]
    with pytest.raises(UsageError):
        next(iter(ptstream.persist(iter("never pulled"), name="a b", path=place)))


# --- what is there already


@sqlite_itself
def test_an_older_name_is_shown_quoted_and_means_its_stream(cli: Cli) -> None:
    plant(cli.home, HOSTILE)
    listed = [line.split("\t") for line in cli.out("ls").splitlines()]
    assert [row[4] for row in reversed(listed)] == [shown(name) for name in HOSTILE]
    assert [json.loads(line)["name"] for line in reversed(cli.out("ls", "--json").splitlines())] == HOSTILE
    with Store(cli.home) as store:
        assert [store.find(name).name for name in HOSTILE] == HOSTILE
    fields = cli.out("show", HOSTILE[0])
    assert shlex.split(re.search(r"^name +(.*)$", fields, re.MULTILINE)[1]) == [HOSTILE[0]]  # type: ignore[index]
    for name in HOSTILE:
        cli.run("rm", name)
    assert cli.out("ls") == ""


@sqlite_itself
def test_a_name_that_cannot_be_typed_is_shown_by_what_it_is_made_of(cli: Cli) -> None:
    plant(cli.home, UNSEEN)
    rows = [line.split("\t") for line in cli.out("ls").splitlines()]
    assert [row[4] for row in reversed(rows)] == [shown(name) for name in UNSEEN]
    assert all(row[4].isprintable() for row in rows)
    cli.run("rm", *(row[0] for row in rows))


@sqlite_itself
def test_an_older_name_in_another_normal_form_is_found(cli: Cli) -> None:
    plant(cli.home, ["cafe\u0301"])
    with Store(cli.home) as store:
        assert store.find("cafe\u0301").name == "cafe\u0301"
        made = store.create(name="cafe\u0301").id
        assert store.find("café").id == made
        with pytest.raises(StreamNotFound):
            store.find("cafe")


def test_a_plain_name_needs_no_tables() -> None:
    program = (
        "import sys; from ptstream.names import as_name, references, shown\n"
        "as_name('build-7'); references('7h2k'); shown('build')\n"
        "assert not {'unicodedata', 'idna', 'shlex'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", program], check=True)


# --- a name, or @last, means one stream, from when it was said


def test_over_http_the_stream_that_is_checked_is_driven(endpoint: str) -> None:
    """Its body comes late; by then the last stream is another one, which may not be driven from there."""
    with listening(f'[endpoints.mine]\nbase_url = "{endpoint}"') as face:
        id = face.http.post(wire.STREAMS, json={"prompt": "x", "model": "mine/ok"}).json()["id"]
        path = wire.DRIVE.format(id="@last")
        head = f"POST {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer {face.token}\r\n"
        with socket.create_connection(("127.0.0.1", face.port)) as line:
            line.sendall(f"{head}Content-Length: 2\r\nExpect: 100-continue\r\n\r\n".encode())
            assert line.recv(100).startswith(b"HTTP/1.1 100")  # the body is waited for: the path has been read
            made = face.cli.run("create", "x", "--model", "replay:/dev/null").stdout.decode().strip()
            line.sendall(b"{}")
            answer = httpx.Response(200, content=_body(line)).json()
        assert (answer["id"], answer["attached"]) == (id, False)
        assert told(face.cli, made)["status"] == "pending"
        assert face.http.post(wire.DRIVE.format(id="@last"), json={}).status_code == 403


def _body(line: socket.socket) -> bytes:
    data = b""
    while b"}" not in data:
        data += line.recv(65536)
    return data.partition(b"\r\n\r\n")[2]


def test_a_drive_goes_on_from_what_was_the_last_stream_when_it_began(cli: Cli, folder: Path) -> None:
    (folder / "text").write_text("Said.")
    model = f"replay:{folder}/text?rate=0"
    cli.run("drive", "-m", model, "-p", "one", "--name", "one")
    with cli.started("drive", "--from", "@last", "-m", model, "-p", "two", stdin=subprocess.PIPE) as driver:
        late_question(driver, lambda: cli.run("drive", "-m", model, "-p", "other"))
        assert ended(driver) == 0
    assert told(cli, "@last")["parent"] == told(cli, "one")["id"]


def late_question(driver: subprocess.Popen[bytes], meanwhile: Callable[[], object]) -> None:
    """Give a driver its standard input, and do something before its end."""
    stdin = driver.stdin
    assert stdin is not None
    stdin.write(b"asked slowly")
    stdin.flush()
    waiting = bytearray(4)
    until(lambda: fcntl.ioctl(stdin, termios.FIONREAD, waiting) == 0 and not any(waiting))
    meanwhile()
    stdin.close()
