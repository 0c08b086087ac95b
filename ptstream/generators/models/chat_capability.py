"""Which of the models that an endpoint lists answer in text: only such a one is ever asked without being named."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

OTHERS = re.compile(
    r"embed|rerank|minilm|mpnet|whisper|moderation|dall-?e|transcri|text-to-(?!sql)|speech|diffusion|colbert|wav2vec"
    r"|(?:^|[^a-z])(?:bge|e5|gte|m3e|voyage|rtrvr|paraphrase|[a-z]*bert|x?tts|stt|asr|kokoro|orpheus|parakeet|clip|vae"
    r"|images?|imagen|titan-image|canvas|sdxl|sd[0-9]*|flux|sora|veo|kling|cogview|cogvideox?|t2v|i2v|t2i|realtime|reward"
    r"|davinci|babbage|aqa|guard|turbo-instruct)(?:[^a-z]|$)",
    re.IGNORECASE,
)
"""Names of models that do something else: embeddings, order, speech, pictures, verdicts, mere completions."""

OTHER_KINDS = re.compile(
    r"embed|rerank|image(?!-text)|audio|speech|transcri|moderation|tts|asr|classif|score|video|feature-extraction"
    r"|similarity",
    re.IGNORECASE,
)
"""What an endpoint calls other kinds of models, or their tasks."""

KINDS = ("type", "task", "pipeline_tag", "model_type", "mode")

CHAT = ("chat_completion", "completion_chat", "chat", "completion", "supports_chat")
"""What an endpoint calls the ability."""


def can_chat(row: Mapping[str, Any]) -> bool:
    """Whether a model, as its endpoint lists it, can be chatted with: by what is said of it, else by its name."""
    facts = [fact for fact in (_by_capabilities(row), _by_modality(row), _by_kind(row)) if fact is not None]
    return all(facts) if facts else not any(map(OTHERS.search, _names(row)))


def _names(row: Mapping[str, Any]) -> list[str]:
    """Of Ollama's families that of the text: what reads pictures has one for them, too."""
    details = row.get("details")
    family = details.get("family") if isinstance(details, Mapping) else None
    return [name for name in (row.get("id"), row.get("name"), family) if isinstance(name, str)]


def _by_capabilities(row: Mapping[str, Any]) -> bool | None:
    """Ollama's and Cohere's are lists, Mistral's and Azure's tables, Fireworks' is a flag."""
    if isinstance(row.get("supports_chat"), bool):
        return bool(row["supports_chat"])
    for name in ("capabilities", "endpoints"):
        said = row.get(name)
        if isinstance(said, list) and said:
            return any(word in CHAT for word in map(str, said))
        if isinstance(said, Mapping) and (flags := [said[word] for word in CHAT if word in said]):
            return bool(flags[0])
    return None


def _by_modality(row: Mapping[str, Any]) -> bool | None:
    """OpenRouter's."""
    architecture = row.get("architecture")
    table = architecture if isinstance(architecture, Mapping) else row
    outputs = table.get("output_modalities") or str(table.get("modality", "")).rpartition("->")[2].split("+")
    return "text" in outputs if isinstance(outputs, list) and any(outputs) else None


def _by_kind(row: Mapping[str, Any]) -> bool | None:
    """LM Studio's, Together's and others' word for it: one that is not known says nothing."""
    kinds = [value for name in KINDS if isinstance(value := row.get(name), str)]
    return False if any(map(OTHER_KINDS.search, kinds)) else None
