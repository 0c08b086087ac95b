"""The daemon's HTTP is what its OpenAPI document says: schemathesis finds no fault in it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from schemathesis import Case, GenerationMode
from schemathesis.specs.openapi.checks import negative_data_rejection

from ptstream import wire
from ptstream.daemon import openapi
from ptstream.settings import Home
from tests.conftest import LIMIT, Cli, stop_daemon


@pytest.fixture(scope="module")
def document(tmp_path_factory: pytest.TempPathFactory, endpoint: str) -> Iterator[Any]:
    """The document, and the daemon that gave it, with a token and some streams."""
    cli = Cli(Home(str(tmp_path_factory.mktemp("openapi") / "home")))
    cli.home.make()
    words = f'model = "mine/ok"\nlisten = "127.0.0.1:0"\n[endpoints.mine]\nbase_url = "{endpoint}"\n'
    Path(cli.home.config).write_text(words)
    cli.run("drive", "--name", "done", "-p", "x")
    before = json.loads(cli.out("daemon", "status", "--json"))
    token = cli.out("daemon", "token").strip()
    schema = schemathesis.openapi.from_url(before["listen"] + wire.OPENAPI, timeout=LIMIT)
    schema.config.update(headers={"Authorization": f"Bearer {token}"}, request_timeout=LIMIT)
    yield schema
    assert json.loads(cli.out("daemon", "status", "--json"))["pid"] == before["pid"]
    assert "Traceback" not in Path(cli.home.log).read_text()
    stop_daemon(cli.home)


OPERATIONS = [
    (path, method)
    for path, operations in openapi.document()["paths"].items()
    for method in operations
    if method != "parameters"
]


@pytest.mark.parametrize("mode", GenerationMode)
@pytest.mark.parametrize(("path", "method"), OPERATIONS)
def test_it_is_what_its_document_says(document: Any, path: str, method: str, mode: GenerationMode) -> None:
    operation = document[path][method.upper()]
    if mode is GenerationMode.NEGATIVE and not (operation.query or operation.body):
        return  # nothing of it could be wrong

    @given(operation.as_strategy(generation_mode=mode))
    @settings(max_examples=25, deadline=None, print_blob=True, suppress_health_check=list(HealthCheck))
    def run(case: Case) -> None:
        positive = mode is GenerationMode.POSITIVE
        if "id" in case.path_parameters and (positive or case.path_parameters["id"] == "@last"):
            # Otherwise hardly one would exist, or it might not end.
            case.path_parameters["id"] = "done" if method != "delete" else "gone"
        excluded = [negative_data_rejection] if path == wire.TEXT else []  # it takes any parameters
        case.call_and_validate(excluded_checks=excluded)

    run()
