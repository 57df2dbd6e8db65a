"""Exact effect of every direct edge, by hooks: many edges as rows of one whole forward.

An attention receiver is run by letting all of q, k and v of its layer read the change,
putting back those inputs that are not meant to, and then putting back all heads but its
own. Heads of one layer read nothing of each other, so this is the receiver alone.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from circuitgraph.base.components import Granularity
from circuitgraph.engine.batches import Batch
from circuitgraph.engine.bridge.decisions import decide_logits, mass_of
from circuitgraph.engine.bridge.parts import bridge_contributions
from circuitgraph.engine.bridge.reading import (
    attention_hears,
    logits_hear,
    mlp_hears,
    put,
    put_where,
)
from circuitgraph.engine.bridge.wrapped import (
    LETTERS,
    Bridge,
    BridgeTrace,
    Hook,
    logits_of,
    trace_of,
)
from circuitgraph.engine.interface import Effects, EffectSpec
from circuitgraph.engine.patch import changed
from circuitgraph.engine.receivers import Readers, Receiver, attention_components, readers

CHUNK_LOGITS = 1 << 26
"""Logits held at once (256 MB): the library's forward makes them at every position."""


@dataclass(frozen=True)
class _Patch:
    """What all receivers of one batch share (see ``engine.patch.Patch``); windows are rows."""

    bridge: Bridge
    batch: Batch
    clean: BridgeTrace
    deltas: Tensor
    base: Tensor
    total: Tensor
    at_once: int


@torch.no_grad()
def bridge_effects(bridge: Bridge, batch: Batch, spec: EffectSpec) -> Effects:
    """Effect of every edge for every prompt of a batch."""
    patch = _make_patch(bridge, batch, spec)
    with bridge.rows(batch.ends):
        groups = readers(bridge, spec.granularity, spec.inputs, spec.edges)
        columns = [_columns(patch, group) for group in groups]
    return Effects(
        effects=torch.cat(columns).T.contiguous(),
        totals=patch.total - patch.base,
        decisions=patch.base,
        mass=mass_of(patch.clean.logits, batch),
    )


def decisions_of(bridge: Bridge, batch: Batch) -> tuple[Tensor, Tensor, Tensor]:
    """Clean and corrupt decision, and answer mass, of every prompt [n]."""
    with bridge.rows(batch.ends):
        clean = logits_of(bridge.hooked, batch.clean)
    with bridge.rows(batch.corrupt_ends):
        corrupt = logits_of(bridge.hooked, batch.corrupt)
    return decide_logits(clean, batch)[0], _corrupt_decision(corrupt, batch), mass_of(clean, batch)


def _corrupt_decision(logits: Tensor, batch: Batch) -> Tensor:
    """Decision [n] of corrupt rows, which may be judged at other positions."""
    return decide_logits(logits, replace(batch, read=batch.corrupt_read))[0]


def _make_patch(bridge: Bridge, batch: Batch, spec: EffectSpec) -> _Patch:
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
        total = _corrupt_decision(corrupt.logits, batch)
    else:
        deltas = ablated[:, None, None, :] - senders
        hooks = _ablation(bridge, batch, ablated, granularity)
        with bridge.rows(batch.ends):
            total = decide_logits(logits_of(bridge.hooked, batch.clean, hooks), batch)[0]
    within = (steps >= batch.start[:, None]) & (steps < batch.prompt_end[:, None])
    within &= batch.partners >= 0
    positions = min(spec.chunk_rows, CHUNK_LOGITS // bridge.vocabulary)
    return _Patch(
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
    """Every prompt position's stream made of ablated contributions (and biases) alone."""
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


def _columns(patch: _Patch, group: Readers) -> Tensor:
    """Effects [edges, n] of the receivers of one layer and letter, one after the other."""
    receiver = [i for i, senders in enumerate(group.senders) for _ in senders]
    sender = torch.cat(group.senders)
    found = [patch.base.new_empty(0, patch.batch.n)]
    for chunk in torch.arange(len(sender)).split(patch.at_once) if receiver else ():
        deltas = patch.deltas[sender[chunk]]
        hooks = _hooks(patch, [group.receivers[receiver[i]] for i in chunk.tolist()], deltas)
        rows = patch.batch.clean.repeat(len(chunk), 1)
        decided = decide_logits(logits_of(patch.bridge.hooked, rows, hooks), patch.batch)
        # Where a sender's contribution is unchanged, no rounding is left behind either.
        found.append((decided - patch.base) * changed(deltas, patch.batch))
    return torch.cat(found)


def _hooks(patch: _Patch, receivers: list[Receiver], deltas: Tensor) -> list[Hook]:
    """Hooks of one forward in which copy i of the batch is receiver i reading delta i."""
    bridge, first = patch.bridge, receivers[0]
    flat = deltas.flatten(0, 1)
    if first.layer == bridge.layers:
        return logits_hear(bridge, flat)
    if first.heads is None:
        return mlp_hears(bridge, first.layer, flat)
    clean, copies = patch.clean.blocks[first.layer], len(receivers)
    still = torch.ones(copies, bridge.heads, dtype=torch.bool)
    for row, receiver in enumerate(receivers):
        still[row, receiver.heads] = False
    still = still.repeat_interleave(len(patch.batch.clean), 0)
    deaf = [letter for letter in LETTERS if letter not in first.letters]
    hears = first.letters if bridge.mixed else ""
    return [
        *attention_hears(bridge, first.layer, flat),
        *(put(first.layer, a, _copies(getattr(clean, a), copies)) for a in deaf),
        *(_apart(bridge, first.layer, a, _copies(getattr(clean, a), copies), still) for a in hears),
        put_where(first.layer, "z", _copies(clean.z, copies), still[:, None, :, None]),
    ]


def _apart(bridge: Bridge, layer: int, letter: str, clean: Tensor, still: Tensor) -> Hook:
    """What other heads project stays clean, so that a norm over all sees one head's change.

    Args:
        clean: q, k or v [N · R, T, …].
        still: the heads that are no receiver [N · R, H].
    """
    if letter != "q":
        still = still.unflatten(1, (bridge.kv_heads, -1)).all(-1)
    wide = still.repeat_interleave(clean[0, 0].numel() // still.shape[1], 1)
    return put_where(layer, letter, clean, wide.view(len(wide), 1, *clean.shape[2:]))


def _copies(x: Tensor, count: int) -> Tensor:
    return x.repeat(count, *[1] * (x.dim() - 1))
