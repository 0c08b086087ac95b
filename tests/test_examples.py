"""The programs in `ptstream/examples` run. The apps have tests of their own."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

from tests.conftest import ROOT, Cli, listening
from tests.endpoint import TEXT

EXAMPLES = ROOT / "ptstream" / "examples"

CHAT = (EXAMPLES / "chat.py").read_text("utf-8")

TRIED_ELSEWHERE = {"__init__", "chat", "workers"}


def run(name: str, environment: dict[str, str], *words: str) -> str:
    """What the example prints."""
    line = [sys.executable, "-m", f"ptstream.examples.{name}", *words]
    return subprocess.run(line, capture_output=True, env=environment, check=True).stdout.decode()


def test_library(cli: Cli) -> None:
    for _ in range(2):
        printed = run("library", cli.environment)
        assert printed.startswith("Hi there! You said: hello. You said: hello. Hi there! I began at byte 10. ")
        assert printed.endswith("A loop that you have already.")
    assert [json.loads(line)["status"] for line in cli.out("ls", "--json").splitlines()] == ["done"] * 4


def test_openai_client(endpoint: str) -> None:
    with listening(f'model = "mine/ok"\n[endpoints.mine]\nbase_url = "{endpoint}"') as face:
        path = f"{Path(sys.executable).parent}:{face.cli.environment['PATH']}"
        environment = face.cli.environment | {"PATH": path, "PTSTREAM_URL": face.url}
        for _ in range(2):
            printed = run("openai_client", environment, "Why?")
            found = re.fullmatch(r"kept as (\w+)\n(.*)", printed, re.S)
            assert found
            assert (found[2], face.cli.out("cat", found[1])) == (TEXT, TEXT)


def test_the_chat_can_be_named_to_uvicorn() -> None:
    from ptstream.examples.chat import app

    assert "/chat-stream/{id}" in {getattr(route, "path", None) for route in app.routes}


def test_each_example_is_tried() -> None:
    tried = set(re.findall(r"^def test_(\w+)", Path(__file__).read_text("utf-8"), re.M))
    assert {path.stem for path in EXAMPLES.glob("*.py")} - TRIED_ELSEWHERE <= tried
