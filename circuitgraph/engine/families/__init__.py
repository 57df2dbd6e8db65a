"""Readers of model families: one file and one line here each."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from circuitgraph.base.errors import InputError, UsageError
from circuitgraph.engine.families import (
    gemma,
    gemma2,
    gemma3,
    gpt2,
    gpt_neox,
    granite,
    llama,
    mistral,
    mixtral,
    olmo2,
    olmoe,
    phi3,
    qwen2,
    qwen3,
    qwen3_moe,
    seed_oss,
    smollm3,
)
from circuitgraph.engine.interface import Engine
from circuitgraph.engine.native import NativeModel

FAMILIES = {
    "gpt2": gpt2.read,
    "llama": llama.read,
    "qwen2": qwen2.read,
    "qwen3": qwen3.read,
    "gemma2": gemma2.read,
    "gemma": gemma.read,
    "gemma3_text": gemma3.read,
    "mistral": mistral.read,
    "seed_oss": seed_oss.read,
    "olmo2": olmo2.read,
    "olmo3": olmo2.read,
    "phi3": phi3.read,
    "smollm3": smollm3.read,
    "granite": granite.read,
    "mixtral": mixtral.read,
    "olmoe": olmoe.read,
    "qwen3_moe": qwen3_moe.read,
    "gpt_neox": gpt_neox.read,
}


MIXTURES = frozenset({"mixtral", "olmoe", "qwen3_moe"})
"""Families whose readers find experts in the place of MLPs."""


def has_reader(family: str) -> bool:
    """Whether our engine reads models of this ``model_type``."""
    return family in FAMILIES


def require_reader(family: str, command: str) -> None:
    """Refuse (UsageError), before anything is loaded, families without a reader."""
    if not has_reader(family):
        known = ", ".join(sorted(FAMILIES))
        raise UsageError(
            f"{command}: model type {family!r} has no reader of ours, and hooks on "
            "TransformerBridge serve ingest, diff, nodes, steer, transplant and levels only; "
            f"{command} takes {known}"
        )


def require_one_mlp(family: str, command: str) -> None:
    """Refuse (UsageError), before anything is loaded, mixtures of experts."""
    if family in MIXTURES:
        raise UsageError(
            f"{command}: {family!r} is a mixture of experts, which has no one matrix to read or "
            "write with; of such models effects, activities, circuits and patches are measured"
        )


def read_model(hf: Any, tokenizer: Any, folder: str, probe: Tensor) -> Engine:
    """Our own model where the family has a reader, else the library's under hooks.

    Parameters
    ----------
    hf : Any
        The library's model, float32, adapters merged.
    folder : str
        Where it was loaded from.
    probe : int [1, T]
        A prompt, to find how blocks are connected.

    Raises
    ------
    InputError
        A family that neither can measure.
    """
    from circuitgraph.engine.bridge.boot import boot  # which reads families.common

    if has_reader(hf.config.model_type):
        return from_hf(hf)
    return boot(hf, tokenizer, folder, probe)


def from_hf(hf: Any) -> NativeModel:
    """Our records over the weights of a Hugging Face causal language model.

    ``hf`` is float32, adapters merged; ``InputError`` for a family without a reader.
    """
    family = hf.config.model_type
    if family not in FAMILIES:
        known = ", ".join(sorted(FAMILIES))
        raise InputError(
            f"{hf.name_or_path}: model type {family!r} is not supported; known families: {known}"
        )
    return NativeModel(**vars(FAMILIES[family](hf)))
