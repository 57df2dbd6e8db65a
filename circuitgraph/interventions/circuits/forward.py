"""The decision of a model in which only the edges of a circuit are clean.

Along edges of the circuit a receiver reads the sender's contribution in this run, from every other
sender that of the corrupt run (or its ablation). All components are recomputed (Conmy et al. 2023,
arXiv:2304.14997; Mueller et al. 2025, arXiv:2504.13151). The circuit of all edges gives the clean
decision, the empty one the corrupt decision. Only the prompt's positions are patched.
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
from circuitgraph.engine.model import Attention, Linear, Model
from circuitgraph.engine.norms import require_heads_apart
from circuitgraph.engine.patch import Patch, Window
from circuitgraph.engine.receivers import (
    attention_components,
    first_components,
    has_experts,
    receiver_groups,
)

Circuits = Mapping[tuple[int, str], Tensor]
"""By block and letters: 1 where the circuit has the edge, else 0 [C, receivers, senders]."""


@dataclass(frozen=True)
class _Residual:
    """Contributions in C circuits at the positions [R, W] that are still computed.

    Attributes
    ----------
    alone
        Input of a receiver without edges: the sum of contributions, of the corrupt run on the
        prompt and of this run after it [C, R, W, d].
    changes
        Contributions of this run minus those of the corrupt run, filled as they are computed; 0
        after the prompt [C, S, R, W, d].
    corrupt
        Contributions in the corrupt run [S, R, W, d].
    patched
        1 on the prompt, else 0 [1, R, W, 1].
    """

    alone: Tensor
    changes: Tensor
    corrupt: Tensor
    patched: Tensor

    def at_scored(self, patch: Patch, layer: int) -> _Residual:
        """Restriction to positions where block ``layer`` is still computed."""
        if not patch.is_last(layer):
            return self
        changes = patch.at_scored(self.changes.flatten(0, 1), layer).unflatten(
            0, self.changes.shape[:2]
        )
        others = (patch.at_scored(x, layer) for x in (self.alone, self.corrupt, self.patched))
        alone, corrupt, patched = others
        return _Residual(alone, changes, corrupt, patched)

    def read(self, edges: Tensor) -> Tensor:
        """Inputs [C, P, R, W, d] of P receivers with edges [C, P, S] from the first S senders."""
        changes = self.changes[:, : edges.shape[-1]].flatten(2)
        return self.alone[:, None] + (edges @ changes).unflatten(-1, self.alone.shape[1:])

    def write(self, first: int, parts: Tensor, total: Tensor, bias: Tensor | None) -> _Residual:
        """Add contributions ``parts`` [k, C, R, W, d] of senders from ``first`` (sum ``total``)."""
        last = first + len(parts)
        corrupt = self.corrupt[first:last]
        self.changes[:, first:last] = ((parts - corrupt[:, None]) * self.patched).transpose(0, 1)
        instead = corrupt.sum(0) if bias is None else corrupt.sum(0) + bias
        return replace(self, alone=self.alone + torch.where(self.patched > 0, instead, total))


@torch.no_grad()
def circuit_decisions(
    patch: Patch, circuits: Tensor, granularity: Granularity = "head", inputs: Inputs = "joint"
) -> Tensor:
    """Decision of every prompt in every circuit, [C, n].

    Parameters
    ----------
    patch
        Of one batch, with senders of this granularity.
    circuits
        True for each edge of the circuit, bool [C, edges], edges in the order of
        ``components.effect_edges``.
    granularity
        Of senders and attention receivers.
    inputs
        Inputs q, k and v together, or one at a time.

    Raises
    ------
    UsageError
        Heads of a family with one norm over the queries of all heads.
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
    """Repeat clean keys and values per query head: heads of a group have different inputs."""
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
    for group in receiver_groups(patch.model, granularity, inputs):
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
    now = _initial(patch, corrupt, len(end))
    for layer in range(model.layers):
        now = _run_block(patch, layer, now, circuits, granularity)
    return decide(model, now.read(end)[:, 0], patch.batch)


def _run_block(
    patch: Patch, layer: int, now: _Residual, circuits: Circuits, granularity: Granularity
) -> _Residual:
    """Run one block whose receivers read only along the circuits' edges."""
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

    inputs = now.alone[:, None]  # of the MLP, or of router and experts

    def read(name: str, stream: Tensor) -> Tensor:
        nonlocal inputs
        if name != "mlp":
            return heads[name]
        inputs = (entering if model.parallel else now).read(circuits[layer, "in"])
        return inputs[:, 0]

    window = Window.of(patch, layer)
    out = run_block(model, block, now.alone, window, read=read, write=write).mlp
    parts = out[None]
    if has_experts(model, layer, granularity):
        parts = _experts(model, layer, inputs)
        out = parts.sum(0)
    return now.write(first + own, parts, out, None)


def _experts(model: Model, layer: int, inputs: Tensor) -> Tensor:
    """What experts add [E, C, R, Q, d], of what the router and each of them read
    [C, 1 + E, R, Q, d]: chosen by the one, filled by the other."""
    experts = model.blocks[layer].experts
    normed = experts.norm(inputs).transpose(0, 1).flatten(1, -2)
    routes = routed(experts, normed[0])
    parts = apart(experts, model.activation, routes, lambda number, rows: normed[1 + number, rows])
    return parts.view(-1, len(inputs), *inputs.shape[2:])


def _initial(patch: Patch, corrupt: Tensor, count: int) -> _Residual:
    """Initial state: only the contribution of ``EMBED``, which is that of the clean run."""
    patched = patch.batch.patched
    changes = corrupt.new_empty(count, *corrupt.shape)
    changes[:, 0] = -patch.deltas[0]
    alone = torch.where(patched > 0, corrupt[0], patch.at_window(patch.clean.embed))
    return _Residual(alone.expand(count, *alone.shape), changes, corrupt, patched[None])


def _heads(patch: Patch, layer: int, now: _Residual, circuits: Circuits) -> dict[str, Tensor]:
    """q at the positions block ``layer`` computes, k and v: [C, R, Q or W, heads, e]."""
    model, attention = patch.model, patch.model.blocks[layer].attention
    found: dict[str, Tensor] = {}
    for letters in ("qkv", "q", "k", "v"):
        if (layer, letters) in circuits:
            normed = attention.norm(now.read(circuits[layer, letters]))
            found |= {name: _heads_of(model, attention, name, normed) for name in letters}
    return found | {"q": patch.at_scored(found["q"], layer)}


def _heads_of(model: Model, attention: Attention, name: str, normed: Tensor) -> Tensor:
    """q, k or v of receivers [C, P, R, W, d], each through its own head: [C, R, W, heads, e].

    With one receiver all heads share its input; with one per query head k and v are their group's.
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
