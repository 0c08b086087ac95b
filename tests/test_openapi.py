"""The daemon's HTTP is what its OpenAPI document says: schemathesis finds no fault in it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ptstream import wire
from ptstream.daemon import openapi
from ptstream.daemon.schemas import REFERENCE_PATTERN
from ptstream.names import is_name
from tests.conftest import LIMIT, listening
from tests.endpoint import TEXT

if TYPE_CHECKING:
    from schemathesis import Case

NAMES = st.from_regex(r"[A-Za-z0-9._:+Ωяあ][A-Za-z0-9._:+Ωяあ-]{0,40}", fullmatch=True).filter(is_name)


@pytest.fixture(scope="module")
def document(endpoint: str) -> Iterator[Any]:
    """The document, and the daemon that gave it, with a token and a stream."""
    import schemathesis  # takes a while: not for those who collect the tests alone

    schemathesis.openapi.format("stream-name", NAMES)
    with listening(f'model = "mine/ok"\n[endpoints.mine]\nbase_url = "{endpoint}"') as face:
        face.cli.run("drive", "--name", "done", "-p", "x")
        pid = face.http.get(wire.STATUS).json()["pid"]
        schema = schemathesis.openapi.from_url(face.url + wire.OPENAPI, timeout=LIMIT)
        schema.config.update(headers=face.headers, request_timeout=LIMIT)
        yield schema
        assert face.http.get(wire.STATUS).json()["pid"] == pid


OPERATIONS = [
    (path, method)
    for path, operations in openapi.document()["paths"].items()
    for method in operations
    if method != "parameters"
]


@pytest.mark.parametrize("mode", ["positive", "negative"])
@pytest.mark.parametrize(("path", "method"), OPERATIONS)
def test_it_is_what_its_document_says(document: Any, path: str, method: str, mode: str) -> None:
    from schemathesis import GenerationMode

    operation = document[path][method.upper()]
    if mode == "negative" and not (operation.query or operation.body):
        return  # nothing of it could be wrong

    @given(operation.as_strategy(generation_mode=GenerationMode(mode)))
    @settings(max_examples=25, deadline=None, print_blob=True, suppress_health_check=list(HealthCheck))
    def run(case: Case[Any]) -> None:
        from schemathesis.specs.openapi.checks import negative_data_rejection, positive_data_acceptance

        positive = mode == "positive"
        if re.fullmatch(REFERENCE_PATTERN, str(case.path_parameters.get("id", ""))):
            # Otherwise hardly one would exist, or it might not end.
            case.path_parameters["id"] = "done" if method != "delete" else "gone"
        excluded: list[Any] = [negative_data_rejection] if path == wire.TEXT else []  # it takes any parameters
        answer = case.call()
        if positive and answer.status_code == 416:
            assert int(case.query["offset"]) > len(TEXT)
            excluded.append(positive_data_acceptance)
        if positive and '"code":"ambiguous"' in answer.text:  # a parent as short as "0", which several ids begin with
            excluded.append(positive_data_acceptance)
        case.validate_response(answer, excluded_checks=excluded)

    run()
