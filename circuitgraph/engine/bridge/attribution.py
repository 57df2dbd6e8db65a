"""Edge attribution through hooks: ``eap`` and ``eap-ig`` (see ``engine.attribution``)."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from circuitgraph.base.components import Granularity, Inputs
from circuitgraph.engine.attribution import averaged
from circuitgraph.engine.bridge.gradients import bridge_gradients
from circuitgraph.engine.bridge.patch import BridgePatch
from circuitgraph.engine.patch import changed
from circuitgraph.engine.receivers import receivers


def eap_columns(
    patch: BridgePatch, granularity: Granularity = "head", inputs: Inputs = "joint"
) -> Iterator[Tensor]:
    """EAP scores [senders, n] of one receiver after the other."""
    return _columns(patch, patch.clean.blocks[0].pre, granularity, inputs)


def eap_ig_columns(
    patch: BridgePatch, granularity: Granularity = "head", inputs: Inputs = "joint", steps: int = 5
) -> Iterator[Tensor]:
    """EAP-IG scores [senders, n] of one receiver after the other."""
    clean = patch.clean.blocks[0].pre
    ends = clean + patch.deltas[0], clean
    return averaged(lambda x: _columns(patch, x, granularity, inputs), *ends, steps)


def _columns(
    patch: BridgePatch, start: Tensor, granularity: Granularity, inputs: Inputs
) -> Iterator[Tensor]:
    bridge, found = patch.bridge, bridge_gradients(patch, start)
    for receiver in receivers(bridge, granularity, inputs):
        if receiver.heads is not None:
            gradient = found.by_input(receiver, bridge.heads, bridge.kv_heads)
        elif receiver.layer < bridge.layers:
            gradient = found.mlp_read[receiver.layer]
        else:
            gradient = found.last
        deltas = patch.deltas[: receiver.senders]
        by_row = torch.einsum("srtd,rtd->sr", deltas, gradient)
        yield patch.batch.by_prompt(by_row) * changed(deltas, patch.batch)
