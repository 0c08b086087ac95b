"""The family of errors: where each is defined, and which one a code stands for."""

from __future__ import annotations

import importlib
import inspect
import pkgutil

import pytest

from ptstream import errors, generators
from ptstream.errors import GeneratorError, PtstreamError, error_named, every_error


def test_a_code_stands_for_the_first_that_has_it() -> None:
    """Whatever modules are loaded: its children are told apart inside a process only."""
    assert type(error_named("generator", "why")) is GeneratorError
    for kind in every_error():
        assert isinstance(error_named(kind.code, "why"), PtstreamError)


def test_no_generator_has_errors_of_its_own() -> None:
    for module in pkgutil.walk_packages(generators.__path__, f"{generators.__name__}."):
        for name, kind in inspect.getmembers(importlib.import_module(module.name), inspect.isclass):
            if issubclass(kind, PtstreamError):
                assert kind.__module__ == errors.__name__, f"{module.name}.{name}"


@pytest.mark.parametrize("kind", [*every_error()])
def test_each_is_made_of_a_message(kind: type[PtstreamError]) -> None:
    assert str(kind("why")) == "why"
