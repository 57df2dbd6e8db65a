"""Read points of the residual stream, and the read weights there.

Read weights include the norm's gain (and centring) but not its scale, which belongs to the
stream and is frozen at the mean of both models.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby

import torch
from torch import Tensor

from circuitgraph.base.components import Granularity, Inputs
from circuitgraph.engine.forward import Trace
from circuitgraph.engine.model import Model, Norm
from circuitgraph.engine.receivers import Receiver, Sizes, receivers

ROWS = 1 << 13
"""Rows of the unembedding squared at once."""


@dataclass(frozen=True)
class ReadPoint:
    """One point of the residual stream and its receivers.

    Attributes
    ----------
    layer : int
        Its block; ``model.layers`` for ``LOGITS``.
    attention : bool
        Whether attention reads there, else an MLP or ``LOGITS``.
    receivers : in the order of ``components.effect_edges``
    edge, receiver : int
        Index of the first edge, and of the first receiver, among all.
    """

    layer: int
    attention: bool
    receivers: tuple[Receiver, ...]
    edge: int
    receiver: int

    @property
    def senders(self) -> int:
        """Number of components, in order of computation, that can be read here."""
        return self.receivers[0].senders

    def columns(self, number: int) -> slice:
        """Edges into receiver ``number`` of this point."""
        start = self.edge + number * self.senders
        return slice(start, start + self.senders)

    def norm(self, model: Model) -> Norm:
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


def read_points(model: Sizes, granularity: Granularity, inputs: Inputs) -> list[ReadPoint]:
    """Every read point in order of computation."""
    found: list[ReadPoint] = []
    edge = receiver = 0
    every = receivers(model, granularity, inputs)
    for (layer, attention), group in groupby(every, key=lambda r: (r.layer, r.heads is not None)):
        members = tuple(group)
        found.append(ReadPoint(layer, attention, members, edge, receiver))
        edge += sum(r.senders for r in members)
        receiver += len(members)
    return found


@dataclass(frozen=True)
class Reads:
    """Read weights of all receivers of a point in two models, float64.

    Attributes
    ----------
    mean : [d × C]
        (A + B) / 2 of all columns; those that several receivers share once.
    change : [d × C], optional
        B − A; None where the weights are equal bit for bit.
    owners : [C × receivers]
        1 where a column is a receiver's, else 0.
    """

    mean: Tensor
    change: Tensor | None
    owners: Tensor

    def changed(self) -> list[bool]:
        """Whether each receiver's read weights differ."""
        if self.change is None:
            return [False] * self.owners.shape[1]
        differs = self.change.any(0).double()
        return (differs @ self.owners > 0).tolist()

    def squares(self, which: Tensor) -> Tensor:
        """‖weights‖² of every receiver, [receivers]."""
        return which.pow(2).sum(0) @ self.owners

    def of(self, number: int) -> tuple[Tensor, Tensor | None]:
        """Mean and change of one receiver."""
        own = self.owners[:, number] > 0
        return self.mean[:, own], None if self.change is None else self.change[:, own]


def read_weights(model_a: Model, model_b: Model, point: ReadPoint) -> Reads:
    """Read weights of a point.

    For a receiver of many columns (an MLP, ``LOGITS``) a factor of their Gram matrix replaces
    them, which keeps norms.
    """
    pieces, owners = _pieces(model_a, point)
    other, _ = _pieces(model_b, point)
    norms = point.norm(model_a), point.norm(model_b)
    same = _same_gain(norms) and all(map(torch.equal, pieces, other))
    wide = sum(piece.shape[1] for piece in pieces) > (1 if same else 2) * model_a.width
    if len(point.receivers) == 1 and wide:
        mean, change = _factor(norms, pieces, None if same else other, model_a.width)
        return Reads(mean, change, mean.new_ones(mean.shape[1], 1))
    left, right = (
        norm.fold(torch.cat(w, 1)) for norm, w in zip(norms, (pieces, other), strict=True)
    )
    sizes = torch.tensor([piece.shape[1] for piece in pieces], device=left.device)
    owners = owners.to(left.device).repeat_interleave(sizes, 0)
    return Reads((left + right) / 2, None if same else right - left, owners)


def _same_gain(norms: tuple[Norm, Norm]) -> bool:
    a, b = norms
    return a.centre == b.centre and torch.equal(a.weight, b.weight)


def _pieces(model: Model, point: ReadPoint) -> tuple[list[Tensor], Tensor]:
    """Weight matrices of a point [d × columns] without gains, and owners [pieces × receivers]."""
    if point.layer == model.layers:
        found = [part.T for part in model.unembed.split(ROWS)]
        return found, torch.ones(len(found), 1, dtype=torch.float64)
    if not point.attention:
        mlp = model.blocks[point.layer].one_mlp
        found = [w.weight for w in (mlp.gate, mlp.up) if w is not None]
        return found, torch.ones(len(found), 1, dtype=torch.float64)
    keys: dict[tuple[str, int, int], list[int]] = {}
    weights: list[Tensor] = []
    for number, receiver in enumerate(point.receivers):
        assert receiver.heads is not None
        for letter in receiver.letters:
            parts = model.parts(letter, receiver.heads)
            key = letter, parts.start, parts.stop
            if key not in keys:
                weights.append(model.read_weights(point.layer, letter, receiver.heads))
            keys.setdefault(key, []).append(number)
    owners = torch.zeros(len(weights), len(point.receivers), dtype=torch.float64)
    for piece, numbers in enumerate(keys.values()):
        owners[piece, numbers] = 1
    return weights, owners


def _factor(
    norms: tuple[Norm, Norm], pieces: Sequence[Tensor], other: Sequence[Tensor] | None, width: int
) -> tuple[Tensor, Tensor | None]:
    """Mean and change with d columns, or 2d where there is a change.

    Both are scaled alike before the product, so that rounding is relative to each.
    """
    if other is None:
        gram = pieces[0].new_zeros(width, width, dtype=torch.float64)
        for piece in pieces:
            one = norms[0].fold(piece)
            gram += one @ one.T
        return _root(gram), None
    scales = [0.0, 0.0]
    for pair in _pairs(norms, pieces, other):
        scales = [s + float(x.pow(2).sum()) for s, x in zip(scales, pair, strict=True)]
    scales = [scale**0.5 if scale > 0 else 1.0 for scale in scales]
    gram = pieces[0].new_zeros(2 * width, 2 * width, dtype=torch.float64)
    for mean, change in _pairs(norms, pieces, other):
        both = torch.cat([mean / scales[0], change / scales[1]])
        gram += both @ both.T
    factor = _root(gram)
    change = factor[width:] * scales[1]
    return factor[:width] * scales[0], change if bool(change.any()) else None


def _pairs(
    norms: tuple[Norm, Norm], pieces: Sequence[Tensor], other: Sequence[Tensor]
) -> Iterator[tuple[Tensor, Tensor]]:
    for a, b in zip(pieces, other, strict=True):
        left, right = norms[0].fold(a), norms[1].fold(b)
        yield (left + right) / 2, right - left


def _root(gram: Tensor) -> Tensor:
    """F with F Fᵀ = a Gram matrix: Cholesky's, or of eigenvectors where that is singular."""
    factor, failed = torch.linalg.cholesky_ex(gram)
    if not int(failed):
        return factor
    values, vectors = torch.linalg.eigh(gram)
    return vectors * values.clamp_min(0).sqrt()
