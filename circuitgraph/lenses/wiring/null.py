"""Null of the weights form: changes of channels under random updates.

Random updates keep the singular values of the real ones and have random directions. A
receiver whose read weights changed is tested against these: one random update serves all its
senders. If its read weights are equal, only its senders' write weights can differ: one random
update of a sender serves all such receivers. (Both at once would let a sender with mere drift
stand out at an unchanged receiver, and hide changed reading.) Gaussian directions of mean
square 1/d stand for orthonormal ones, with slightly too much spread for full-rank updates.

For a signal with second moments C = FᵀF an update of singular values σ reads
Σ σ² vᵀ C v = Σ σ² ‖F v‖²: few directions v are multiplied by F, many by C as the one matrix
Σ σ² v vᵀ. No more than one read point's C is held at a time.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from torch import Tensor

MOST = 32
"""Directions drawn an update. Of more singular values the largest half of these stay as
they are, and the rest share out their sum of squares evenly: a little too much spread."""

FELT = 1e-8
"""Directions that hold less of the sum of squares than this are drawn, and not followed."""

HELD = 1 << 22
"""Numbers drawn at once, as outer products: small enough for the cache."""

MATRICES = 1 << 28
"""Numbers of second-moment matrices held at once; beyond it each direction is followed."""

OUTER = 2.0
"""What an operation on second moments costs beside one of a product of large matrices."""


@dataclass(frozen=True, eq=False)
class Targets:
    """Matrices Fᵀ F of one read point that random directions are applied to, as rows of F.

    Attributes
    ----------
    rows : float32 [F × d]
        Of one matrix after another.
    sizes : rows of every matrix
    """

    rows: Tensor
    sizes: tuple[int, ...]

    @classmethod
    def of(cls, factors: Sequence[Tensor]) -> Targets:
        """Of factors [S, F, d] of S matrices each."""
        sizes = [part.shape[1] for part in factors for _ in range(len(part))]
        return cls(torch.cat([part.flatten(0, 1).float() for part in factors]), tuple(sizes))

    @property
    def count(self) -> int:
        """Number of matrices."""
        return len(self.sizes)

    @cached_property
    def matrices(self) -> Tensor:
        """All of them, float32 [count, d · d]."""
        return torch.stack([(part.T @ part).flatten() for part in self.rows.split(self.sizes)])

    def followed(self, directions: int) -> bool:
        """Whether so many directions are cheaper to multiply by F than by the matrices."""
        width = self.rows.shape[1]
        through = directions * len(self.rows) * width
        met = OUTER * (directions + self.count) * width**2
        return through <= met or self.count * width**2 > MATRICES

    def forms(self, v: Tensor, *, follow: bool) -> Tensor:
        """Σ_k v_kᵀ A v_k of every matrix A, [draws, count]; v float32 [draws, k, d]."""
        if not follow:
            return (v.mT @ v).flatten(1) @ self.matrices.T
        products = (v.flatten(0, 1) @ self.rows.T).square_().unflatten(0, v.shape[:2]).sum(1)
        return _sums(products, self.sizes)


def _sums(values: Tensor, sizes: tuple[int, ...]) -> Tensor:
    """Sums of neighbours [draws, F] -> [draws, count]."""
    if len(set(sizes)) == 1:
        return values.unflatten(1, (len(sizes), sizes[0])).sum(-1)
    owner = torch.arange(len(sizes)).repeat_interleave(torch.tensor(sizes)).to(values.device)
    return values.new_zeros(len(values), len(sizes)).index_add_(1, owner, values)


def random_forms(
    strengths: Tensor, targets: Targets, width: int, draws: int, seed: int, stream: tuple[int, int]
) -> Iterator[tuple[slice, Tensor]]:
    """Σ_k strength_k v_kᵀ A v_k of every matrix A, as (slice of draws, float32 [draws, count]).

    Parameters
    ----------
    strengths : Tensor
        Squared singular values of an update, from ``few``.
    width : int
        Dimensions in which an update may point.
    stream : (int, int)
        (0, receiver) or (1, sender) whose update this is: its own stream of random numbers.
    """
    size = targets.rows.shape[1]
    if not len(strengths):
        return
    root = (strengths / width).sqrt().float()[:, None]
    felt = int((strengths > FELT * strengths.sum()).sum())
    follow = targets.followed(felt)
    step, generator = max(1, HELD // size**2), _generator(seed, *stream)
    for start in range(0, draws, step):
        count = min(step, draws - start)
        v = torch.randn(count, len(strengths), size, generator=generator)[:, :felt] * root[:felt]
        yield slice(start, start + count), targets.forms(v.to(targets.rows.device), follow=follow)


def few(strengths: Tensor) -> Tensor:
    """Squared singular values, largest first, at most ``MOST``, without rounding."""
    if not len(strengths) or not bool(strengths[0] > 0):
        return strengths[:0]
    kept = strengths[strengths > 1e-12 * strengths[0]]
    if len(kept) <= MOST:
        return kept
    half = MOST // 2
    return torch.cat([kept[:half], (kept[half:].sum() / half).expand(half)])


def _generator(seed: int, side: int, index: int) -> torch.Generator:
    state = np.random.SeedSequence([seed, side, index]).generate_state(1, np.uint64)[0]
    return torch.Generator().manual_seed(int(state >> 1))
