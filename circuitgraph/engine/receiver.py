"""Receiver-exact effects: the receiver recomputed, everything downstream linearised.

The receiver runs on its patched input; the change of its output then
meets the gradient of the decision by that output, taken once at the clean run. Edges into
``LOGITS`` are exact.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from circuitgraph.base.components import Granularity, Inputs
from circuitgraph.engine.batches import gather
from circuitgraph.engine.gradients import LayerGradients, gradients
from circuitgraph.engine.mixtures import Mixture
from circuitgraph.engine.patch import (
    Patch,
    attention_change,
    logit_effects,
    mlp_change,
)
from circuitgraph.engine.receivers import ReceiverGroup, receiver_groups


def receiver_exact_columns(
    patch: Patch, granularity: Granularity = "head", inputs: Inputs = "joint"
) -> Iterator[Tensor]:
    """Receiver-exact effects [senders, n], one receiver after the other."""
    layers = gradients(patch.model, patch.batch, patch.clean.embed, granularity)
    with torch.no_grad():
        for group in receiver_groups(patch.model, granularity, inputs):
            first = group.receivers[0]
            if first.heads is not None:
                yield from _attention_changes(patch, group, layers[first.layer])
            elif first.layer < patch.model.layers:
                yield from _mlp_changes(patch, group, layers[first.layer])
            else:
                yield logit_effects(patch, group.senders[0])


def _attention_changes(patch: Patch, group: ReceiverGroup, layer: LayerGradients) -> list[Tensor]:
    first = group.receivers[0]
    gradient = gather(layer.z, patch.queries(first.layer))
    gradient = gradient * patch.counted(first.layer)[..., None, None]
    parts, how = [], (first.letters, first.is_alone(patch.model))
    for senders in patch.chunks(group.senders[0]):
        change = attention_change(patch, first.layer, patch.deltas[senders], *how)
        by_head = torch.einsum("nrqhe,rqhe->hnr", change, gradient)
        parts.append(by_head.unflatten(0, (len(group.receivers), -1)).sum(1))
    return list(patch.batch.by_prompt(torch.cat(parts, 1)))


def _mlp_changes(patch: Patch, group: ReceiverGroup, layer: LayerGradients) -> Iterator[Tensor]:
    number = group.receivers[0].layer
    index = patch.queries(number)
    gradient = gather(layer.after, index) * patch.counted(number)[..., None]
    clean = gather(patch.clean.layers[number].mlp, index)
    mixture = Mixture.of_clean_run(patch, number)
    for receiver, senders in zip(group.receivers, group.senders, strict=True):
        parts = []
        for chunk in patch.chunks(senders):
            deltas = patch.deltas[chunk]
            if mixture is None or receiver.expert is None:
                change = mlp_change(patch, number, deltas) - clean
            else:
                change = mixture.change(receiver.expert, patch.at_scored(deltas, number))
            parts.append(torch.einsum("nrqd,rqd->nr", change, gradient))
        yield patch.batch.by_prompt(torch.cat(parts))
