"""How the decision leans on everything a receiver can read, from one backward pass."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from circuitgraph.engine.batches import Batch, gather
from circuitgraph.engine.decision import decide
from circuitgraph.engine.forward import attend, heads_of, mlp, placed, post, visible
from circuitgraph.engine.model import Block, Model


@dataclass(frozen=True)
class LayerGradients:
    """Gradients of every prompt's own decision in one block.

    Attributes:
        pre: the residual stream entering the block in this run [R, T, d], no gradient.
        q, k, v: before head norms and rotation, k and v as each query head sees them
            [R, T, H, e].
        z: of what each head reads out [R, T, H, e].
        read: of what the MLP reads [R, T, d].
        after: of the residual stream leaving the block [R, T, d].
    """

    pre: Tensor
    q: Tensor
    k: Tensor
    v: Tensor
    z: Tensor
    read: Tensor
    after: Tensor


def gradients(model: Model, batch: Batch, start: Tensor) -> tuple[LayerGradients, ...]:
    """Gradients of the decision in a run over the clean tokens from an embedding [R, T, d].

    Every row belongs to one prompt, so the gradient of the sum of all decisions is, row
    by row, that of the prompt's own.
    """
    with torch.enable_grad():
        x = start.detach().requires_grad_(True)
        streams, nodes = [x], []
        for block in model.blocks:
            mine, x = _block(model, block, x)
            nodes.append(mine)
            streams.append(x)
        decision = decide(model, gather(x, batch.read), batch).sum()
    flat = torch.autograd.grad(decision, [t for mine in nodes for t in mine] + streams[1:])
    after = flat[-model.layers :]
    found = []
    for layer in range(model.layers):
        q, k, v, z, read = flat[5 * layer : 5 * layer + 5]
        found.append(LayerGradients(streams[layer].detach(), q, k, v, z, read, after[layer]))
    return tuple(found)


def _block(model: Model, block: Block, x: Tensor) -> tuple[list[Tensor], Tensor]:
    """Nodes q, k, v, z, read of one block, and the stream that leaves it."""
    attention = block.attention
    rows, length = x.shape[:2]
    positions = torch.arange(length, device=x.device).expand(rows, length)
    normed = attention.norm(x)
    q, k, v = (heads_of(model, attention, name, normed) for name in "qkv")
    k, v = (t.repeat_interleave(model.group, -2) for t in (k, v))
    seen = visible(positions, positions, attention.window)
    asking, asked = (
        placed(model, attention, name, t, positions) for name, t in (("q", q), ("k", k))
    )
    z = attend(model, attention, asking, asked, v, seen)
    mid = x + post(attention.out(z.flatten(-2)), attention.post)
    read = mid.view_as(mid)  # a node of its own: what the MLP reads, not what passes it by
    return [q, k, v, z, read], mid + mlp(model, block, read)
