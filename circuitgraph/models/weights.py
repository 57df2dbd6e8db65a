"""Fingerprint of a model's merged weights, one matrix at a time."""

from __future__ import annotations

import hashlib
import json
import re
import warnings
from collections.abc import Iterator, Mapping
from copy import deepcopy
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from circuitgraph.base.components import digest

CHUNK = 1 << 22
"""Numbers hashed at once (16 MB)."""
ROUNDING = 1e-5
"""Relative changes below this are asked how much of them float32 keeps."""

_NO_FUNCTION = re.compile(
    r"_.*|transformers_version|architectures|auto_map|(torch_)?dtype|use_cache|return_dict|"
    r".*_token_id|.*(dropout|pdrop|_drop).*|initializer_\w+|output_\w+|id2label|label2id|"
    r"problem_type|task_specific_params|tokenizer_class|vocab_size|tie_word_embeddings|"
    r"pretraining_tp|unsloth_\w+"
)


_ADDED = re.compile(r"\.(lora_\w+|modules_to_save)\.")
"""Names of what an adapter puts beside a model's own weights."""


@dataclass(frozen=True)
class Merged:
    """Merged weights of a model and its adapter.

    Attributes
    ----------
    fingerprint : str
        Hash of names, shapes and float32 values: equal where all weights are, however tied or
        merged.
    change : float, optional
        ‖ΔW‖ / ‖W‖ over the weights an adapter changes.
    kept : float
        Share of ΔW that adding it in float32 leaves, where that is in doubt, else 1.
    prints : mapping
        Hash of each tensor by name.
    """

    fingerprint: str
    change: float | None
    kept: float = 1.0
    prints: Mapping[str, str] = field(default_factory=dict)


def function_print(config: Any) -> str:
    """Hash of the settings that the weights' computation depends on (norms, rope, …).

    Names, paths, token ids, dropouts and sizes given by shapes are left out.
    """
    return digest("function", json.loads(json.dumps(_relevant(config.to_dict()), default=str)))


def _relevant(settings: dict[str, Any]) -> dict[str, Any]:
    return {
        name: _relevant(value) if isinstance(value, dict) else value
        for name, value in settings.items()
        if value is not None and not _NO_FUNCTION.fullmatch(str(name))
    }


@torch.no_grad()
def merged_weights(hf: Any) -> Merged:
    """Fingerprint of a model whose adapter, if it has one, is not merged yet.

    One wrapped module after the other is merged in a copy, so nothing changes and no second model
    is held. Raises whatever peft raises for an adapter that cannot be merged.
    """
    base = hf.get_base_model() if hasattr(hf, "peft_config") else hf
    around = dict(wrappers(base))
    prints: dict[str, str] = {}
    changes = _Changes()
    for name, wrapper in around.items():
        merged = unwrapped(deepcopy(wrapper))
        changes.note(wrapper, merged)
        prints |= {f"{name}.{key}": _tensor_print(t) for key, t in merged.state_dict().items()}
    known: dict[tuple[int, ...], str] = {}
    for name, tensor in base.state_dict().items():
        if not any(name.startswith(f"{wrapper}.") for wrapper in around):
            place = (tensor.data_ptr(), *tensor.shape)  # tied weights are read once
            prints[name] = known[place] if place in known else _tensor_print(tensor)
            known[place] = prints[name]
    fingerprint = digest("weights", sorted(prints.items()))
    change, kept = changes.found() if around else (None, 1.0)
    return Merged(fingerprint, change, kept, prints)


def base_print(hf: Any) -> str:
    """The same fingerprint of a model without its adapter."""
    base = hf.get_base_model() if hasattr(hf, "peft_config") else hf
    prints = {
        name.replace(".base_layer", "").replace(".original_module", ""): _tensor_print(tensor)
        for name, tensor in base.state_dict().items()
        if not _ADDED.search(name)
    }
    return digest("weights", sorted(prints.items()))


def _tensor_print(tensor: Tensor) -> str:
    hasher = hashlib.sha256(repr(tuple(tensor.shape)).encode())
    for chunk in tensor.detach().reshape(-1).split(CHUNK):
        # Adding 0 makes one zero of two: adding an update of 0 does, too.
        hasher.update(memoryview((chunk.float() + 0.0).cpu().numpy()))
    return hasher.hexdigest()


def wrappers(base: Any) -> Iterator[tuple[str, Any]]:
    """The modules that an adapter wraps around others, outermost only, in merging order."""
    inside = "\0"
    for name, module in base.named_modules():
        if name.startswith(inside):
            continue
        if hasattr(module, "unload_and_optionally_merge_module") or (
            hasattr(module, "base_layer") and hasattr(module, "merge")
        ):
            inside = f"{name}."
            yield name, module


def unwrapped(wrapper: Any) -> Any:
    """The plain module of a wrapper, which is used up."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # merging for good says the same
        if hasattr(wrapper, "unload_and_optionally_merge_module"):
            return wrapper.unload_and_optionally_merge_module(
                merge=True, safe_merge=False, adapter_names=None
            )
        wrapper.merge()
        return wrapper.get_base_layer()


class _Changes:
    """Sums over the modules an adapter changes."""

    def __init__(self) -> None:
        self.size = self.change = self.meant = self.left = 0.0

    def note(self, wrapper: Any, merged: Any) -> None:
        before = base_of(wrapper).state_dict()
        moved = {
            name: after - before[name]
            for name, after in merged.state_dict().items()
            if name in before and before[name].shape == after.shape
        }
        change = sum(squared(d) for d in moved.values())
        size = sum(squared(before[name]) for name in moved)
        self.change, self.size = self.change + change, self.size + size
        if change <= size * ROUNDING**2:
            self._note_rounded(wrapper, moved)

    def _note_rounded(self, wrapper: Any, moved: dict[str, Tensor]) -> None:
        exact = unwrapped(deepcopy(wrapper).double()).state_dict()
        before = base_of(wrapper).state_dict()
        for name, rounded in moved.items():
            meant = exact[name].double() - before[name].double()
            self.meant += float(meant.pow(2).sum())
            self.left += float((meant * rounded.double()).sum())

    def found(self) -> tuple[float, float]:
        """Relative change, and the share of it that is left."""
        relative = (self.change / self.size) ** 0.5 if self.size else 0.0
        doubtful = self.meant > 0 and self.change <= self.size * ROUNDING**2
        return relative, self.left / self.meant if doubtful else 1.0


def squared(tensor: Tensor) -> float:
    """Squared norm, summed in float64."""
    return float(torch.linalg.vector_norm(tensor, dtype=torch.float64)) ** 2


def base_of(wrapper: Any) -> Any:
    """The module of the base inside a wrapper."""
    original = getattr(wrapper, "original_module", None)
    return wrapper.get_base_layer() if original is None else original
