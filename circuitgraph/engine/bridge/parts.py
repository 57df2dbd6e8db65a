"""Direct contributions of every component in a bridge's run (see ``engine.contributions``)."""

from __future__ import annotations

import torch
from torch import Tensor

from circuitgraph.base.components import Granularity
from circuitgraph.engine.batches import gather
from circuitgraph.engine.bridge.wrapped import BlockTrace, Bridge, BridgeTrace, Wiring
from circuitgraph.engine.contributions import stacked
from circuitgraph.engine.receivers import first_components


def bridge_contributions(
    bridge: Bridge, trace: BridgeTrace, index: Tensor, granularity: Granularity
) -> Tensor:
    """As ``engine.contributions``, of a bridge's run [1 + components, R, W, d]."""
    parts = (
        part
        for wiring, block in zip(bridge.wiring, trace.blocks, strict=True)
        for part in (_attention(wiring, block, index, granularity), gather(block.mlp, index)[None])
    )
    count = first_components(bridge, granularity)[-1]
    return stacked(gather(trace.blocks[0].pre, index), count, parts)


def _attention(
    wiring: Wiring, block: BlockTrace, index: Tensor, granularity: Granularity
) -> Tensor:
    if granularity == "layer":
        return gather(block.attention, index)[None]
    by_head = torch.einsum("rwhe,hed->hrwd", gather(block.z, index), wiring.out)
    if wiring.post is None:
        return by_head
    return wiring.post.linear(by_head, wiring.post.scale(by_head.sum(0) + wiring.bias))
