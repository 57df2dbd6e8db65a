"""Total effect of ablating a component: its contribution replaced for all receivers at once."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import torch
from torch import Tensor

from circuitgraph.base.components import Granularity
from circuitgraph.engine.batches import gather
from circuitgraph.engine.bridge.patch import component_effects
from circuitgraph.engine.decision import decide
from circuitgraph.engine.exact import resume
from circuitgraph.engine.forward import mlp
from circuitgraph.engine.patch import Patch
from circuitgraph.engine.receivers import (
    attention_components,
    component_names,
    first_components,
)
from circuitgraph.models.hooked import Hooked
from circuitgraph.models.stored import StoredModel
from circuitgraph.nodes.record import Node, NodeValues


@torch.no_grad()
def ablation(model: StoredModel) -> NodeValues:
    """decision(run with one contribution replaced) − decision(clean), of every component, in nats.

    Replaced at the prompt's positions by the run's ablation (corrupt, mean or zero); everything
    downstream is recomputed, so the effect is exact.
    """
    engine, granularity = model.engine, model.spec.granularity
    names = component_names(engine, granularity)
    values = np.zeros((len(model.prompts), len(names)), np.float32)
    if isinstance(model, Hooked):
        for rows, hooked in model.hooked_batches():
            values[rows] = component_effects(hooked, granularity).T.numpy()
    else:
        for rows, patch in model.batches():
            values[rows] = _effects(patch, granularity).T.numpy()
    return NodeValues(tuple(Node(name) for name in names), values)


def _effects(patch: Patch, granularity: Granularity) -> Tensor:
    """Effects [1 + components, n]."""
    found = [_resumed(patch, 0, patch.at_window(patch.clean.embed) + patch.deltas[:1])]
    own, firsts = (
        attention_components(patch.model, granularity),
        first_components(patch.model, granularity),
    )
    for layer, (first, end) in enumerate(pairwise(firsts)):
        heads, others = torch.arange(first, first + own), torch.arange(first + own, end)
        found += [_through_attention(patch, layer, chunk) for chunk in patch.chunks(heads)]
        found += [_through_mlp(patch, layer, chunk) for chunk in patch.chunks(others)]
    return torch.cat(found) * patch.changed


def _through_attention(patch: Patch, layer: int, senders: Tensor) -> Tensor:
    model, index = patch.model, patch.queries(layer)
    mid = gather(patch.clean.layers[layer].mid, index) + patch.at_scored(
        patch.deltas[senders], layer
    )
    if model.parallel:  # the MLP reads the stream before attention
        out = gather(patch.clean.layers[layer].mlp, index)
    else:
        out = mlp(model, model.blocks[layer], mid)
    return _resumed(patch, layer + 1, mid + out)


def _through_mlp(patch: Patch, layer: int, senders: Tensor) -> Tensor:
    clean, index = patch.clean.layers[layer], patch.queries(layer)
    change = patch.at_scored(patch.deltas[senders], layer)
    return _resumed(patch, layer + 1, gather(clean.mid + clean.mlp, index) + change)


def _resumed(patch: Patch, layer: int, x: Tensor) -> Tensor:
    if layer == patch.model.layers:
        return decide(patch.model, x, patch.batch) - patch.base
    return resume(patch, layer, x)
