"""Models in memory: a Hugging Face model, a PeftModel, a TransformerBridge.

They are copied and known by their weights. There are no files: reopening one finds the object
itself, for as long as its owner keeps it.
"""

from __future__ import annotations

import hashlib
import weakref
from copy import deepcopy
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import torch

from circuitgraph.base.components import Granularity, digest
from circuitgraph.base.errors import InputError, UsageError, first_line, quoted
from circuitgraph.models.variants import (
    LoadedVariant,
    loaded_from,
    require_finite,
    tokenizer_print,
)
from circuitgraph.models.weights import base_print
from circuitgraph.prompts.tokenizer import load_tokenizer
from circuitgraph.runs.record import IN_MEMORY, Variant

CLOSE = 1e-4
"""Share of the largest logit by which a rebuilt model may be off the bridge it came from."""
SAVE = (
    "save it (model.save_pretrained and tokenizer.save_pretrained into one folder; of a PeftModel "
    "the adapter into a folder of its own) and ingest that"
)


class _Held(NamedTuple):
    """A weak reference to a model, and its tokenizer."""

    model: weakref.ref[Any]
    tokenizer: Any


_HELD: dict[str, _Held] = {}
"""By fingerprint: who was ingested in this process, and may still be there."""


def load_held(
    model: Any,
    tokenizer: Any = None,
    *,
    name: str,
    recipe: str = "",
    granularity: Granularity = "head",
) -> LoadedVariant:
    """A copy of a model in memory, in float32 on the CPU, ready to be measured.

    Parameters
    ----------
    model
        A causal language model of transformers, a ``PeftModel`` with LoRA around one, or a
        ``TransformerBridge`` with the weights that it has now.
    tokenizer
        Its tokenizer; a bridge has its own.
    name, recipe, granularity
        As in :func:`circuitgraph.models.variants.load_variant`.

    Raises
    ------
    UsageError
        Something else, or no tokenizer.
    InputError
        Weights that are quantised or not finite, or that the bridge has processed; an adapter
        that is no LoRA.
    """
    tokenizer = tokenizer if tokenizer is not None else getattr(model, "tokenizer", None)
    if tokenizer is None:
        raise UsageError("``tokenizer``: a model in memory needs its tokenizer beside it")
    _require_model(model)
    hf = _plain_copy(model)
    prints = {"weights": base_print(hf), "tokenizer": _tokenizer_print(tokenizer)}
    with_adapter = IN_MEMORY if hasattr(hf, "peft_config") else ""
    loaded = loaded_from(hf, tokenizer, name, recipe, IN_MEMORY, with_adapter, granularity, prints)
    _HELD[loaded.variant.fingerprint] = _Held(weakref.ref(model), tokenizer)
    return loaded


def recalled(variant: Variant) -> LoadedVariant:
    """A variant ingested from memory, from the object it was ingested from.

    Raises
    ------
    InputError
        The object is gone, or its weights have changed since.
    """
    model, tokenizer = require_held(variant)
    again = load_held(model, tokenizer, name=variant.name)
    if again.variant.fingerprint != variant.fingerprint:
        raise InputError(
            f"variant {quoted(variant.name)} was ingested from memory, and the weights of that "
            f"model have changed since; {SAVE} under another name"
        )
    return replace(again, variant=variant)


def require_held(variant: Variant) -> tuple[Any, Any]:
    """The object that a variant was ingested from, and its tokenizer; ``InputError`` if gone."""
    held = _HELD.get(variant.fingerprint)
    model = None if held is None else held.model()
    if held is None or model is None:
        raise InputError(
            f"variant {quoted(variant.name)} was ingested from memory, there are no files to load "
            f"it from, and it is not in this process's memory; {SAVE} under another name, or "
            "ingest the same object again here"
        )
    return model, held.tokenizer


def held_roundoff(variant: Variant) -> torch.dtype:
    """The coarsest type of the held model's matrices."""
    model, _ = require_held(variant)
    kinds = {p.dtype for p in model.parameters() if p.is_floating_point()}
    return max(kinds, key=lambda kind: torch.finfo(kind).eps)


def _require_model(model: Any) -> None:
    inner = _inner(model)
    if not (isinstance(inner, torch.nn.Module) and hasattr(inner, "get_output_embeddings")):
        raise UsageError(
            f"``model``: {type(model).__name__} is no model that can be measured; give a folder, a "
            "causal language model of transformers, a PeftModel or a TransformerBridge"
        )
    if getattr(inner, "hf_quantizer", None) is not None or getattr(inner, "is_quantized", False):
        raise InputError(
            "``model``: its weights are quantised; dequantise it (model.dequantize()), or give "
            "the folder"
        )
    for settings in getattr(model, "peft_config", {}).values():
        kind = str(getattr(settings.peft_type, "value", settings.peft_type))
        if kind != "LORA":
            raise InputError(
                f"``model``: peft_type is {quoted(kind)}; of adapters only LORA is read: merge it "
                "(model.merge_and_unload()) and give the model that comes of it"
            )


def _inner(model: Any) -> Any:
    """The model of transformers inside a PeftModel or a bridge."""
    if hasattr(model, "original_model"):
        return model.original_model
    return model.get_base_model() if hasattr(model, "peft_config") else model


@torch.no_grad()
def _plain_copy(model: Any) -> Any:
    """Float32, on the CPU, eager attention, as loaded from its folder."""
    if hasattr(model, "original_model"):
        return _out_of_bridge(model)
    copy = deepcopy(model).to("cpu").float().eval()
    if hasattr(copy, "peft_config") and any(getattr(m, "merged", False) for m in copy.modules()):
        copy.unmerge_adapter()
    _inner(copy).set_attn_implementation("eager")
    require_finite(copy, "``model``")
    return copy


def _out_of_bridge(bridge: Any) -> Any:
    """A new model of the library with a bridge's weights, checked for the same logits."""
    from transformers import AutoModelForCausalLM

    original = bridge.original_model
    weights = {
        name.replace("._original_component", ""): tensor.detach().to("cpu", torch.float32)
        for name, tensor in original.state_dict().items()
    }
    try:
        hf = AutoModelForCausalLM.from_config(
            deepcopy(original.config), dtype=torch.float32, attn_implementation="eager"
        )
        lacking = sorted(set(hf.state_dict()) - set(weights))
        if lacking:
            raise KeyError(lacking[0])
        hf.load_state_dict({name: weights[name] for name in hf.state_dict()})
    except Exception as error:  # families and bridges raise many exception types
        raise InputError(
            f"``model``: the weights cannot be taken out of this TransformerBridge "
            f"({first_line(error)}); give the model of transformers that it was made of"
        ) from error
    hf.eval()
    require_finite(hf, "``model``")
    _require_same_logits(hf, bridge)
    return hf


def _require_same_logits(hf: Any, bridge: Any) -> None:
    device = next(bridge.parameters()).device
    tokens = torch.arange(1, 9)[None] % int(hf.config.vocab_size)
    ours, theirs = hf(tokens).logits, bridge(tokens.to(device)).to("cpu", torch.float32)
    apart = float((ours - theirs).abs().max() / theirs.abs().max().clamp_min(1e-30))
    if not apart <= CLOSE:
        raise InputError(
            f"``model``: the weights of this TransformerBridge give other logits than the bridge "
            f"(by {apart:.1e} of the largest): they were processed (enable_compatibility_mode); "
            "boot it without, or give the model of transformers"
        )


def _tokenizer_print(tokenizer: Any) -> str:
    """Hash of its folder's files where they still are its own; else of its contents."""
    backend = getattr(tokenizer, "backend_tokenizer", None)
    contents = (
        backend.to_str() if backend is not None else repr(sorted(tokenizer.get_vocab().items()))
    )
    folder = Path(str(getattr(tokenizer, "name_or_path", "") or "."))
    if (folder / "tokenizer.json").is_file():
        try:
            there = load_tokenizer(folder)
        except InputError:
            there = None
        same = there is not None and _special_texts(there) == _special_texts(tokenizer)
        if same and there.backend_tokenizer.to_str() == contents:
            return tokenizer_print(folder)
    return digest(
        hashlib.sha256(contents.encode("utf-8", "surrogatepass")).hexdigest(),
        _special_texts(tokenizer),
    )


def _special_texts(tokenizer: Any) -> list[str]:
    return [
        *(str(getattr(tokenizer, name, None)) for name in ("bos_token", "eos_token", "unk_token")),
        str(getattr(tokenizer, "chat_template", None)),
    ]
