"""Architectures in ``config.json``, and why some are not measured."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

from circuitgraph.base.errors import InputError, quoted
from circuitgraph.models.multimodal import is_part

BOTH_WAYS = ("xlnet", "xlm", "flaubert")
"""Language models with a name of decoders whose positions see what comes after them."""
PARTS = ("vision_config", "audio_config", "thinker_config")
HEADS = re.compile(
    r"For(MaskedLM|\w*Classification|QuestionAnswering|PreTraining|NextSentencePrediction"
    r"|MultipleChoice|SpeechSeq2Seq|CTC|Reward\w*)|EncoderModel|RewardModel"
)


def require_decoder(folder: Path) -> None:
    """Refuse, before any weight is read, what is no causal language model.

    Raises
    ------
    InputError
        An encoder, an encoder and decoder, another head, several modalities.
    """
    config = settings_in(folder)
    told = config.get("architectures")
    names = ", ".join(map(str, told)) if isinstance(told, list) else ""
    why = _why_not(config, names)
    if why:
        raise InputError(f"{folder}: {quoted(names or str(config.get('model_type')), 80)}: {why}")


def settings_in(folder: Path) -> dict[str, Any]:
    """The settings; none where there are none: loading then names the reason."""
    try:
        config = json.loads((folder / "config.json").read_text("utf-8"))
    except (OSError, ValueError, RecursionError):
        return {}
    return config if isinstance(config, dict) else {}


def _why_not(config: dict[str, Any], names: str) -> str:
    if is_part(config):
        return ""
    if any(isinstance(config.get(part), dict) for part in PARTS):
        return (
            "a model of several modalities; only its language model can be measured: save that "
            "as a folder of its own (the weights of model.language_model and lm_head in "
            "AutoModelForCausalLM.from_config(config.text_config), with the tokenizer)"
        )
    if config.get("is_encoder_decoder") or "ForConditionalGeneration" in names:
        return "an encoder with a decoder; only decoders of one stream can be measured"
    if config.get("model_type") in BOTH_WAYS:
        return "its positions see later ones; only causal decoders can be measured"
    if HEADS.search(names) and "ForCausalLM" not in names and "LMHead" not in names:
        return (
            "it does not predict the next token; only causal language models can be measured "
            "(give the folder that has the language model's head)"
        )
    return ""


def sizes_of(config: Any, folder: str | Path) -> tuple[int, int, int]:
    """Layers, heads and key/value heads, under each family's names.

    Raises
    ------
    InputError
        No such numbers, or others in every layer.
    """
    layers, heads = (
        getattr(config, name, None) for name in ("num_hidden_layers", "num_attention_heads")
    )
    shared = getattr(config, "num_key_value_heads", None)
    for name, found in (("num_attention_heads", heads), ("num_key_value_heads", shared)):
        if isinstance(found, list | tuple):
            raise InputError(
                f"{folder}: {name} differs from layer to layer; only models whose layers all have "
                "as many heads of one size can be measured"
            )
    if not (isinstance(layers, int) and isinstance(heads, int)):
        raise InputError(
            f"{folder}: model type {config.model_type!r} names no number of layers and attention "
            "heads; only decoders made of attention and MLPs can be measured"
        )
    if shared is None and getattr(config, "new_decoder_architecture", False):  # Falcon's two
        shared = config.num_kv_heads
    elif shared is None and getattr(config, "multi_query", False):
        shared = 1
    return layers, heads, shared or heads


def stale_files(folder: Path) -> list[str]:
    """Remark on weights that lie in a folder twice, only one of which is read."""
    single, index = folder / "model.safetensors", folder / "model.safetensors.index.json"
    if not (single.is_file() and index.is_file()):
        return []
    return [
        f"{folder.name}: holds model.safetensors and the shards of {index.name}: the single file "
        "is read, as the transformers library does; remove what is stale"
    ]
