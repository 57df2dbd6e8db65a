"""Architectures in ``config.json``: which are measured, and the text model among modalities.

Quantised weights are dequantised on a CPU where a library can.
"""

from __future__ import annotations

import json
import re
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch
from transformers import AutoConfig

from circuitgraph.base.errors import InputError, first_line, quoted
from circuitgraph.base.textfiles import FLOATS, stored_kinds

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
    config = _config(folder)
    told = config.get("architectures")
    names = ", ".join(map(str, told)) if isinstance(told, list) else ""
    why = _why_not(config, names)
    if why:
        raise InputError(f"{folder}: {quoted(names or str(config.get('model_type')), 80)}: {why}")


def _config(folder: Path) -> dict[str, Any]:
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


LANGUAGE = {"gemma3": "gemma3_text"}
"""Model types of several modalities, and that of the language model inside."""

OTHERS = re.compile(r"(model\.)?(vision_tower|multi_modal_projector)\.")
"""Names of weights that only images meet."""

_NAMES = {
    r"^model\.language_model\.": "model.",
    r"^language_model\.model\.": "model.",
    r"^language_model\.lm_head\.": "lm_head.",
}
"""As the weights of a language model are called where it is a part (today, and earlier)."""


def is_part(config: dict[str, Any]) -> bool:
    """Whether a ``config.json`` is of a model whose language model alone can be loaded."""
    return config.get("model_type") in LANGUAGE and isinstance(config.get("text_config"), dict)


def loading_part(folder: Path) -> dict[str, Any]:
    """Arguments of ``from_pretrained`` for the language model alone; {} where it is all.

    Raises whatever the library raises for a configuration that it cannot read.
    """
    config = json.loads((folder / "config.json").read_text("utf-8"))
    if not is_part(config):
        return {}
    whole = AutoConfig.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
    return {"config": whole.get_text_config(), "key_mapping": _NAMES}


def remark(folder: Path) -> str:
    """The remark where only the language model is loaded."""
    return (
        f"{folder.name}: a model of several modalities; its language model is measured, its "
        "image parts are ignored"
    )


BITSANDBYTES = "bitsandbytes"


def quantisation_of(folder: Path) -> str:
    """Quantisation in ``config.json`` (``bitsandbytes nf4``, ``bitsandbytes int8``, …), or ""."""
    settings = _config(folder).get("quantization_config")
    if not isinstance(settings, dict):
        return ""
    method = str(settings.get("quant_method") or "unnamed")
    if method != BITSANDBYTES:
        return method
    kind = settings.get("bnb_4bit_quant_type") if settings.get("load_in_4bit") else "int8"
    return f"{method} {kind or 'fp4'}"


def require_dequantiser(folder: Path) -> None:
    """Refuse, before any weight is read, what cannot be dequantised.

    Raises
    ------
    InputError
        Another method than bitsandbytes; bitsandbytes is not installed; nothing is packed.
    """
    method = quantisation_of(folder)
    if not method:
        return
    if not method.startswith(BITSANDBYTES):
        raise InputError(
            f"{folder}: its weights are quantised by {quoted(method, 60)}, which is not "
            "dequantised on a CPU; where the model runs: "
            "AutoModelForCausalLM.from_pretrained(…).dequantize().save_pretrained(…), and give "
            "that folder"
        )
    if find_spec(BITSANDBYTES) is None:
        raise InputError(
            f"{folder}: its weights are quantised by {method}; to read them: pip install "
            "'circuitgraph[quantised]'"
        )
    if all(
        kind in FLOATS
        for file in folder.glob("*.safetensors")
        for kind in stored_kinds(file).values()
    ):
        raise InputError(
            f"{folder / 'config.json'}: says quantised by {method}, but the weights beside it are "
            "floating-point numbers; remove quantization_config from it if they are the model's"
        )


def in_float32(folder: Path, hf: Any) -> Any:
    """The library's quantised model with float32 matrices in place of packed ones.

    For 8-bit models the library's forward pass also rounds activations, which this does not.
    ``InputError`` where the library fails.
    """
    try:
        plain = hf.dequantize(dtype=torch.float32).float()
    except Exception as error:  # of a library that may not know this machine
        raise InputError(f"{folder}: cannot be dequantised ({first_line(error)})") from error
    if hasattr(plain.config, "quantization_config"):
        del plain.config.quantization_config
    return plain
