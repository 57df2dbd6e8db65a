"""The decision of a model in which only a circuit, a set of edges, is clean.

Every receiver reads, from each sender it has an edge of the circuit to, what that sender
says in this very run, and from every other sender what it says in the corrupt run (or
what ablation puts in its place). All components recompute, so whatever reaches a sender
through the circuit alone is what it passes on (Conmy et al. 2023, arXiv:2304.14997;
Mueller et al. 2025, arXiv:2504.13151). The circuit of all edges decides as the clean run,
the empty one as the corrupt run. As everywhere, the prompt's positions are patched and
those of the answers recompute.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from circuitgraph.base.components import Granularity, Inputs
from circuitgraph.engine.contributions import attention_parts, contributions
from circuitgraph.engine.decision import decide
from circuitgraph.engine.experts import apart, routed
from circuitgraph.engine.forward import heads_of, post, run_block
from circuitgraph.engine.model import Attention, Experts, Linear, Model
from circuitgraph.engine.norms import require_heads_apart
from circuitgraph.engine.patch import Patch, Window
from circuitgraph.engine.receivers import (
    attention_components,
    first_components,
    has_experts,
    readers,
)

Circuits = Mapping[tuple[int, str], Tensor]
"""By block and letters: 1 where the circuit has the edge, else 0 [C, receivers, senders]."""


@dataclass(frozen=True)
class _Residual:
    """C circuits at the positions that still matter [R, W].

    Attributes:
        alone: what a receiver without any edge reads: on the prompt the sum of what the
            corrupt run's senders write, behind it that of this run's [C, R, W, d].
        said: what this run's senders write more than the corrupt run's, filled as they
            do; 0 behind the prompt [C, S, R, W, d].
        corrupt: what the corrupt run's senders write [S, R, W, d].
        patched: 1 on the prompt, else 0 [1, R, W, 1].
    """

    alone: Tensor
    said: Tensor
    corrupt: Tensor
    patched: Tensor

    def at_scored(self, patch: Patch, layer: int) -> _Residual:
        """The same where block ``layer`` must still compute."""
        if not patch.is_last(layer):
            return self
        said = patch.at_scored(self.said.flatten(0, 1), layer).unflatten(0, self.said.shape[:2])
        others = (patch.at_scored(x, layer) for x in (self.alone, self.corrupt, self.patched))
        alone, corrupt, patched = others
        return _Residual(alone, said, corrupt, patched)

    def read(self, edges: Tensor) -> Tensor:
        """What P receivers with edges [C, P, S] from the first S senders read [C, P, R, W, d]."""
        said = self.said[:, : edges.shape[-1]].flatten(2)
        return self.alone[:, None] + (edges @ said).unflatten(-1, self.alone.shape[1:])

    def write(self, first: int, parts: Tensor, total: Tensor, bias: Tensor | None) -> _Residual:
        """Senders from ``first`` on say ``parts`` [k, C, R, W, d], with the bias ``total``."""
        last = first + len(parts)
        corrupt = self.corrupt[first:last]
        self.said[:, first:last] = ((parts - corrupt[:, None]) * self.patched).transpose(0, 1)
        instead = corrupt.sum(0) if bias is None else corrupt.sum(0) + bias
        return replace(self, alone=self.alone + torch.where(self.patched > 0, instead, total))


@torch.no_grad()
def circuit_decisions(
    patch: Patch, circuits: Tensor, granularity: Granularity = "head", inputs: Inputs = "joint"
) -> Tensor:
    """Decision of every prompt in every circuit, [C, n].

    Args:
        patch: of one batch, with senders of this granularity.
        circuits: True for each edge of the circuit, bool [C, edges], edges in the order
            of ``components.effect_edges``.
        granularity: of senders and attention receivers.
        inputs: receivers read through q, k and v together, or through one at a time.

    Raises:
        UsageError: heads of a family that norms the queries of all of them at once.
    """
    require_heads_apart(patch.model, granularity, "faithfulness of circuits of heads")
    corrupt = contributions(patch.model, patch.clean, patch.batch.index, granularity)
    corrupt += patch.deltas
    if granularity == "head" and inputs == "joint":
        patch = _keys_by_head(patch)
    held = patch.batch.index.numel() * _most_receivers(patch.model, granularity)
    decisions = [
        _decisions(patch, corrupt, _by_receivers(patch, part, granularity, inputs), granularity)
        for part in circuits.split(max(1, patch.chunk_rows // held))
    ]
    return torch.cat(decisions)


def _most_receivers(model: Model, granularity: Granularity) -> int:
    """Receivers that read at one place, at most."""
    experts = 1 + max(model.experts, default=0) if granularity == "head" else 1
    return max(attention_components(model, granularity), experts)


def _keys_by_head(patch: Patch) -> Patch:
    """Clean keys and values once a query head: heads of a group read different sums."""
    group = patch.model.group
    layers = tuple(
        replace(t, k=t.k.repeat_interleave(group, -2), v=t.v.repeat_interleave(group, -2))
        for t in patch.clean.layers
    )
    return replace(patch, clean=replace(patch.clean, layers=layers))


def _by_receivers(
    patch: Patch, circuits: Tensor, granularity: Granularity, inputs: Inputs
) -> Circuits:
    found: dict[tuple[int, str], Tensor] = {}
    start = 0
    for group in readers(patch.model, granularity, inputs):
        first, stop = group.receivers[0], start + sum(map(len, group.senders))
        edges = circuits[:, start:stop].unflatten(1, (len(group.receivers), first.senders))
        found[first.layer, first.letters] = edges.to(patch.deltas.dtype)
        start = stop
    return found


def _decisions(
    patch: Patch, corrupt: Tensor, circuits: Circuits, granularity: Granularity
) -> Tensor:
    model = patch.model
    end = circuits[model.layers, "in"]
    now = _beginning(patch, corrupt, len(end))
    for layer in range(model.layers):
        now = _run_block(patch, layer, now, circuits, granularity)
    return decide(model, now.read(end)[:, 0], patch.batch)


def _run_block(
    patch: Patch, layer: int, now: _Residual, circuits: Circuits, granularity: Granularity
) -> _Residual:
    """One block whose receivers read through the circuits' edges only."""
    model, block = patch.model, patch.model.blocks[layer]
    own = attention_components(model, granularity)
    first = first_components(model, granularity)[layer]
    heads = _heads(patch, layer, now, circuits)
    entering = now.at_scored(patch, layer) if model.parallel else now

    def write(z: Tensor, raw: Tensor) -> Tensor:
        nonlocal now
        parts = attention_parts(block.attention, z, raw, granularity)
        bias = block.attention.out.bias if granularity == "head" else None
        total = post(raw, block.attention.post)
        now = now.at_scored(patch, layer).write(first, parts, total, bias)
        return now.alone

    def read(name: str, stream: Tensor) -> Tensor:
        if name != "mlp":
            return heads[name]
        return (entering if model.parallel else now).read(circuits[layer, "in"])[:, 0]

    window = Window.of(patch, layer)
    out = run_block(model, block, now.alone, window, read=read, write=write).mlp
    parts = out[None]
    if has_experts(model, layer, granularity):
        heard = (entering if model.parallel else now).read(circuits[layer, "in"])
        parts = _experts(model, layer, heard)
        out = parts.sum(0)
    return now.write(first + own, parts, out, None)


def _experts(model: Model, layer: int, heard: Tensor) -> Tensor:
    """What experts add [E, C, R, Q, d], of what the router and each of them read
    [C, 1 + E, R, Q, d]: chosen by the one, filled by the other."""
    experts = model.blocks[layer].mlp
    assert isinstance(experts, Experts)
    normed = experts.norm(heard).transpose(0, 1).flatten(1, -2)
    routes = routed(experts, normed[0])
    parts = apart(experts, model.activation, routes, lambda number, rows: normed[1 + number, rows])
    return parts.view(-1, len(heard), *heard.shape[2:])


def _beginning(patch: Patch, corrupt: Tensor, count: int) -> _Residual:
    """The initial state: only ``EMBED``'s contribution is known, and it is the clean run's."""
    patched = patch.batch.patched
    said = corrupt.new_empty(count, *corrupt.shape)
    said[:, 0] = -patch.deltas[0]
    alone = torch.where(patched > 0, corrupt[0], patch.at_window(patch.clean.embed))
    return _Residual(alone.expand(count, *alone.shape), said, corrupt, patched[None])


def _heads(patch: Patch, layer: int, now: _Residual, circuits: Circuits) -> dict[str, Tensor]:
    """q where block ``layer`` still computes, k and v: [C, R, Q or W, heads, e]."""
    model, attention = patch.model, patch.model.blocks[layer].attention
    found: dict[str, Tensor] = {}
    for letters in ("qkv", "q", "k", "v"):
        if (layer, letters) in circuits:
            normed = attention.norm(now.read(circuits[layer, letters]))
            found |= {name: _heads_of(model, attention, name, normed) for name in letters}
    return found | {"q": patch.at_scored(found["q"], layer)}


def _heads_of(model: Model, attention: Attention, name: str, normed: Tensor) -> Tensor:
    """q, k or v of receivers [C, P, R, W, d], each through its own head: [C, R, W, heads, e].

    One receiver stands for all heads; as many as query heads have their group's k and v.
    """
    receivers = normed.shape[1]
    if receivers == 1:
        return heads_of(model, attention, name, normed[:, 0])
    weights: Linear = getattr(attention, name)
    by_head = weights.weight.unflatten(-1, (-1, model.head_size))
    copies = receivers // by_head.shape[1]
    y = torch.einsum("cprwd,dpe->crwpe", normed, by_head.repeat_interleave(copies, 1))
    if weights.bias is None:
        return y
    return y + weights.bias.unflatten(-1, (-1, model.head_size)).repeat_interleave(copies, 0)
