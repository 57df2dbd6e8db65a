"""Weight updates by tensor, of an adapter or of a whole model."""

from __future__ import annotations

import re
from collections.abc import Iterator
from copy import deepcopy
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from circuitgraph.models.weights import base_of, unwrapped, wrappers

_LAYER = re.compile(r"\.(\d+)\.")
_PART = re.compile(r"\.(?:weight|bias)$")
_WRAPPED = re.compile(r"(^|\.)(base_layer|original_module|parametrizations)(?=\.|$)")


@dataclass(frozen=True, eq=False)
class Change:
    """One tensor of a base, before and after an update.

    Attributes
    ----------
    name : str
        As the library's model calls it.
    before : float32 Tensor
        In the base.
    meant : float64 Tensor
        ΔW: what is to be added; of a whole model, what was.
    after : float32 Tensor
        What adding it in float32 gives.
    """

    name: str
    before: Tensor
    meant: Tensor
    after: Tensor

    @property
    def layer(self) -> int | None:
        """The layer, or None."""
        return layer_of(self.name)

    @property
    def module(self) -> str:
        """Its kind: ``q_proj``, ``down_proj``, ``embed_tokens``."""
        return module_of(self.name)


def layer_of(name: str) -> int | None:
    """The first number between dots in a tensor's name."""
    found = _LAYER.search(name)
    return int(found[1]) if found else None


def module_of(name: str) -> str:
    """Last part of a tensor's name, a bias marked as one."""
    kind = _PART.sub("", name).rsplit(".", 1)[-1]
    return f"{kind}.bias" if name.endswith(".bias") else kind


@torch.no_grad()
def adapter_changes(hf: Any) -> Iterator[Change]:
    """Changes of an adapter, one merged module at a time.

    Parameters
    ----------
    hf
        A ``PeftModel``, not merged; it stays as it is.

    Raises
    ------
    Exception
        Whatever peft raises for an adapter that cannot be merged.
    """
    for place, wrapper in wrappers(hf.get_base_model()):
        before = base_of(wrapper).state_dict()
        exact = unwrapped(deepcopy(wrapper).double()).state_dict()
        after = unwrapped(deepcopy(wrapper)).state_dict()
        for name, old in before.items():
            if name in exact and exact[name].shape == old.shape and old.is_floating_point():
                meant = exact[name].double() - old.double()
                yield Change(f"{place}.{name}", old, meant, after[name])


def tensors_of(hf: Any) -> dict[str, Tensor]:
    """The parameters of a base by name, tied ones once; of a ``PeftModel`` those beneath it."""
    base = hf.get_base_model() if hasattr(hf, "peft_config") else hf
    found: dict[str, Tensor] = {}
    for name, tensor in base.named_parameters():
        if ".lora_" not in name and ".modules_to_save." not in name:
            found[_WRAPPED.sub("", name)] = tensor.detach()
    return found


def model_changes(base: Any, tuned: Any) -> Iterator[Change]:
    """Tensors of a whole model with the same shape in the base."""
    before, after = tensors_of(base), tensors_of(tuned)
    for name, old in before.items():
        if name in after and after[name].shape == old.shape:
            new = after[name].float()
            yield Change(name, old.float(), new.double() - old.double(), new)


def untie_alike(a: Any, b: Any) -> None:
    """Untie the unembedding of one model if the other's is untied.

    Else its change would be seen on one side only, and a change of shared weights twice.
    """
    sides = [_ends(hf) for hf in (a, b)]
    tied = [inner.weight is outer.weight for inner, outer in sides]
    for (inner, outer), own in zip(sides, tied, strict=True):
        if own and not all(tied):
            outer.weight = torch.nn.Parameter(inner.weight.detach().clone())


def _ends(hf: Any) -> tuple[Any, Any]:
    """Embedding and unembedding without adapter wrappers."""
    inner, outer = hf.get_input_embeddings(), hf.get_output_embeddings()
    return getattr(inner, "base_layer", inner), getattr(outer, "base_layer", outer)
