"""The clean and the patched run of a batch under hooks (see ``engine.patch``).

Also hooks on one receiver's input, and total effects of components from them.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor

from circuitgraph.base.components import Granularity
from circuitgraph.engine.batches import Batch
from circuitgraph.engine.bridge.wrapped import (
    Bridge,
    BridgeTrace,
    Hook,
    Reading,
    bridge_contributions,
    decide_logits,
    hook_name,
    logits_of,
    trace_of,
)
from circuitgraph.engine.interface import EffectSpec
from circuitgraph.engine.patch import CHUNK_ROWS, changed
from circuitgraph.engine.receivers import attention_components, first_components


def patch_attention_input(bridge: Bridge, layer: int, delta: Tensor) -> list[Hook]:
    """Add delta [R, T, d] to the input stream of attention, for q, k and v."""
    return _patch_input(layer, "attention_in", bridge.wiring[layer].attention, ("pre",), delta)


def patch_mlp_input(bridge: Bridge, layer: int, delta: Tensor) -> list[Hook]:
    """Add delta [R, T, d] to the input stream of the MLP."""
    summed = ("pre",) if bridge.parallel else ("pre", "attention")
    return _patch_input(layer, "mlp_in", bridge.wiring[layer].mlp, summed, delta)


def add_to_stream(layer: int, place: str, delta: Tensor) -> list[Hook]:
    """Add delta [R, T, d] to the stream that enters (``pre``) or leaves (``post``) a block."""
    return [(hook_name(layer, place), lambda x, hook: x + delta)]


def _patch_input(
    layer: int, reader: str, norm: Reading, summed: tuple[str, ...], delta: Tensor
) -> list[Hook]:
    stream: dict[str, Tensor] = {}

    def keep(name: str) -> Callable[[Tensor, Any], None]:
        def note(x: Tensor, hook: Any) -> None:
            stream[name] = x

        return note

    def read(x: Tensor, hook: Any) -> Tensor:
        return norm(sum((stream[name] for name in summed), delta))

    seen: list[Hook] = [(hook_name(layer, name), keep(name)) for name in summed]
    return [*seen, (hook_name(layer, reader), read)]


def put(layer: int, place: str, value: Tensor) -> Hook:
    """Replace an activation of a block."""
    return (hook_name(layer, place), lambda x, hook: value)


def put_where(layer: int, place: str, value: Tensor, chosen: Tensor) -> Hook:
    """Replace an activation where ``chosen`` (broadcast) is true."""
    return (hook_name(layer, place), lambda x, hook: value.where(chosen, x))


CHUNK_LOGITS = 1 << 26
"""Logits held at once (256 MB): the library's forward makes them at every position."""


@dataclass(frozen=True)
class BridgePatch:
    """The clean run of a batch and the change of every sender.

    Attributes
    ----------
    deltas : [1 + components, R, T, d]
        The patched contribution of each sender minus the clean one; 0 where nothing is patched.
    base, total : [n]
        Decision of the clean run and of the corrupt (ablated) one.
    at_once : int
        Copies of the batch that one forward may hold.
    """

    bridge: Bridge
    batch: Batch
    clean: BridgeTrace
    deltas: Tensor
    base: Tensor
    total: Tensor
    at_once: int


def corrupt_decision(logits: Tensor, batch: Batch) -> Tensor:
    """Decision [n] of corrupt rows, which may be scored at other positions."""
    return decide_logits(logits, replace(batch, read=batch.corrupt_read))[0]


def bridge_patch(bridge: Bridge, batch: Batch, spec: EffectSpec) -> BridgePatch:
    """Run clean and corrupt (or ablated) prompts of a batch once."""
    granularity, ablated = spec.granularity, spec.ablated
    rows, length = batch.clean.shape
    steps = torch.arange(length).expand(rows, -1)
    with bridge.rows(batch.ends):
        clean = trace_of(bridge.hooked, bridge.layers, batch.clean)
    senders = bridge_contributions(bridge, clean, steps, granularity)
    if ablated is None:
        with bridge.rows(batch.corrupt_ends):
            corrupt = trace_of(bridge.hooked, bridge.layers, batch.corrupt)
        there = batch.partners.clamp_min(0)
        deltas = bridge_contributions(bridge, corrupt, there, granularity).sub_(senders)
        total = corrupt_decision(corrupt.logits, batch)
    else:
        deltas = ablated[:, None, None, :] - senders
        hooks = _ablation(bridge, batch, ablated, granularity)
        with bridge.rows(batch.ends):
            total = decide_logits(logits_of(bridge.hooked, batch.clean, hooks), batch)[0]
    within = (steps >= batch.start[:, None]) & (steps < batch.prompt_end[:, None])
    within &= batch.partners >= 0
    positions = min(spec.chunk_rows or CHUNK_ROWS, CHUNK_LOGITS // bridge.vocabulary)
    return BridgePatch(
        bridge=bridge,
        batch=batch,
        clean=clean,
        deltas=deltas.mul_(within[..., None]),
        base=decide_logits(clean.logits, batch)[0],
        total=total,
        at_once=max(1, positions // (rows * length)),
    )


def _ablation(
    bridge: Bridge, batch: Batch, ablated: Tensor, granularity: Granularity
) -> list[Hook]:
    """Set every prompt position's stream to the sum of ablated contributions (and biases)."""
    steps = torch.arange(batch.clean.shape[1])
    inside = (steps < batch.prompt_end[:, None])[..., None]
    stream = ablated[0]
    hooks = [put_where(0, "pre", stream, inside)]
    parts = ablated[1:].split(attention_components(bridge, granularity) + 1)
    for layer, part in enumerate(parts):
        stream = stream + part.sum(0)
        if granularity == "head":
            stream = stream + bridge.wiring[layer].bias
        hooks.append(put_where(layer, "post", stream, inside))
    return hooks


@torch.no_grad()
def component_effects(patch: BridgePatch, granularity: Granularity) -> Tensor:
    """decision(one contribution replaced) − decision(clean), of ``EMBED`` and all components.

    Returns
    -------
    Tensor [1 + components, n]
        In nats, exact: everything downstream is recomputed.
    """
    bridge = patch.bridge
    own = attention_components(bridge, granularity)
    firsts = first_components(bridge, granularity)
    found = [_effects(patch, slice(0, 1), partial(add_to_stream, 0, "pre"))]
    for layer, (first, end) in enumerate(pairwise(firsts)):
        heads, rest = slice(first, first + own), slice(first + own, end)
        found.append(_effects(patch, heads, partial(add_attention, bridge, layer)))
        found.append(_effects(patch, rest, partial(add_to_stream, layer, "post")))
    return torch.cat(found)


def add_attention(bridge: Bridge, layer: int, delta: Tensor) -> list[Hook]:
    """What attention adds reaches its own layer's MLP, unless blocks are parallel, and the rest."""
    within = [] if bridge.parallel else patch_mlp_input(bridge, layer, delta)
    return [*within, *add_to_stream(layer, "post", delta)]


def _effects(patch: BridgePatch, senders: slice, hooks: Callable[[Tensor], list[Hook]]) -> Tensor:
    """Effects [senders, n]."""
    batch, parts = patch.batch, []
    for deltas in patch.deltas[senders].split(patch.at_once):
        rows = batch.clean.repeat(len(deltas), 1)
        with patch.bridge.rows(batch.ends):
            logits = logits_of(patch.bridge.hooked, rows, hooks(deltas.flatten(0, 1)))
        parts.append((decide_logits(logits, batch) - patch.base) * changed(deltas, batch))
    return torch.cat(parts)
