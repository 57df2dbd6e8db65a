"""What each component adds to the residual stream.

Heads: their slice of the attention output times the output matrix; with a post-norm
(Gemma-2) scaled by that norm with the scale of the same run, so that the contributions
of one run, plus the output bias where there is one, sum to its residual stream.
"""

from __future__ import annotations

import torch
from torch import Tensor

from circuitgraph.components import Granularity
from circuitgraph.engine.batches import gather
from circuitgraph.engine.forward import LayerTrace, Trace, post
from circuitgraph.engine.model import Attention, Model


def contributions(model: Model, trace: Trace, index: Tensor, granularity: Granularity) -> Tensor:
    """Contributions of ``EMBED`` and all components in order of computation.

    Args:
        trace: of a run over R rows.
        index: positions wanted [R, W].
        granularity: heads one by one, or whole attention layers (output bias included).

    Returns:
        [1 + components, R, W, d].
    """
    parts = [gather(trace.embed, index)[None]]
    for block, layer in zip(model.blocks, trace.layers, strict=True):
        parts.append(_attention(block.attention, layer, index, granularity))
        parts.append(gather(layer.mlp, index)[None])
    return torch.cat(parts)


def _attention(
    attention: Attention, layer: LayerTrace, index: Tensor, granularity: Granularity
) -> Tensor:
    raw = gather(layer.raw, index)
    if granularity == "layer":
        return post(raw, attention.post)[None]
    z = gather(layer.z, index)
    heads, size = z.shape[-2:]
    out = attention.out.weight.view(heads, size, -1)
    by_head = torch.einsum("rwhe,hed->hrwd", z, out)
    if attention.post is None:
        return by_head
    return attention.post.linear(by_head, attention.post.scale(raw))
