"""Shared state for patching edges of a bridge's batch (see ``engine.patch``)."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from circuitgraph.base.components import Granularity
from circuitgraph.engine.batches import Batch
from circuitgraph.engine.bridge.decisions import decide_logits
from circuitgraph.engine.bridge.parts import bridge_contributions
from circuitgraph.engine.bridge.reading import put_where
from circuitgraph.engine.bridge.wrapped import Bridge, BridgeTrace, Hook, logits_of, trace_of
from circuitgraph.engine.interface import EffectSpec
from circuitgraph.engine.patch import CHUNK_ROWS
from circuitgraph.engine.receivers import attention_components

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
