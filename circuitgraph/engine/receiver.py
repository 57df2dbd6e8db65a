"""Receiver-exact effects: the receiver recomputed, everything downstream linearised.

For every edge the receiver itself is run on what it would read, exactly as in the exact
estimator; the change of its output then meets the gradient of the decision by that
output, taken once at the clean run. Edges into ``LOGITS`` are exact.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from circuitgraph.base.components import Granularity, Inputs
from circuitgraph.engine.batches import gather
from circuitgraph.engine.gradients import LayerGradients, gradients
from circuitgraph.engine.patch import Patch, attention_change, logit_effects, mlp_change
from circuitgraph.engine.receivers import Readers, readers


def receiver_exact_columns(
    patch: Patch, granularity: Granularity = "head", inputs: Inputs = "joint"
) -> Iterator[Tensor]:
    """Receiver-exact effects [senders, n] of one receiver after the other."""
    layers = gradients(patch.model, patch.batch, patch.clean.embed, granularity)
    with torch.no_grad():
        for group in readers(patch.model, granularity, inputs):
            first = group.receivers[0]
            if first.heads is not None:
                yield from _attention(patch, group, layers[first.layer])
            elif first.layer < patch.model.layers:
                yield _mlp(patch, first.layer, group.senders[0], layers[first.layer])
            else:
                yield logit_effects(patch, group.senders[0])


def _attention(patch: Patch, group: Readers, layer: LayerGradients) -> list[Tensor]:
    first = group.receivers[0]
    gradient = gather(layer.z, patch.queries(first.layer))
    gradient = gradient * patch.counted(first.layer)[..., None, None]
    parts, how = [], (first.letters, first.is_alone(patch.model))
    for senders in patch.chunks(group.senders[0]):
        change = attention_change(patch, first.layer, patch.deltas[senders], *how)
        by_head = torch.einsum("nrqhe,rqhe->hnr", change, gradient)
        parts.append(by_head.unflatten(0, (len(group.receivers), -1)).sum(1))
    return list(patch.batch.by_prompt(torch.cat(parts, 1)))


def _mlp(patch: Patch, number: int, senders: Tensor, layer: LayerGradients) -> Tensor:
    index = patch.queries(number)
    gradient = gather(layer.after, index) * patch.counted(number)[..., None]
    clean = gather(patch.clean.layers[number].mlp, index)
    parts = [
        torch.einsum(
            "nrqd,rqd->nr", mlp_change(patch, number, patch.deltas[chunk]) - clean, gradient
        )
        for chunk in patch.chunks(senders)
    ]
    return patch.batch.by_prompt(torch.cat(parts))
