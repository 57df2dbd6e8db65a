"""LoRA adapters: which can be merged into a base exactly, and why others cannot."""

from __future__ import annotations

import json
import re
from dataclasses import fields
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from circuitgraph.base.errors import InputError, OtherBase, first_line, quoted
from circuitgraph.base.notices import collected_warnings, shortened
from circuitgraph.base.textfiles import check_safetensors
from circuitgraph.models.folders import ADAPTER_FILES, require_adapter_files
from circuitgraph.models.multimodal import LANGUAGE
from circuitgraph.models.resized import resize_like

MERGE = (
    "merge it in the process that trained it (model.merge_and_unload(), then save_pretrained) "
    "and give that full model's folder"
)
EXACT = (None, True, False, "gaussian", "orthogonal", "eva", "mica", "pissa", "olora")
"""Initialisations that leave the base alone, or change it the same way at every load."""
VIRTUAL = {
    *("PROMPT_TUNING", "MULTITASK_PROMPT_TUNING", "P_TUNING", "PREFIX_TUNING"),
    *("ADAPTION_PROMPT", "CPT", "CARTRIDGE", "XLORA", "POLY"),
}
"""Kinds of adapters that no change of weights expresses."""
NOT_WEIGHTS = {
    "layer_replication": "it repeats layers of the base, which no change of weights expresses",
    "alora_invocation_tokens": "an activated LoRA acts only after its invocation tokens, which no "
    "change of weights expresses",
    "arrow_config": "Arrow chooses among adapters token by token, which no change of weights "
    "expresses",
    "use_bdlora": "block-diagonal LoRA cannot be merged",
}
EMPTY: tuple[Any, ...] = (None, False, "", [], {})
HARMLESS = {"peft_version", "qalora_group_size", "runtime_config"}
"""Settings that do nothing by themselves, though newer versions of peft write them."""


def require_adapter(adapter: Path) -> dict[str, Any]:
    """The settings of an adapter folder that can be merged exactly.

    Raises
    ------
    InputError
        No such folder or file; an adapter that would give other numbers than the model that was
        trained.
    """
    require_adapter_files(adapter)
    settings = adapter_settings(adapter)
    file = adapter / ADAPTER_FILES[0]
    _require_lora(file, settings.get("peft_type"))
    _require_exact(file, settings.get("init_lora_weights"))
    for name, why in NOT_WEIGHTS.items():
        if settings.get(name) not in EMPTY:
            raise InputError(
                f"{file}: {name} is set: {why}; give a full model folder that holds what it does"
            )
    _require_known(file, settings)
    return settings


def adapter_settings(adapter: Path) -> dict[str, Any]:
    """The content of ``adapter_config.json``; ``InputError`` where it holds no settings."""
    file = adapter / ADAPTER_FILES[0]
    try:
        settings = json.loads(file.read_text("utf-8"))
    except (ValueError, RecursionError) as error:
        raise InputError(f"{file}: not JSON ({first_line(error)})") from error
    if not isinstance(settings, dict):
        raise InputError(f"{file}: holds no settings; give a peft LoRA folder")
    return settings


def _require_lora(file: Path, kind: Any) -> None:
    if kind == "LORA":
        return
    name = quoted(str(kind), 40) if kind else "missing"
    if kind in VIRTUAL:
        raise InputError(
            f"{file}: peft_type is {name}, which no change of weights expresses; only LoRA "
            "adapters and full models can be measured"
        )
    raise InputError(f"{file}: peft_type is {name}; of adapters only LORA is read: {MERGE}")


def _require_exact(file: Path, init: Any) -> None:
    known = init.lower() if isinstance(init, str) else init
    if known in EXACT:
        return
    name = quoted(str(init), 60)
    if str(known).startswith("pissa_niter_"):
        raise InputError(
            f"{file}: init_lora_weights is {name}: the base is split by a random SVD again at "
            "every load, so base and adapter no longer fit each other; save it with "
            "save_pretrained(…, path_initial_model_for_weight_conversion=…), or " + MERGE
        )
    if known in ("corda", "loftq", "lora_ga"):
        raise InputError(
            f"{file}: init_lora_weights is {name}: training began from a changed base, which "
            f"loading does not bring back; {MERGE}"
        )
    raise InputError(
        f"{file}: init_lora_weights is {name}, and nobody can say whether loading it gives what "
        f"was trained; {MERGE}"
    )


def _unknown(settings: dict[str, Any]) -> list[str]:
    from peft import LoraConfig

    return sorted(set(settings) - {field.name for field in fields(LoraConfig)} - HARMLESS)


def _require_known(file: Path, settings: dict[str, Any]) -> None:
    odd = [name for name in _unknown(settings) if settings[name] not in EMPTY]
    if odd:
        raise InputError(
            f"{file}: {quoted(', '.join(odd), 200)}: peft {version('peft')} does not know this "
            f"setting and would ignore it; install the peft that wrote it, or {MERGE}"
        )


def load_adapter(hf: Any, adapter: Path) -> tuple[Any, list[str]]:
    """A base with its adapter, unmerged, and remarks.

    Raises
    ------
    InputError
        An adapter of another model, or damaged.
    """
    from safetensors.torch import load_file

    settings = require_adapter(adapter)
    remarks = _same_base(hf, adapter, settings)
    if unknown := _unknown(settings):
        names = quoted(", ".join(unknown), 200)
        remarks.append(f"{adapter.name}: peft {version('peft')} does not know {names}, all empty")
    file = adapter / ADAPTER_FILES[1]
    check_safetensors(file)
    stored = load_file(file)
    broken = [key for key, value in stored.items() if not bool(value.isfinite().all())]
    if broken:
        raise InputError(f"{file}: {broken[0]} holds values that are not finite")
    remarks += resize_like(hf, adapter, stored, settings)
    wrapped, said = _wrapped(hf, adapter, stored)
    return wrapped.eval(), [*remarks, *(f"peft says: {line}" for line in said)]


def _wrapped(hf: Any, adapter: Path, stored: dict[str, Tensor]) -> tuple[Any, list[str]]:
    from peft import PeftModel, get_peft_model_state_dict

    try:
        with collected_warnings() as said, torch.random.fork_rng(devices=[]):
            wrapped = PeftModel.from_pretrained(hf, str(adapter), local_files_only=True)
            # "auto", the default, looks for the base on the network
            least, most = (
                set(get_peft_model_state_dict(wrapped, save_embedding_layers=whether))
                for whether in (False, True)
            )
    except Exception as error:  # user input: peft raises many exception types
        raise OtherBase(f"{adapter}: does not fit this base model ({_why(error)})") from error
    odd = sorted((least - set(stored)) | (set(stored) - most))
    if odd:
        raise OtherBase(
            f"{adapter}: does not fit this base model; {len(odd)} weights have no "
            f"counterpart, first {odd[0]}"
        )
    return wrapped, said


def _why(error: Exception) -> str:
    shapes = re.search(
        r"size mismatch for (\S+?): copying a param with shape torch\.Size\((.*?)\).*?"
        r"current model is torch\.Size\((.*?)\)",
        str(error),
        re.DOTALL,
    )
    if shapes:
        return "size mismatch for {}: {} in the adapter, {} in the base".format(*shapes.groups())
    return shortened(first_line(error), 200)


def _same_base(hf: Any, adapter: Path, settings: dict[str, Any]) -> list[str]:
    """Refuse an adapter of another family: random ones may have the very same shapes."""
    named = settings.get("base_model_name_or_path")
    if not isinstance(named, str) or not named:
        return []
    try:
        family = json.loads((Path(named) / "config.json").read_text("utf-8"))["model_type"]
    except (OSError, ValueError, KeyError, TypeError):
        family = hf.config.model_type  # it was trained elsewhere; its shapes must do
    if LANGUAGE.get(family, family) != hf.config.model_type:
        raise OtherBase(
            f"{adapter}: does not fit this base model; it was trained on {named}, a "
            f"{quoted(family)} model, and this is {hf.config.model_type!r}"
        )
    base = Path(hf.name_or_path).resolve()
    if _last(named) in {_last(str(base)), _last(hf.name_or_path), _on_the_hub(base)}:
        return []
    return [
        f"{adapter.name}: its config says it was trained on {quoted(named, 100)}, and the base "
        f"given is {quoted(base.name, 100)}; see that these are the same weights"
    ]


def _last(name: str) -> str:
    return re.split(r"[\\/]", name.rstrip("\\/"))[-1].lower()


def _on_the_hub(folder: Path) -> str:
    """Name of a model in the hub's cache, whose folder is named by its commit."""
    if folder.parent.name != "snapshots":
        return ""
    return folder.parent.parent.name.split("--")[-1].lower()


def untie(hf: Any) -> None:
    """Give the unembedding its own weights, or merging a change of one end would change both."""
    ends = (hf.get_input_embeddings(), hf.get_output_embeddings())
    inner, outer = (getattr(layer, "base_layer", layer) for layer in ends)
    if (inner, outer) != ends and outer.weight is inner.weight:
        outer.weight = torch.nn.Parameter(inner.weight.detach().clone())
