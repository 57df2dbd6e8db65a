"""OLMoE: Llama with a norm over the queries and one over the keys of all heads, and a mixture of
experts in the place of every MLP."""

from __future__ import annotations

from typing import Any

from circuitgraph.base.errors import InputError
from circuitgraph.engine.families.common import Reader
from circuitgraph.engine.model import Model


def read(hf: Any) -> Model:
    """Records over the weights of a Hugging Face ``OlmoeForCausalLM``.

    Raises
    ------
    InputError
        A model that clips queries, keys and values.
    """
    if hf.config.clip_qkv is not None:
        raise InputError(
            f"{hf.name_or_path}: clip_qkv is {hf.config.clip_qkv}: a model that clips its queries, "
            "keys and values is not read; only OLMoE models without clip_qkv can be measured"
        )
    return Reader().read(hf)
