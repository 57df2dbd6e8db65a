"""What a sender adds to the stream by one model's weights in the other model's run."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from circuitgraph.base.components import Component
from circuitgraph.engine.batches import Batch, gather
from circuitgraph.engine.forward import Trace, embed, hidden, post
from circuitgraph.engine.model import Model

Instead = Mapping[tuple[Component, int, int], Tensor]
"""What a sender says by one model's signal (0 for A, 1 for B) and another's weights [d]."""

Held = tuple[Tensor, Tensor | None]
"""What a sender holds before it writes, and the scale of its post-norm; see ``held``."""


@dataclass(frozen=True)
class Side:
    """One model's clean and corrupt run of a batch."""

    model: Model
    clean: Trace
    corrupt: Trace


@dataclass(frozen=True)
class Sent:
    """A sender's contribution.

    Attributes:
        clean: at every position [R, T, d].
        patched: at the window, with the corrupt run's where that is patched [R, W, d].
    """

    clean: Tensor
    patched: Tensor

    def change(self, batch: Batch) -> Tensor:
        """Patched minus clean at the window [R, W, d]."""
        return self.patched - gather(self.clean, batch.index)


def sent(
    sides: tuple[Side, Side],
    batch: Batch,
    sender: Component,
    held_by: tuple[Held, Held],
    edge: int,
    instead: Tensor | None,
) -> Sent:
    """What a sender adds by one model's weights, of what it holds in a clean and corrupt run.

    Args:
        sides: of A and of B.
        batch: with its windows.
        sender: the component.
        held_by: of ``inner``, of the model that gives the signal.
        edge: whose weights write: 0 for A, 1 for B.
        instead: what replaces it [d]; None takes the corrupt run.
    """
    writer = sides[edge].model
    clean = written(writer, sender, *held_by[0])
    other = written(writer, sender, *held_by[1]) if instead is None else instead
    if instead is None and sender.layer is None:
        other = gather(other, batch.corrupt_index)
    return Sent(clean, torch.where(batch.patched > 0, other, gather(clean, batch.index)))


def inner(side: Side, batch: Batch, sender: Component) -> tuple[Held, Held]:
    """What a sender holds before it writes: clean everywhere, corrupt at the window's partners.

    Of ``EMBED``, whose position embeddings depend on the place, corrupt everywhere too.
    """
    index = None if sender.layer is None else batch.corrupt_index
    return (
        held(side.model, side.clean, batch.clean, sender),
        held(side.model, side.corrupt, batch.corrupt, sender, index),
    )


def held(
    model: Model, trace: Trace, tokens: Tensor, sender: Component, index: Tensor | None = None
) -> Held:
    """What a sender holds before it writes, and the scale of its post-norm.

    Tokens; a head's or a layer's z; the MLP's hidden vector. Only a head needs the scale, which
    its whole layer decides.

    Args:
        index: positions wanted [R, W]; None for all.
    """
    if sender.layer is None:
        return tokens, None
    seen, block = trace.layers[sender.layer], model.blocks[sender.layer]

    def at(x: Tensor) -> Tensor:
        return x if index is None else gather(x, index)

    if sender.kind in ("mlp", "expert"):
        return hidden(model, block, at(seen.read)), None
    if sender.head is None:
        return at(seen.z).flatten(-2), None
    norm = block.attention.post
    return at(seen.z[..., sender.head, :]), None if norm is None else norm.scale(at(seen.raw))


def written(writer: Model, sender: Component, held: Tensor, scale: Tensor | None) -> Tensor:
    """A contribution [R, T, d]; a head's post-norm keeps the scale of the run that is read."""
    if sender.layer is None:
        return embed(writer, held)
    block = writer.blocks[sender.layer]
    if sender.kind in ("mlp", "expert"):
        return post(block.one_mlp.down(held), block.one_mlp.post)
    attention = block.attention
    if sender.head is None:
        return post(attention.out(held), attention.post)
    size = writer.head_size
    added = held @ attention.out.weight[sender.head * size : (sender.head + 1) * size]
    if attention.post is None or scale is None:
        return added
    return attention.post.linear(added, scale)
