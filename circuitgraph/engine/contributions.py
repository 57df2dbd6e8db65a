"""What each component adds to the residual stream.

Heads: their slice of the attention output times the output matrix; with a post-norm
(Gemma-2) scaled by that norm with the scale of the same run, so that the contributions
of one run, plus the output bias where there is one, sum to its residual stream.
"""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor

from circuitgraph.base.components import Granularity
from circuitgraph.engine.batches import gather
from circuitgraph.engine.forward import LayerTrace, Trace, post
from circuitgraph.engine.model import Attention, Model
from circuitgraph.engine.receivers import attention_components


def contributions(model: Model, trace: Trace, index: Tensor, granularity: Granularity) -> Tensor:
    """Contributions of ``EMBED`` and all components in order of computation.

    Parameters
    ----------
    model : Model
    trace : Trace
        Of a run over R rows.
    index : int [R, W]
        Positions wanted.
    granularity : Granularity
        Heads one by one, or whole attention layers (output bias included).

    Returns
    -------
    [1 + components, R, W, d]
    """
    own = attention_components(model, granularity) + 1
    parts = (
        (_attention(block.attention, layer, index, granularity), gather(layer.mlp, index))
        for block, layer in zip(model.blocks, trace.layers, strict=True)
    )
    return stacked(gather(trace.embed, index), model.layers * own, parts)


def stacked(embed: Tensor, components: int, parts: Iterable[tuple[Tensor, Tensor]]) -> Tensor:
    """``EMBED`` [R, W, d], then every layer's attention components and its MLP."""
    whole = embed.new_empty(1 + components, *embed.shape)  # the largest array of all
    whole[0], start = embed, 1
    for attention, mlp in parts:
        stop = start + len(attention)
        whole[start:stop], whole[stop] = attention, mlp
        start = stop + 1
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
