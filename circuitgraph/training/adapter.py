"""The LoRA adapter of one seed on its base: create, continue, measure and write it."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from circuitgraph.base.errors import InputError, UsageError
from circuitgraph.base.notices import collected_warnings
from circuitgraph.base.progress import Reporter
from circuitgraph.models.adapters import load_adapter
from circuitgraph.models.folders import ADAPTER_FILES
from circuitgraph.models.variants import load_base
from circuitgraph.training.sites import Sites, layers_of


def frozen_base(folder: Path, device: str, reporter: Reporter) -> Any:
    """The transformers model of a folder, frozen, on a device; remarks on it are warnings.

    Raises
    ------
    InputError, UsageError
        A model that cannot be loaded, a device that cannot be used.
    """
    hf, warnings = load_base(folder)
    for line in warnings:
        reporter.warn(line)
    hf.requires_grad_(False)
    try:
        return hf.to(device)
    except (RuntimeError, AssertionError) as error:
        why = " ".join(str(error).split())[:120]
        raise UsageError(f"``device={device}``: cannot be used ({why})") from error


KINDS = (".lora_A.", ".lora_B.")


@contextmanager
def fresh(hf: Any, sites: Sites, rank: int, seed: int, base: str) -> Iterator[Any]:
    """Context with a new LoRA adapter on some matrices.

    Parameters
    ----------
    hf
        The transformers model, frozen.
    sites
        Matrices to train.
    rank
        LoRA rank; alpha is twice that.
    seed
        Of the initial A; B begins at 0.
    base
        Name of the base in the adapter's settings.
    """
    from peft import LoraConfig, get_peft_model

    conv = any(type(hf.get_submodule(name)).__name__ == "Conv1D" for name in sites.names)
    config = LoraConfig(
        r=rank, lora_alpha=2 * rank, lora_dropout=0.0, bias="none", task_type="CAUSAL_LM",
        target_modules=list(sites.names), fan_in_fan_out=conv,
    )  # fmt: skip
    with torch.random.fork_rng(devices=[]), collected_warnings():
        torch.manual_seed(seed)
        tuned = get_peft_model(hf, config)
    tuned.peft_config["default"].base_model_name_or_path = base
    tuned.eval()
    try:
        yield tuned
    finally:
        tuned.unload()


@contextmanager
def continued(hf: Any, folder: Path, base: str) -> Iterator[Any]:
    """Context with a stored adapter to train further.

    Raises
    ------
    InputError
        It does not fit, or is not a plain LoRA.
    """
    tuned, _ = load_adapter(hf, folder)
    for name, parameter in tuned.named_parameters():
        parameter.requires_grad_(any(kind in name for kind in KINDS))
        if parameter.requires_grad:
            parameter.data = parameter.data.float()
    tuned.peft_config["default"].base_model_name_or_path = base
    tuned.peft_config["default"].inference_mode = False
    try:
        yield tuned
    finally:
        tuned.unload()


def trained_from(hf: Any, folder: Path) -> int:
    """The lowest layer that a stored adapter changes.

    Raises
    ------
    InputError
        It changes embeddings, or anything else outside the blocks.
    """
    path, _ = layers_of(hf)
    settings = json.loads((folder / ADAPTER_FILES[0]).read_text("utf-8"))
    if settings.get("use_dora") or settings.get("modules_to_save"):
        raise InputError(f"{folder}: not a plain LoRA adapter; only such are trained further")
    from safetensors import safe_open

    with safe_open(folder / ADAPTER_FILES[1], "pt") as file:
        names = list(file.keys())
    layers = [name.partition(f".{path}.")[2].split(".")[0] for name in names]
    if not names or not all(layer.isdigit() for layer in layers):
        raise InputError(f"{folder}: changes more than the model's blocks; train another adapter")
    return min(map(int, layers))


def parameters_of(tuned: Any) -> list[Any]:
    """Trained parameters."""
    return [parameter for parameter in tuned.parameters() if parameter.requires_grad]


@torch.no_grad()
def round_to_bfloat16(tuned: Any) -> None:
    """Round trained parameters to bfloat16, in which they are written, before they are tested."""
    for parameter in parameters_of(tuned):
        parameter.copy_(parameter.bfloat16().float())


@torch.no_grad()
def change_of(tuned: Any) -> float:
    """‖ΔW‖ / ‖W‖ over the matrices the adapter touches (Frobenius)."""
    change = size = 0.0
    for module in tuned.modules():
        if not hasattr(module, "lora_A") or "default" not in getattr(module, "lora_A", ()):
            continue
        a, b = module.lora_A["default"].weight.double(), module.lora_B["default"].weight.double()
        # ‖BA‖² = tr(BᵀB AAᵀ): no matrix of the base's size is made
        change += module.scaling["default"] ** 2 * float(((b.T @ b) * (a @ a.T).T).sum())
        size += float(module.get_base_layer().weight.double().pow(2).sum())
    return (change / size) ** 0.5 if size else 0.0


def write_adapter(tuned: Any, folder: Path) -> None:
    """Write an adapter folder in peft's format, in bfloat16."""
    from safetensors.torch import load_file, save_file

    folder.mkdir(parents=True, exist_ok=True)
    with collected_warnings():
        tuned.save_pretrained(folder, save_embedding_layers=False)
    (folder / "README.md").unlink(missing_ok=True)
    file = folder / ADAPTER_FILES[1]
    halves: Mapping[str, Tensor] = {k: v.bfloat16() for k, v in load_file(file).items()}
    save_file(dict(halves), file, metadata={"format": "pt"})
    _sort_settings(folder / ADAPTER_FILES[0])


def _sort_settings(file: Path) -> None:
    """Sort sets in the settings: peft writes them in an order that differs between processes."""
    settings = json.loads(file.read_text("utf-8"))
    settings["inference_mode"] = True
    if isinstance(settings.get("target_modules"), list):
        settings["target_modules"] = sorted(settings["target_modules"])
    file.write_text(json.dumps(settings, indent=2, sort_keys=True) + "\n", "utf-8")
