"""What each component adds to the residual stream.

Heads: their slice of the attention output times the output matrix; with a post-norm
(Gemma-2) scaled by that norm with the scale of the same run, so that the contributions
of one run, plus the output bias where there is one, sum to its residual stream.
"""

from __future__ import annotations

import torch
from torch import Tensor

from circuitgraph.base.components import Granularity, writers
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
    count = 1 + len(writers(model.layers, model.heads, granularity))
    whole = trace.embed.new_empty(count, *index.shape, model.width)  # the largest array of all
    whole[0] = gather(trace.embed, index)
    own = count // model.layers
    for number, (block, layer) in enumerate(zip(model.blocks, trace.layers, strict=True)):
        part = whole[1 + number * own : 1 + (number + 1) * own]
        part[:-1] = _attention(block.attention, layer, index, granularity)
        part[-1] = gather(layer.mlp, index)
    return whole


def _attention(
    attention: Attention, layer: LayerTrace, index: Tensor, granularity: Granularity
) -> Tensor:
    return attention_parts(attention, gather(layer.z, index), gather(layer.raw, index), granularity)


def attention_parts(
    attention: Attention, z: Tensor, raw: Tensor, granularity: Granularity
) -> Tensor:
    """What one attention layer's components add to the stream, [components, ..., d].

    Args:
        z: before the output matrix [..., H, e].
        raw: output before the post-norm, bias included [..., d].
    """
    if granularity == "layer":
        return post(raw, attention.post)[None]
    heads, size = z.shape[-2:]
    out = attention.out.weight.view(heads, size, -1)
    by_head = torch.einsum("...he,hed->h...d", z, out)
    if attention.post is None:
        return by_head
    return attention.post.linear(by_head, attention.post.scale(raw))
