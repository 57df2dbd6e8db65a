"""One file a model family; adding a family is adding a file and a line here."""

from __future__ import annotations

from typing import Any

from circuitgraph.base.errors import InputError
from circuitgraph.engine.families import gemma, gemma2, gpt2, llama, mistral, qwen2, qwen3, seed_oss
from circuitgraph.engine.model import Model

FAMILIES = {
    "gpt2": gpt2.read,
    "llama": llama.read,
    "qwen2": qwen2.read,
    "qwen3": qwen3.read,
    "gemma2": gemma2.read,
    "gemma": gemma.read,
    "mistral": mistral.read,
    "seed_oss": seed_oss.read,
}


def from_hf(hf: Any) -> Model:
    """Our records over the weights of a Hugging Face causal language model.

    Args:
        hf: the model, float32, adapters merged.

    Raises:
        InputError: a family without a reader.
    """
    family = hf.config.model_type
    if family not in FAMILIES:
        known = ", ".join(sorted(FAMILIES))
        raise InputError(
            f"{hf.name_or_path}: model type {family!r} is not supported; known families: {known}"
        )
    return FAMILIES[family](hf)
