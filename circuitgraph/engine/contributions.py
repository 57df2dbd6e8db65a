"""Direct contributions of every component to the residual stream.

Heads: their slice of the attention output times the output matrix; with a post-norm
(Gemma-2) scaled by that norm with the scale of the same run, so that the contributions
of one run, plus the output bias where there is one, sum to its residual stream. Experts:
their output times the router's weight, 0 where they are not chosen.
"""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor

from circuitgraph.base.components import Granularity
from circuitgraph.engine.batches import gather
from circuitgraph.engine.experts import apart, routed
from circuitgraph.engine.forward import LayerTrace, Trace, post
from circuitgraph.engine.model import Attention, Experts, Mlp, Model
from circuitgraph.engine.receivers import first_components


def contributions(model: Model, trace: Trace, index: Tensor, granularity: Granularity) -> Tensor:
    """Contributions [1 + components, R, W, d] of ``EMBED`` and all components, as computed.

    ``trace`` is of a run over R rows, ``index`` [R, W] the positions wanted. With granularity
    ``layer`` attention layers are whole, output bias included.
    """
    parts = (
        part
        for block, layer in zip(model.blocks, trace.layers, strict=True)
        for part in (
            attention_parts(
                block.attention, gather(layer.z, index), gather(layer.raw, index), granularity
            ),
            _mlp(model, block.mlp, layer, index, granularity),
        )
    )
    return stacked(gather(trace.embed, index), first_components(model, granularity)[-1], parts)


def stacked(embed: Tensor, components: int, parts: Iterable[Tensor]) -> Tensor:
    """``EMBED`` [R, W, d] and the components of branch after branch [k, R, W, d] as one tensor."""
    whole = embed.new_empty(components, *embed.shape)  # the largest array of all
    whole[0], start = embed, 1
    for part in parts:
        whole[start : start + len(part)] = part
        start += len(part)
    return whole


def _mlp(
    model: Model, weights: Mlp | Experts, layer: LayerTrace, index: Tensor, granularity: Granularity
) -> Tensor:
    if granularity == "layer" or not isinstance(weights, Experts):
        return gather(layer.mlp, index)[None]
    read = gather(layer.read, index)
    normed = weights.norm(read.flatten(0, 1))
    parts = apart(weights, model.activation, routed(weights, normed), lambda _, rows: normed[rows])
    return parts.view(-1, *read.shape)


def attention_parts(
    attention: Attention, z: Tensor, raw: Tensor, granularity: Granularity
) -> Tensor:
    """Contributions [components, ..., d] of one attention layer's components.

    ``z`` [..., H, e] is before the output matrix, ``raw`` [..., d] the output before the
    post-norm, bias included.
    """
    if granularity == "layer":
        return post(raw, attention.post)[None]
    heads, size = z.shape[-2:]
    out = attention.out.weight.view(heads, size, -1)
    by_head = torch.einsum("...he,hed->h...d", z, out)
    if attention.post is None:
        return by_head
    return attention.post.linear(by_head, attention.post.scale(raw))
