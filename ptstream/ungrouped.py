"""Around a task group: where one task has failed alone, its exception is raised as it is, not in a group."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator


@contextlib.contextmanager
def ungrouped() -> Iterator[None]:
    """Around a task group: a group that holds one exception alone is raised as that exception."""
    try:
        yield
    except BaseExceptionGroup as group:
        inner: BaseException = group
        while isinstance(inner, BaseExceptionGroup) and len(inner.exceptions) == 1:
            inner = inner.exceptions[0]
        if inner is group:
            raise
        raise inner from inner.__cause__
