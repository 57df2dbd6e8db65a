"""Common signals of senders at every position, in few dimensions.

With z the mean of both models' inner activations and W their write weights, a sender's common
signal is c = (z_A W_A + z_B W_B) / 2, and z W_B − z W_A is the change it writes. Heads keep
inner activations and write weights apart, which is smaller than their sum; wide senders keep
the sum. If the write weights are equal the common signal is z W̄ and nothing changes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from circuitgraph.base.components import Granularity
from circuitgraph.engine.model import Model
from circuitgraph.lenses.wiring.read_points import ReadPoint
from circuitgraph.lenses.wiring.signals import BatchRuns, seen, signal, write_weights

Group = tuple[str, int]
Runs = Callable[[], Iterator[tuple[BatchRuns, Sequence[int]]]]
"""Both models' runs, batch by batch, with the rows (prompts) of each; may be iterated again."""


@dataclass(frozen=True)
class Part:
    """Vectors of S senders at N positions, float64.

    Attributes
    ----------
    inner : [S, N, K]
    weights : [S, K, d], optional
        From ``inner`` to the stream; None where ``inner`` is of the stream.
    """

    inner: Tensor
    weights: Tensor | None = None

    @classmethod
    def joined(cls, parts: Sequence[Part]) -> Part:
        """The positions of all batches, one after the other."""
        return cls(torch.cat([part.inner for part in parts], 1), parts[0].weights)

    def at(self, rows: Tensor, scale: Tensor) -> Part:
        """Some positions [N'], each times a number."""
        return Part(self.inner[:, rows] * scale[:, None], self.weights)

    def through(self, columns: Tensor) -> Tensor:
        """Read weights [d × C] applied to ``inner``, [K, C] or [S, K, C]."""
        return columns if self.weights is None else self.weights @ columns

    def times(self, other: Part) -> Tensor:
        """Inner product with another part of the same senders and positions [S, N]."""
        own = self.inner
        if self.weights is not None and other.weights is not None:
            own = own @ (self.weights @ other.weights.mT)
        return (own * other.inner).sum(-1)

    def factor(self) -> Tensor:
        """F with FᵀF = Σ of the outer products of all positions, [S, min(N, K), d].

        R of a QR decomposition replaces the positions where these are many.
        """
        few = self.inner
        if few.shape[1] > few.shape[2]:
            few = torch.linalg.qr(few, mode="r").R
        return few if self.weights is None else few @ self.weights


@dataclass(frozen=True)
class SenderGroup:
    """A group of S senders on all prompts.

    Attributes
    ----------
    first : int
        The first of them among all senders.
    common : Part
        c, the mean of both models' contributions.
    mean : Part
        z through the mean write weights; c itself where they are equal.
    change : Part, optional
        z through the difference of the write weights; None where they are equal.
    """

    first: int
    common: Part
    mean: Part
    change: Part | None

    @property
    def count(self) -> int:
        """S."""
        return len(self.common.inner)

    def columns(self, point: ReadPoint, receiver: int) -> slice:
        """Edges from the group into a receiver of a read point."""
        start = point.columns(receiver).start + self.first
        return slice(start, start + self.count)


@dataclass(frozen=True)
class ReadPositions:
    """Positions that count at one read point.

    Attributes
    ----------
    rows, prompt : int [N']
        Which of all N, and of which prompt.
    scale : float64 [N']
        Factor of the signals there.
    weights : float64 [n]
        Of the prompts.
    """

    rows: Tensor
    prompt: Tensor
    scale: Tensor
    weights: Tensor

    def weighted(self, part: Part) -> Part:
        """A signal whose sums of squares are those of weighted prompts."""
        return part.at(self.rows, self.scale * self.weights[self.prompt].sqrt())

    def by_prompt(self, values: Tensor) -> Tensor:
        """Sums over each prompt's positions, [S, N', …] -> [S, n, …]."""
        total = values.new_zeros(len(values), len(self.weights), *values.shape[2:])
        return total.index_add_(1, self.prompt, values)


@dataclass(frozen=True)
class Positions:
    """N positions of all prompts, batch by batch.

    Attributes
    ----------
    prompt : int [N]
    last : bool [N]
        Whether ``LOGITS`` reads there.
    scales : float64 [points, N]
        Mean of both models' 1/rms at every read point.
    """

    prompt: Tensor
    last: Tensor
    scales: Tensor

    def at(self, point: int, weights: Tensor) -> ReadPositions:
        """Those of a read point, by its number; ``LOGITS`` is the last."""
        whole = torch.arange(len(self.prompt), device=self.prompt.device)
        rows = whole[self.last] if point == len(self.scales) - 1 else whole
        return ReadPositions(rows, self.prompt[rows], self.scales[point, rows], weights)


def writes_differ(models: tuple[Model, Model], group: Group, granularity: Granularity) -> bool:
    """Whether a group's write weights differ in any bit."""
    a, b = (write_weights(model, group, granularity) for model in models)
    if a is None or b is None:
        one, other = ((m.embed, m.positions, m.embed_scale) for m in models)
        return one[2] != other[2] or not all(
            x is y or (x is not None and y is not None and torch.equal(x, y))
            for x, y in zip(one[:2], other[:2], strict=True)
        )
    return not torch.equal(a, b)


def signals_in(
    models: tuple[Model, Model],
    runs: BatchRuns,
    group: Group,
    granularity: Granularity,
    differ: bool,
) -> tuple[Part, Part, Part | None]:
    """One group in one batch: ``common``, ``mean`` and ``change`` of ``SenderGroup``."""
    inside = runs.inside
    a, b = (
        signal(model, side, runs, group, granularity)[:, inside]
        for side, model in enumerate(models)
    )
    left, right = (write_weights(model, group, granularity) for model in models)
    if left is None or right is None:  # the tokens are the same in both: their rows are all
        a, b = seen(models[0], a), seen(models[1], b)
        mean = Part((a + b) / 2)
        return mean, mean, Part(b - a) if differ else None
    z = (a + b) / 2
    if 2 * left.shape[1] < left.shape[2]:
        return _narrow(z, (b - a) / 2, left, right, differ)
    if not differ:
        return (mean := Part(z @ left)), mean, None
    common = Part((a @ left + b @ right) / 2)
    return common, Part(z @ ((left + right) / 2)), Part(z @ (right - left))


def _narrow(
    z: Tensor, apart: Tensor, left: Tensor, right: Tensor, differ: bool
) -> tuple[Part, Part, Part | None]:
    if not differ:
        return (whole := Part(z, left)), whole, None
    mean, change = (left + right) / 2, right - left
    common = Part(torch.cat([z, apart], -1), torch.cat([mean, change / 2], 1))
    return common, Part(z, mean), Part(z, change)


def joined(first: int, parts: Sequence[tuple[Part, Part, Part | None]]) -> SenderGroup:
    """A group on the prompts of all batches."""
    mean = Part.joined([part for _, part, _ in parts])
    changes = [part for _, _, part in parts if part is not None]
    if not changes:
        return SenderGroup(first, mean, mean, None)
    return SenderGroup(
        first, Part.joined([part for part, _, _ in parts]), mean, Part.joined(changes)
    )
