"""What each component adds to the stream of a bridge's run (see ``engine.contributions``)."""

from __future__ import annotations

import torch
from torch import Tensor

from circuitgraph.base.components import Granularity, writers
from circuitgraph.engine.batches import gather
from circuitgraph.engine.bridge.wrapped import BlockTrace, Bridge, BridgeTrace, Wiring


def bridge_contributions(
    bridge: Bridge, trace: BridgeTrace, index: Tensor, granularity: Granularity
) -> Tensor:
    """Contributions of ``EMBED`` and all components in order of computation.

    Args:
        trace: of a run over R rows.
        index: positions wanted [R, W].
        granularity: heads one by one, or whole attention layers (output bias included).

    Returns:
        [1 + components, R, W, d].
    """
    count = 1 + len(writers(bridge.layers, bridge.heads, granularity))
    whole = trace.final.new_empty(count, *index.shape, bridge.width)
    whole[0] = gather(trace.blocks[0].pre, index)
    own = count // bridge.layers
    for number, (wiring, block) in enumerate(zip(bridge.wiring, trace.blocks, strict=True)):
        part = whole[1 + number * own : 1 + (number + 1) * own]
        part[:-1] = _attention(wiring, block, index, granularity)
        part[-1] = gather(block.mlp, index)
    return whole


def _attention(
    wiring: Wiring, block: BlockTrace, index: Tensor, granularity: Granularity
) -> Tensor:
    if granularity == "layer":
        return gather(block.attention, index)[None]
    by_head = torch.einsum("rwhe,hed->hrwd", gather(block.z, index), wiring.out)
    if wiring.post is None:
        return by_head
    return wiring.post.linear(by_head, wiring.post.scale(by_head.sum(0) + wiring.bias))
