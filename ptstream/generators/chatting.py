"""Which of the models that an endpoint lists answer in text: only such a one is ever asked without being named."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

OTHERS = re.compile(
    r"embed|rerank|minilm|whisper|moderation|dall-?e|stable-diffusion|transcri|text-to-|speech|diffusion|colbert"
    r"|(?:^|[^a-z])(?:bge|e5|gte|tts|stt|asr|clip|vae|imagen|sdxl|flux|sora|veo|realtime|reward|davinci|babbage)"
    r"(?:[^a-z]|$)|(?:^|[^a-z])[a-z]*bert(?:[^a-z]|$)",
    re.IGNORECASE,
)
"""Names of models that do something else: embeddings, order, speech, pictures."""

KINDS = ("embed", "rerank", "image", "audio", "speech", "transcri", "moderation", "tts", "classif", "score", "video")
"""What an endpoint calls other kinds of models, or their tasks; the beginning of it."""


def chats(row: Mapping[str, Any]) -> bool:
    """Whether a model, as its endpoint lists it, can be chatted with: by what is said of it, else by its name."""
    told = [fact for fact in (_by_capabilities(row), _by_modality(row), _by_kind(row)) if fact is not None]
    return all(told) if told else not any(map(OTHERS.search, _names(row)))


def _names(row: Mapping[str, Any]) -> list[str]:
    details = row.get("details")
    details = details if isinstance(details, Mapping) else {}
    families = details.get("families")
    names = (row.get("id"), row.get("name"), details.get("family"), *(families if isinstance(families, list) else ()))
    return [name for name in names if isinstance(name, str)]


def _by_capabilities(row: Mapping[str, Any]) -> bool | None:
    """Ollama's is a list, Mistral's a table."""
    capabilities = row.get("capabilities")
    if isinstance(capabilities, list) and capabilities:
        return bool({"completion", "chat", "chat_completion"} & set(map(str, capabilities)))
    if isinstance(capabilities, Mapping) and "completion_chat" in capabilities:
        return bool(capabilities["completion_chat"])
    return None


def _by_modality(row: Mapping[str, Any]) -> bool | None:
    """OpenRouter's."""
    architecture = row.get("architecture")
    outputs = architecture.get("output_modalities") if isinstance(architecture, Mapping) else None
    return "text" in outputs if isinstance(outputs, list) else None


def _by_kind(row: Mapping[str, Any]) -> bool | None:
    """LM Studio's and Together's `type`, others' `task`: one that is not known says nothing."""
    kinds = [value.lower() for name in ("type", "task", "model_type") if isinstance(value := row.get(name), str)]
    return False if any(kind.startswith(KINDS) for kind in kinds) else None
