"""Which model is asked when none is named: the one that the user set, else one that is there.

Set by `PTSTREAM_MODEL`, the config file, or OpenAI's own variables; there: a running Ollama's, or the embedded one.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from ptstream.errors import ForeignListener, NoModel
from ptstream.generators.llamacpp import embedded
from ptstream.generators.models.chat_capability import can_chat
from ptstream.generators.models.endpoints import Endpoints, in_time

INSTALL = "pip install 'ptstream[local]', then ptstream models pull; or a running Ollama"

NO_MODEL = """\
no model was named and none was found. One of these helps:
  a model on this machine:  {here}
  a model elsewhere:        set OPENAI_API_KEY (and OPENAI_BASE_URL), or an endpoint in {config}
  no model at all:          ptstream drive -- COMMAND streams any program's output"""


class Offer(NamedTuple):
    """What an endpoint of this machine offers that nobody has named, or why it was not asked."""

    rows: Sequence[Mapping[str, Any]] = ()
    problem: str | None = None


async def default(endpoints: Endpoints) -> tuple[str, str]:
    """The name of the model to ask when none is named, and how it was found. Raises NoModel."""
    return chosen(endpoints) or available(endpoints, await ollama(endpoints))


def chosen(endpoints: Endpoints) -> tuple[str, str] | None:
    """The default that the user set and where, None without one."""
    environment = endpoints.caller.environment
    if environment.get("PTSTREAM_MODEL"):
        return environment["PTSTREAM_MODEL"], "PTSTREAM_MODEL"
    if endpoints.settings.model:
        return endpoints.settings.model, endpoints.home.config
    for variable in ("OPENAI_BASE_URL", "OPENAI_API_KEY"):
        if environment.get(variable):
            return "openai", variable
    return None


def available(endpoints: Endpoints, offer: Offer) -> tuple[str, str]:
    """The default that is there without being set, and how it was found; `offer` is Ollama's. Raises NoModel."""
    for row in filter(can_chat, offer.rows):
        return f"ollama/{row['id']}", "a running Ollama"
    problem = embedded.problem()
    if problem is None and embedded.find(endpoints.home):
        return embedded.NAME, "the embedded model"
    # What keeps llama.cpp from running although it was installed, or could not be.
    here = problem if problem not in (None, embedded.NOT_INSTALLED) else INSTALL
    unasked = f"\n  not asked:                {offer.problem}" if offer.problem else ""
    raise NoModel(NO_MODEL.format(here=here, config=endpoints.home.config) + unasked)


async def ollama(endpoints: Endpoints) -> Offer:
    """What a running Ollama says of the models that run on its machine; nothing if there is no Ollama."""
    try:
        table: Any = await in_time(_tags(endpoints))
        here = (row for row in table["models"] if row["name"] and not row.get("remote_host"))
        return Offer([{**row, "id": str(row["name"])} for row in here])
    except ForeignListener as error:
        return Offer(problem=str(error))
    except (TypeError, KeyError, AttributeError):
        return Offer()


async def _tags(endpoints: Endpoints) -> Any:
    from ptstream.generators.openai.http_client import get_json  # httpx: only for who asks

    upstream = endpoints.upstream(endpoints.known["ollama"])
    return await get_json(upstream, upstream.base_url.removesuffix("/").removesuffix("/v1") + "/api/tags")
