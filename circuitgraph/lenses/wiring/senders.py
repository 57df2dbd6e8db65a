"""The signals both models share, in as few dimensions as hold them."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from circuitgraph.base.components import Granularity
from circuitgraph.engine.model import Model
from circuitgraph.lenses.wiring.signals import Signalled, seen, signal, write_weights


@dataclass(frozen=True)
class Writes:
    """A group of S senders and how they write in two models, float64.

    With z the mean of both models' inner activations, y below is a vector of few dimensions
    in which everything is linear: heads keep their inner activations, wide senders what
    they add to the stream.

    Attributes:
        group: (kind, layer).
        weights: write weights of A and B [S, k, d]; None for ``EMBED``.
        common: y to c, the mean of both models' contributions [S, K1, d].
        mean: y to what the mean of both write weights makes of z [S, K2, d].
        change: y to what their difference makes of z [S, K2, d]; 0 where nothing changed.
    """

    group: tuple[str, int]
    weights: tuple[Tensor, Tensor] | None
    common: Tensor
    mean: Tensor
    change: Tensor

    @property
    def narrow(self) -> bool:
        """Whether y are inner activations."""
        return self.weights is not None and 2 * self.weights[0].shape[1] < self.weights[0].shape[2]


@dataclass(frozen=True)
class Signals:
    """One batch's y of a group: [S, R, W, K1] for ``common``, [S, R, W, K2] for the rest."""

    common: Tensor
    inner: Tensor


def make_writes(
    models: tuple[Model, Model], group: tuple[str, int], granularity: Granularity
) -> Writes:
    """How a group writes in both models."""
    a, b = (write_weights(model, group, granularity) for model in models)
    if a is not None and b is not None:
        mean, change = (a + b) / 2, b - a
        if 2 * a.shape[1] < a.shape[2]:
            return Writes(group, (a, b), torch.cat([mean, change / 2], 1), mean, change)
    width, count = models[0].width, 1 if a is None else len(a)
    one, none = torch.eye(width, dtype=torch.float64), torch.zeros(width, width).double()
    weights = None if a is None or b is None else (a, b)
    whole = (one, torch.cat([one, none]), torch.cat([none, one]))
    common, mean, change = (part.expand(count, -1, -1) for part in whole)
    return Writes(group, weights, common, mean, change)


def signals(
    models: tuple[Model, Model], runs: Signalled, writes: Writes, granularity: Granularity
) -> Signals:
    """y of one group in one batch."""
    a, b = (signal(m, side, runs, writes.group, granularity) for side, m in enumerate(models))
    if writes.weights is None:  # the tokens are the same in both: their rows are all there is
        a, b = seen(models[0], a), seen(models[1], b)
        mean, change = (a + b) / 2, b - a
        return Signals(mean, torch.cat([mean, change], -1))
    z = (a + b) / 2
    if writes.narrow:
        return Signals(torch.cat([z, (b - a) / 2], -1), z)
    left, right = (w[:, None] for w in writes.weights)
    mean, change = z @ ((left + right) / 2), z @ (right - left)
    return Signals((a @ left + b @ right) / 2, torch.cat([mean, change], -1))
