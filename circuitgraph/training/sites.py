"""Weight matrices to train: those of components, or of a range of layers."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from torch import nn

from circuitgraph.base.components import attn_name, mlp_name
from circuitgraph.base.errors import InputError, UsageError, quoted

_COMPONENT = re.compile(r"L(\d+)_(MLP|ATTN)")
_HEAD = re.compile(r"L\d+(H|KV)\d+")


def components_named(
    components: str | Sequence[str] | None, layers: str | None, count: int
) -> list[str]:
    """Names of the components to train, in order.

    Parameters
    ----------
    components
        ``L2_MLP,L5_ATTN`` or a list of them.
    layers
        ``11-23``, ``4`` or ``0,3-5``: attention and MLP of each.
    count
        Layers of the model; by default the upper two thirds are trained.

    Raises
    ------
    UsageError
        Both arguments, unknown components, or heads.
    """
    if components is not None and layers is not None:
        raise UsageError("``components`` and ``layers`` both say what is trained; give one")
    if components is None:
        chosen = _layers(layers, count) if layers is not None else list(range(count // 3, count))
        return [name for layer in chosen for name in (attn_name(layer), mlp_name(layer))]
    names = components.split(",") if isinstance(components, str) else list(components)
    found = [_component(name.strip(), count) for name in names]
    if not found:
        raise UsageError("``components`` is empty; name some, such as L2_MLP")
    return [name for _, name in sorted(set(found))]


def _component(name: str, count: int) -> tuple[tuple[int, int], str]:
    if _HEAD.fullmatch(name):
        raise UsageError(
            f"``components``: {name} is one head, and adapters change whole matrices; train "
            f"{name.partition('H')[0].partition('K')[0]}_ATTN"
        )
    match = _COMPONENT.fullmatch(name)
    if match is None or int(match[1]) >= count:
        raise UsageError(
            f"``components``: no component {quoted(name)}; the model has L0_ATTN, L0_MLP to "
            f"L{count - 1}_MLP"
        )
    return (int(match[1]), ["ATTN", "MLP"].index(match[2])), name


def _layers(text: str, count: int) -> list[int]:
    found: set[int] = set()
    for part in text.split(","):
        match = re.fullmatch(r"\s*(\d+)(?:-(\d+))?\s*", part, re.ASCII)
        if match is None:
            raise UsageError(f"``layers={text}``: write it as 11-23, 4 or 0,3-5")
        first, last = int(match[1]), int(match[2] or match[1])
        if not first <= last < count:
            raise UsageError(f"``layers={text}``: the model has layers 0 to {count - 1}")
        found |= {*range(first, last + 1)}
    return sorted(found)


@dataclass(frozen=True)
class Sites:
    """Matrices to train in a loaded model.

    Attributes
    ----------
    names
        Full names of the matrices.
    first
        The lowest layer with one.
    """

    names: tuple[str, ...]
    first: int


def layers_of(hf: Any) -> tuple[str, Any]:
    """Name and list of a transformers model's blocks.

    Raises
    ------
    InputError
        No list of as many modules as layers.
    """
    count = hf.config.num_hidden_layers
    for name, module in hf.named_modules():
        if isinstance(module, nn.ModuleList) and len(module) == count:
            return name, module
    raise InputError(f"{hf.config.model_type}: its blocks cannot be told from its other modules")


def sites_of(hf: Any, components: Sequence[str]) -> Sites:
    """Matrices of these components; raises InputError."""
    path, layers = layers_of(hf)
    names: list[str] = []
    for component in components:
        match = _COMPONENT.fullmatch(component)
        assert match is not None
        own = f"{path}.{match[1]}"
        found = _matrices(layers[int(match[1])], match[2] == "ATTN")
        if not found:
            raise InputError(f"{hf.config.model_type}: no matrices of {component} were found")
        names += [f"{own}.{name}" for name in found]
    first = min(int(name.removeprefix(f"{path}.").split(".")[0]) for name in names)
    return Sites(tuple(names), first)


def _matrices(layer: Any, attention: bool) -> list[str]:
    """Names of a block's matrices, of attention or of the rest."""
    return [
        name
        for name, module in layer.named_modules()
        if is_matrix(module) and bool(re.search("attn|attention", name)) == attention
    ]


def is_matrix(module: Any) -> bool:
    """Whether a module is a linear layer; GPT-2 has its own class for that."""
    return isinstance(module, nn.Linear) or type(module).__name__ == "Conv1D"
