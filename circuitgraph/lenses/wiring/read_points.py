"""Where the residual stream is read, and through which weights.

A receiver's read weights hold its norm's gain (and centring), never the norm's scale:
that is the stream's, not the receiver's, and is frozen at the mean of both models.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import groupby

import torch
from torch import Tensor

from circuitgraph.base.components import Granularity, Inputs
from circuitgraph.engine.forward import Trace
from circuitgraph.engine.model import Model, Norm
from circuitgraph.engine.receivers import Receiver, Sizes, receivers

WIDE = 4
"""Read weights of more columns than this times the width are kept as a factor of their Gram."""

ROWS = 1 << 14
"""Rows of the unembedding squared at once."""


@dataclass(frozen=True)
class Place:
    """One point of the residual stream and all who read there.

    Attributes:
        layer: its block; ``model.layers`` for ``LOGITS``.
        attention: whether attention reads there, else an MLP or ``LOGITS``.
        receivers: in the order of ``components.effect_edges``.
        edge: index of the first edge into the first receiver.
        receiver: index of the first receiver among all.
    """

    layer: int
    attention: bool
    receivers: tuple[Receiver, ...]
    edge: int
    receiver: int

    @property
    def senders(self) -> int:
        """How many components, in order of computation, can be read here."""
        return self.receivers[0].senders

    def columns(self, number: int) -> slice:
        """Edges into receiver ``number`` of this place."""
        start = self.edge + number * self.senders
        return slice(start, start + self.senders)

    def norm(self, model: Model) -> Norm:
        """The norm that reads here."""
        if self.layer == model.layers:
            return model.norm
        block = model.blocks[self.layer]
        return block.attention.norm if self.attention else block.mlp.norm

    def stream(self, trace: Trace) -> Tensor:
        """The residual stream here [R, T, d]."""
        if self.layer == len(trace.layers):
            return trace.final
        layer = trace.layers[self.layer]
        return layer.pre if self.attention else layer.read


def places(model: Sizes, granularity: Granularity, inputs: Inputs) -> list[Place]:
    """Every place in order of computation."""
    found: list[Place] = []
    edge = receiver = 0
    every = receivers(model, granularity, inputs)
    for (layer, attention), group in groupby(every, key=lambda r: (r.layer, r.heads is not None)):
        members = tuple(group)
        found.append(Place(layer, attention, members, edge, receiver))
        edge += sum(r.senders for r in members)
        receiver += len(members)
    return found


@dataclass(frozen=True)
class Reads:
    """What one receiver reads with in two models, float64 [d × columns].

    Attributes:
        mean: (A + B) / 2.
        change: B − A; exactly 0 where the weights are the same.
    """

    mean: Tensor
    change: Tensor


def read_weights(model_a: Model, model_b: Model, place: Place, receiver: Receiver) -> Reads:
    """Read weights of one receiver; norms of what they read are kept, columns may be rotated."""
    pieces = zip(_pieces(model_a, place, receiver), _pieces(model_b, place, receiver), strict=True)
    if place.layer == model_a.layers or sum(
        w.shape[1] for w in _pieces(model_a, place, receiver)
    ) > (WIDE * model_a.width):
        return _factor([_pair(place, model_a, model_b, a, b) for a, b in pieces])
    both = [_pair(place, model_a, model_b, a, b) for a, b in pieces]
    return Reads(torch.cat([r.mean for r in both], 1), torch.cat([r.change for r in both], 1))


def _pair(place: Place, model_a: Model, model_b: Model, a: Tensor, b: Tensor) -> Reads:
    left, right = (place.norm(m).fold(w) for m, w in ((model_a, a), (model_b, b)))
    return Reads((left + right) / 2, right - left)


def _pieces(model: Model, place: Place, receiver: Receiver) -> list[Tensor]:
    """The weights a receiver stacks, [d × columns] each, gains left out."""
    if place.layer == model.layers:
        return [part.T for part in model.unembed.split(ROWS)]
    block = model.blocks[place.layer]
    if receiver.heads is None:
        return [w.weight for w in (block.one_mlp.gate, block.one_mlp.up) if w is not None]
    return [model.read_weights(place.layer, name, receiver.heads) for name in receiver.letters]


def _factor(pieces: list[Reads]) -> Reads:
    """The same read weights with at most 2d columns: a factor of their joint Gram matrix.

    Mean and change are scaled alike before the product, so that rounding is relative to each.
    """
    sizes = [sum(float(p.pow(2).sum()) for p in parts) ** 0.5 for parts in _turned(pieces)]
    scales = [size if size > 0 else 1.0 for size in sizes]
    width = len(pieces[0].mean)
    gram = torch.zeros(2 * width, 2 * width, dtype=torch.float64)
    for piece in pieces:
        both = torch.cat([piece.mean / scales[0], piece.change / scales[1]])
        gram += both @ both.T
    values, vectors = torch.linalg.eigh(gram)
    factor = vectors * values.clamp_min(0).sqrt()
    change = factor[width:] * scales[1] if sizes[1] > 0 else torch.zeros(width, 2 * width).double()
    return Reads(factor[:width] * scales[0], change)


def _turned(pieces: list[Reads]) -> tuple[list[Tensor], list[Tensor]]:
    return [p.mean for p in pieces], [p.change for p in pieces]
