"""Which models an endpoint says it has."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ptstream.errors import GeneratorError
from ptstream.generators.openai.http_client import get_json
from ptstream.generators.openai.upstream import Upstream


async def models(upstream: Upstream) -> list[Mapping[str, Any]]:
    """What the endpoint says of each of its models, in its own order, each with an `id`. Raises GeneratorError."""
    table = await get_json(upstream, upstream.url("models"))
    rows = (table.get("data") or table.get("models") or ()) if isinstance(table, dict) else table
    try:
        return [{**row, "id": str(row.get("id") or row.get("name") or row["model"])} for row in rows]
    except (TypeError, KeyError, AttributeError) as error:
        raise GeneratorError(f"{upstream.host} does not say which models it has") from error
