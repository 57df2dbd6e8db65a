"""Weights of components exchanged between two models under the library's hooks."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from contextlib import contextmanager
from itertools import chain
from typing import Any

import torch
from torch import Tensor
from torch.nn import Linear, Module, Parameter

from circuitgraph.base.components import EMBED, LOGITS, Component, attn_name, mlp_name, parse
from circuitgraph.base.errors import InputError, UsageError
from circuitgraph.engine.bridge.engine import HookedModel
from circuitgraph.interventions.transplant.parts import require_part

Owners = dict[str, list[Parameter]]
Put = dict[Parameter, Tensor]
"""What stands in the place of parameters."""


@contextmanager
def with_weights(
    into: HookedModel, source: HookedModel, components: Collection[str]
) -> Iterator[HookedModel]:
    """``into`` itself, inside the context with the weights of some components of ``source``.

    Parameters
    ----------
    into, source
        Of one build, each with an unembedding of its own.
    components
        See ``parts.with_parts``.

    Raises
    ------
    UsageError
        Unknown components; heads whose matrices hooks do not show; only one reader of a norm that
        attention and MLP share.
    InputError
        Weights that differ and belong to no component.
    """
    own, given = _owners(into), _owners(source)
    _require_seen(into, source, own)
    _require_whole_norms(own, given, components)
    put: Put = {}
    for part in map(parse, components):
        require_part(part, into)
        if part.kind in ("head", "kv"):
            _put_slices(put, into, source, part)
        else:
            pairs = zip(own[part.name], given[part.name], strict=True)
            put |= {mine: other.data for mine, other in pairs}
    kept = {mine: mine.data for mine in put}
    try:
        _give(put)
        yield into
    finally:
        _give(kept)


def _give(weights: Put) -> None:
    for parameter, own in weights.items():
        parameter.data = own


def _owners(model: HookedModel) -> Owners:
    """Parameters by component; a norm that attention and MLP both read stands at both."""
    top = model.hooked
    last = (top.ln_final, top.unembed)
    found = {
        EMBED: _of(*(part for part in top.children() if part not in (*last, top.blocks))),
        LOGITS: _of(*last),
    }
    for layer, (block, wiring) in enumerate(zip(top.blocks, model.wiring, strict=True)):
        whole = block.mlp.original_component is block.original_component
        parts = (
            [getattr(block.mlp, n, None) for n in ("gate", "in", "out")] if whole else [block.mlp]
        )
        after = [getattr(block, name, None) for name in ("ln1_post", "ln2_post")]
        found[attn_name(layer)] = _of(block.attn, wiring.attention, after[0])
        found[mlp_name(layer)] = _of(*parts, wiring.mlp, after[1])
    return found


def _of(*parts: Any) -> list[Parameter]:
    modules = [part for part in parts if isinstance(part, Module)]
    return list(dict.fromkeys(chain.from_iterable(module.parameters() for module in modules)))


def _require_seen(into: HookedModel, source: HookedModel, own: Owners) -> None:
    seen = set(chain.from_iterable(own.values()))
    pairs = zip(*(Module.named_parameters(model.hooked) for model in (into, source)), strict=True)
    for (name, mine), (_, other) in pairs:
        if mine not in seen and not torch.equal(mine, other):
            raise InputError(
                f"transplant: {name.replace('._original_component', '')} of model type "
                f"{into.family!r} differs, and belongs to no component that hooks show"
            )


def _require_whole_norms(own: Owners, given: Owners, components: Collection[str]) -> None:
    """Refuse one of attention and MLP where both read by one norm, and that norm differs."""
    layers = {parse(name).layer or 0 for name in components}
    for layer in layers:
        both = attn_name(layer), mlp_name(layer)
        if sum(name in components for name in both) != 1 or both[0] not in own:
            continue
        shared = set(own[both[0]]) & set(own[both[1]])
        for mine, other in zip(own[both[0]], given[both[0]], strict=True):
            if mine in shared and not torch.equal(mine, other):
                raise UsageError(
                    f"``components``: {both[0]} and {both[1]} read by one norm, and the two "
                    "variants differ in it; name both, with a comma"
                )


def _put_slices(put: Put, into: HookedModel, source: HookedModel, part: Component) -> None:
    """Rows of q and columns of the output matrix of a head; rows of k and v of a group."""
    number, size = part.head or 0, into.wiring[0].out.shape[1]
    rows = slice(number * size, (number + 1) * size)
    for letter in "qo" if part.kind == "head" else "kv":
        mine, other = (_linear(model, part, letter) for model in (into, source))
        for name in ("weight",) if letter == "o" else ("weight", "bias"):
            own, given = getattr(mine, name), getattr(other, name)
            if own is not None:
                mixed = put.get(own, own.data).clone()
                where = (slice(None), rows) if letter == "o" else rows
                mixed[where] = given.data[where]
                put[own] = mixed


def _linear(model: HookedModel, part: Component, letter: str) -> Linear:
    linear = getattr(model.hooked.blocks[part.layer].attn, letter).original_component
    if not isinstance(linear, Linear):
        raise UsageError(
            f"``components``: hooks do not show the matrices of {part.name} in models of type "
            f"{model.family!r}; name {attn_name(part.layer or 0)}"
        )
    return linear
