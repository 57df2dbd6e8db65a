"""A sender's contribution by one model's weights in the other model's run."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from circuitgraph.base.components import Component
from circuitgraph.engine.batches import Batch, gather
from circuitgraph.engine.forward import Trace, embed, hidden, post
from circuitgraph.engine.model import Model
from circuitgraph.lenses.mechanism.mixture import held_by_expert

Replacements = Mapping[tuple[Component, int, int], Tensor]
"""A sender's contribution by one model's signal (0 for A, 1 for B) and another's weights [d]."""

Inner = tuple[Tensor, Tensor | None]
"""A sender's inner activation, and the scale of its post-norm."""


@dataclass(frozen=True)
class Side:
    """One model's clean and corrupt run of a batch."""

    model: Model
    clean: Trace
    corrupt: Trace


@dataclass(frozen=True)
class SenderOutput:
    """A sender's contribution: clean [R, T, d], and patched at the window [R, W, d]."""

    clean: Tensor
    patched: Tensor

    def change(self, batch: Batch) -> Tensor:
        """Patched minus clean at the window [R, W, d]."""
        return self.patched - gather(self.clean, batch.index)


def sender_output(
    sides: tuple[Side, Side],
    batch: Batch,
    sender: Component,
    inner_by: tuple[Inner, Inner],
    edge: int,
    replaced: Tensor | None,
) -> SenderOutput:
    """A sender's contribution by the weights of one model (``edge``: 0 for A, 1 for B).

    ``inner_by`` are its inner activations in the clean and corrupt run of the model that gives the
    signal (see ``inner_activations``); ``replaced`` [d] replaces the contribution, None takes that
    of the corrupt run.
    """
    writer = sides[edge].model
    clean = contribution(writer, sender, *inner_by[0])
    other = contribution(writer, sender, *inner_by[1]) if replaced is None else replaced
    if replaced is None and sender.layer is None:
        other = gather(other, batch.corrupt_index)
    return SenderOutput(clean, torch.where(batch.patched > 0, other, gather(clean, batch.index)))


def inner_activations(side: Side, batch: Batch, sender: Component) -> tuple[Inner, Inner]:
    """A sender's inner activations: clean everywhere, corrupt at the window's partners.

    Of ``EMBED``, whose position embeddings depend on the position, corrupt everywhere too.
    """
    index = None if sender.layer is None else batch.corrupt_index
    return (
        inner_activation(side.model, side.clean, batch.clean, sender),
        inner_activation(side.model, side.corrupt, batch.corrupt, sender, index),
    )


def inner_activation(
    model: Model, trace: Trace, tokens: Tensor, sender: Component, index: Tensor | None = None
) -> Inner:
    """A sender's inner activation (before its output matrix), and the scale of its post-norm.

    Tokens; a head's or a layer's z; the MLP's hidden vector, an expert's times its weight; at
    ``index`` [R, W], or everywhere. Only a head needs the scale, which its whole layer decides.
    """
    if sender.layer is None:
        return tokens, None
    seen, block = trace.layers[sender.layer], model.blocks[sender.layer]

    def at(x: Tensor) -> Tensor:
        return x if index is None else gather(x, index)

    if sender.kind == "mlp":
        return hidden(model, block, at(seen.read)), None
    if sender.kind == "expert":
        number = sender.head or 0
        return held_by_expert(block.experts, model.activation, number, at(seen.read)), None
    if sender.head is None:
        return at(seen.z).flatten(-2), None
    norm = block.attention.post
    return at(seen.z[..., sender.head, :]), None if norm is None else norm.scale(at(seen.raw))


def contribution(writer: Model, sender: Component, inner: Tensor, scale: Tensor | None) -> Tensor:
    """Contribution [R, T, d] of an inner activation; a head's post-norm keeps its run's scale."""
    if sender.layer is None:
        return embed(writer, inner)
    block = writer.blocks[sender.layer]
    if sender.kind == "expert":
        return inner @ block.experts.down[sender.head or 0]
    if sender.kind == "mlp":
        return post(block.one_mlp.down(inner), block.one_mlp.post)
    attention = block.attention
    if sender.head is None:
        return post(attention.out(inner), attention.post)
    size = writer.head_size
    added = inner @ attention.out.weight[sender.head * size : (sender.head + 1) * size]
    if attention.post is None or scale is None:
        return added
    return attention.post.linear(added, scale)
