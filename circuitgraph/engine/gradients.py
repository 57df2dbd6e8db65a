"""Gradient of the decision with respect to every receiver's input, from one backward pass."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from circuitgraph.base.components import Granularity
from circuitgraph.engine.batches import Batch, gather
from circuitgraph.engine.decision import decide
from circuitgraph.engine.forward import Span, run_block, stream_reader
from circuitgraph.engine.model import Attention, Block, Experts, Model, Norm
from circuitgraph.engine.norms import JointNorm


@dataclass(frozen=True)
class LayerGradients:
    """Gradients of every prompt's own decision in one block.

    Attributes
    ----------
    pre : [R, T, d]
        The residual stream entering the block in this run; no gradient.
    q, k, v : [R, T, H, e]
        By the projections before head norms and rotation, k and v once a query head; where a
        norm spans all heads and heads are receivers, by each head's own part in it.
    z : [R, T, H, e]
        By each head's output before the output matrix.
    mixture_in : [R, T, d] or None
        Input of router and experts in this run, where there are some; no gradient.
    read : [R, T, d]
        By the MLP's input.
    after : [R, T, d]
        By the residual stream leaving the block.
    """

    pre: Tensor
    q: Tensor
    k: Tensor
    v: Tensor
    z: Tensor
    mixture_in: Tensor | None
    read: Tensor
    after: Tensor


@dataclass(frozen=True)
class _TrackedNorm(JointNorm):
    """A norm over all heads that tracks the gradient by every head's own part in it.

    ``own`` holds what it normed [R, T, heads, e], by ``name`` (``q`` or ``k``), as nodes that only
    each head's own output reads: the others' change by their common scale is left out.
    """

    own: dict[str, Tensor]
    name: str

    def __call__(self, x: Tensor) -> Tensor:
        """The norm over all heads together [..., heads, size]."""
        node = self.own[self.name] = x.detach().requires_grad_(True)
        alone = self.alone(node, x.detach())
        return super().__call__(x) + (alone - alone.detach())


def gradients(
    model: Model, batch: Batch, start: Tensor, granularity: Granularity = "head"
) -> tuple[LayerGradients, ...]:
    """Gradients of the decision in a run over the clean tokens from ``start`` [R, T, d].

    ``granularity``: whether heads or whole layers are receivers. Every row belongs to one prompt,
    so the gradient of the sum of all decisions is, row by row, that of the prompt's own.
    """
    with torch.enable_grad():
        x, span = start.detach().requires_grad_(True), Span.whole(batch.clean)
        streams, nodes = [x], []
        for block in model.blocks:
            mine, x = _run_block(model, block, x, span, granularity)
            nodes.append(mine)
            streams.append(x)
        decision = decide(model, gather(x, batch.read), batch).sum()
    flat = torch.autograd.grad(decision, [t for mine in nodes for t in mine] + streams[1:])
    after = flat[-model.layers :]
    found = []
    for layer, block in enumerate(model.blocks):
        q, k, v, z, read = flat[5 * layer : 5 * layer + 5]
        mixture_in = nodes[layer][-1].detach() if isinstance(block.mlp, Experts) else None
        found.append(
            LayerGradients(streams[layer].detach(), q, k, v, z, mixture_in, read, after[layer])
        )
    return tuple(found)


def _run_block(
    model: Model, block: Block, x: Tensor, span: Span, granularity: Granularity
) -> tuple[list[Tensor], Tensor]:
    """Nodes q, k, v, z, read of one block, and the stream that leaves it."""
    stream_read = stream_reader(model, block.attention, x, span)
    nodes: dict[str, Tensor] = {}
    own: dict[str, Tensor] = {}
    if granularity == "head":
        block = replace(block, attention=_tracked(block.attention, own))

    def read(name: str, stream: Tensor) -> Tensor:
        y = stream_read(name, stream)
        if name in ("k", "v"):
            y = y.repeat_interleave(model.group, -2)
        elif name == "mlp":  # a node of its own: what the MLP reads, not what passes it by
            y = y.view_as(y)
        nodes[name] = y
        return y

    trace = run_block(model, block, x, span, read=read)
    nodes |= own
    return [nodes["q"], nodes["k"], nodes["v"], trace.z, nodes["mlp"]], trace.mid + trace.mlp


def _tracked(attention: Attention, own: dict[str, Tensor]) -> Attention:
    """The attention with norms over all heads that track each head's own part."""

    def tracked(norm: Norm | None, name: str) -> Norm | None:
        return (
            _TrackedNorm(**vars(norm), own=own, name=name) if isinstance(norm, JointNorm) else norm
        )

    q_norm, k_norm = tracked(attention.q_norm, "q"), tracked(attention.k_norm, "k")
    return replace(attention, q_norm=q_norm, k_norm=k_norm)
