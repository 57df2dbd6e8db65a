"""Edge attribution patching (EAP, EAP-IG): the effect of every edge to first order.

``eap`` (Syed, Rager & Conmy 2023, arXiv:2310.10348): the sender's change times the
gradient of the decision by the receiver's input, at the clean run. ``eap-ig`` (Hanna,
Pezzelle & Belinkov 2024, arXiv:2403.17806): the gradient averaged over runs whose
embedding lies between corrupt and clean, at corrupt + (k + ½)/steps · (clean − corrupt)
for k = 0 … steps − 1: midpoints of equal parts, which favour neither end (the authors'
own program takes k/steps, with the corrupt end and without the clean one).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import torch
from torch import Tensor

from circuitgraph.base.components import Granularity, Inputs
from circuitgraph.engine.gradients import LayerGradients, gradients
from circuitgraph.engine.mixtures import Mixture
from circuitgraph.engine.model import Attention, Linear, Model
from circuitgraph.engine.patch import CHUNK_ROWS, Patch
from circuitgraph.engine.receivers import ReceiverGroup, receiver_groups


def eap_columns(
    patch: Patch, granularity: Granularity = "head", inputs: Inputs = "joint", steps: int = 0
) -> Iterator[Tensor]:
    """Scores [senders, n], one receiver after the other: of EAP-IG in so many steps, else EAP."""
    ends = patch.start, patch.clean.embed
    return averaged(lambda x: _columns(patch, x, granularity, inputs), *ends, steps)


def averaged(
    scores: Callable[[Tensor], Iterator[Tensor]], corrupt: Tensor, clean: Tensor, steps: int
) -> Iterator[Tensor]:
    """Mean of columns of scores at the midpoints of equal parts from ``corrupt`` to ``clean``.

    With no steps the scores at ``clean``.
    """
    if not steps:
        return scores(clean)
    total: list[Tensor] = []
    for k in range(steps):
        columns = scores(torch.lerp(corrupt, clean, (k + 0.5) / steps))
        total = [a + b for a, b in zip(total, columns, strict=True)] if total else list(columns)
    return (column / steps for column in total)


def _columns(
    patch: Patch, start: Tensor, granularity: Granularity, inputs: Inputs
) -> Iterator[Tensor]:
    model = patch.model
    layers = gradients(model, patch.batch, start, granularity)
    for group in receiver_groups(model, granularity, inputs):
        first = group.receivers[0]
        if first.heads is not None:
            gradient = _attention_inputs(model, group, layers[first.layer], patch)
        elif first.expert is not None:
            yield from _mixture_scores(patch, group, layers[first.layer])
            continue
        elif first.layer < model.layers:
            gradient = patch.at_window(layers[first.layer].read)[None]
        else:
            gradient = patch.at_window(layers[-1].after)[None]
        yield from _scores(patch, gradient, first.senders)


def _scores(patch: Patch, gradient: Tensor, senders: int) -> Tensor:
    """⟨delta, gradient⟩ of each sender and receiver: [receivers, senders, n]."""
    deltas = patch.deltas[:senders].transpose(0, 1).flatten(2)
    by_row = torch.bmm(gradient.transpose(0, 1).flatten(2), deltas.transpose(1, 2))
    return patch.batch.by_prompt(by_row.permute(1, 2, 0))


def _mixture_scores(patch: Patch, group: ReceiverGroup, layer: LayerGradients) -> Iterator[Tensor]:
    """Scores [senders, n] of a router, then of every expert where this run chose it.

    Weights and experts are this run's: the choice has no gradient.
    """
    first, window = group.receivers[0], patch.batch.index.shape
    assert layer.mixture_in is not None
    mixture_in = patch.at_window(layer.mixture_in)
    mixture = Mixture.of(patch, first.layer, mixture_in, patch.batch.patched)
    assert mixture is not None
    after = patch.at_window(layer.after).flatten(0, 1)
    deltas = patch.deltas[: first.senders].flatten(1, 2)
    for receiver in group.receivers:
        assert receiver.expert is not None
        slope, places = mixture.slope(receiver.expert, after)
        copied = 8 * min(patch.chunk_rows, CHUNK_ROWS)  # positions of senders' copies that fit
        size = max(1, copied // max(1, len(places)))
        scores = torch.cat([(part[:, places] * slope).sum(-1) for part in deltas.split(size)])
        by_row = scores.new_zeros(len(scores), window[0])
        by_row.index_add_(1, places // window[1], scores)
        yield patch.batch.by_prompt(by_row)


def _attention_inputs(
    model: Model, group: ReceiverGroup, layer: LayerGradients, patch: Patch
) -> Tensor:
    """Gradient by the input of each attention receiver of a block [receivers, R, W, d]."""
    first = group.receivers[0]
    attention = model.blocks[first.layer].attention
    count = len(group.receivers)
    parts = [
        torch.einsum(
            "rwnse,nsed->nrwd",
            patch.at_window(getattr(layer, letter)).unflatten(-2, (count, -1)),
            _weights(model, attention, letter).unflatten(0, (count, -1)),
        )
        for letter in first.letters
    ]
    return attention.norm.pull(patch.at_window(layer.pre), torch.stack(parts).sum(0))


def _weights(model: Model, attention: Attention, letter: str) -> Tensor:
    """The matrix each query head reads with, [H, e, d]."""
    linear: Linear = getattr(attention, letter)
    by_head = linear.weight.unflatten(1, (-1, model.head_size)).permute(1, 2, 0)
    return by_head.repeat_interleave(model.heads // len(by_head), 0)
