"""The signals both models share: what senders say at every position, in few dimensions.

With z the mean of both models' inner activations and W their write weights, a sender says
c = (z_A W_A + z_B W_B) / 2 in common, and z W_B − z W_A is what it writes anew. Heads keep
their inner activations and write weights apart, which is less than what they add to the stream;
of wide senders that sum is kept. What no weight of which changed is said once: there the
common signal is z W̄, and nothing is written anew.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from circuitgraph.base.components import Granularity
from circuitgraph.engine.model import Model
from circuitgraph.lenses.wiring.read_points import Place
from circuitgraph.lenses.wiring.signals import Signalled, seen, signal, write_weights

Group = tuple[str, int]
Runs = Callable[[], Iterator[tuple[Signalled, Sequence[int]]]]
"""Both models' runs, batch by batch, with the rows (prompts) of each; may be asked again."""


@dataclass(frozen=True)
class Part:
    """Vectors of S senders at N positions, float64.

    Attributes:
        inner: [S, N, K].
        weights: from ``inner`` to the stream [S, K, d]; None where it is of the stream.
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
        """From ``inner`` to what read weights [d × C] make of it, [K, C] or [S, K, C]."""
        return columns if self.weights is None else self.weights @ columns

    def times(self, other: Part) -> Tensor:
        """Inner product with another part of the same senders and positions [S, N]."""
        own = self.inner
        if self.weights is not None and other.weights is not None:
            own = own @ (self.weights @ other.weights.mT)
        return (own * other.inner).sum(-1)

    def factor(self) -> Tensor:
        """F with FᵀF = Σ of the outer products of all positions, in as few rows as hold it.

        [S, min(N, K), d]: R of a QR decomposition stands for the positions where these are many.
        """
        few = self.inner
        if few.shape[1] > few.shape[2]:
            few = torch.linalg.qr(few, mode="r").R
        return few if self.weights is None else few @ self.weights


@dataclass(frozen=True)
class Said:
    """A group of S senders on all prompts.

    Attributes:
        first: the first of them among all senders.
        common: c, the mean of both models' contributions.
        mean: what the mean of both write weights makes of z; c itself where they are the same.
        change: what their difference makes of z; None where they are the same.
    """

    first: int
    common: Part
    mean: Part
    change: Part | None

    @property
    def count(self) -> int:
        """S."""
        return len(self.common.inner)

    def columns(self, place: Place, receiver: int) -> slice:
        """Edges from the group into a receiver of a place."""
        start = place.columns(receiver).start + self.first
        return slice(start, start + self.count)


@dataclass(frozen=True)
class Spot:
    """Positions that count at one place of the stream.

    Attributes:
        rows: which of all N, int [N'].
        prompt: whose each is, int [N'].
        scale: what signals are multiplied by there [N'].
        weights: of the prompts, float64 [n].
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
    """Where signals are: N positions of all prompts, batch by batch.

    Attributes:
        prompt: whose each is, int [N].
        last: whether ``LOGITS`` reads there, bool [N].
        scales: mean of both models' 1/rms at every place of the stream [places, N].
    """

    prompt: Tensor
    last: Tensor
    scales: Tensor

    def at(self, place: int, weights: Tensor) -> Spot:
        """Those of a place, by its number; ``LOGITS`` is the last."""
        whole = torch.arange(len(self.prompt), device=self.prompt.device)
        rows = whole[self.last] if place == len(self.scales) - 1 else whole
        return Spot(rows, self.prompt[rows], self.scales[place, rows], weights)


def writes_anew(models: tuple[Model, Model], group: Group, granularity: Granularity) -> bool:
    """Whether a group's write weights differ in any bit."""
    a, b = (write_weights(model, group, granularity) for model in models)
    if a is None or b is None:
        one, other = ((m.embed, m.positions, m.embed_scale) for m in models)
        return one[2] != other[2] or not all(
            x is y or (x is not None and y is not None and torch.equal(x, y))
            for x, y in zip(one[:2], other[:2], strict=True)
        )
    return not torch.equal(a, b)


def said_in(
    models: tuple[Model, Model], runs: Signalled, group: Group, granularity: Granularity, anew: bool
) -> tuple[Part, Part, Part | None]:
    """What one group says in one batch: ``common``, ``mean`` and ``change`` of ``Said``.

    Args:
        anew: from ``writes_anew``.
    """
    inside = runs.inside
    a, b = (
        signal(model, side, runs, group, granularity)[:, inside]
        for side, model in enumerate(models)
    )
    left, right = (write_weights(model, group, granularity) for model in models)
    if left is None or right is None:  # the tokens are the same in both: their rows are all
        a, b = seen(models[0], a), seen(models[1], b)
        mean = Part((a + b) / 2)
        return mean, mean, Part(b - a) if anew else None
    z = (a + b) / 2
    if 2 * left.shape[1] < left.shape[2]:
        return _narrow(z, (b - a) / 2, left, right, anew)
    if not anew:
        return (mean := Part(z @ left)), mean, None
    common = Part((a @ left + b @ right) / 2)
    return common, Part(z @ ((left + right) / 2)), Part(z @ (right - left))


def _narrow(
    z: Tensor, apart: Tensor, left: Tensor, right: Tensor, anew: bool
) -> tuple[Part, Part, Part | None]:
    if not anew:
        return (whole := Part(z, left)), whole, None
    mean, change = (left + right) / 2, right - left
    common = Part(torch.cat([z, apart], -1), torch.cat([mean, change / 2], 1))
    return common, Part(z, mean), Part(z, change)


def joined(first: int, parts: Sequence[tuple[Part, Part, Part | None]]) -> Said:
    """What a group says on the prompts of all batches."""
    mean = Part.joined([part for _, part, _ in parts])
    changes = [part for _, _, part in parts if part is not None]
    if not changes:
        return Said(first, mean, mean, None)
    return Said(first, Part.joined([part for part, _, _ in parts]), mean, Part.joined(changes))
