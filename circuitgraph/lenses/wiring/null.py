"""What channels would change by if the weights had moved at random.

Random updates keep the singular values of the real ones and point anywhere. A receiver
whose read weights changed is judged by these: one random update meets all its senders.
Where they did not, what its senders write differently is all there is: one random update
of a sender meets all such receivers. (Both at once would let a sender that merely drifts
stand out in a quiet receiver, and hide what a receiver reads anew of it.) Gaussian
directions of mean square 1/d stand for orthonormal ones: a little too much spread where
an update fills the stream.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from circuitgraph.lenses.wiring.read_points import Place, Reads
from circuitgraph.lenses.wiring.senders import Writes

MOST = 32
"""Directions drawn an update. Of more singular values the largest half of these stay as
they are, and the rest share out their sum of squares evenly: a little too much spread."""

HELD = 1 << 22
"""Numbers held at once: small enough for the cache."""


@dataclass(frozen=True, eq=False)
class Moments:
    """Second moments of y by (place, group), summed over weighted prompts.

    Attributes:
        common: of what both models share [S, K1, K1].
        changed: of what a group writes differently: with ``Writes.change`` in the sender's
            own dimensions [S, k, k], else in the stream's [S, d, d]. Left out where 0.
    """

    common: dict[tuple[int, int], Tensor] = field(default_factory=dict)
    changed: dict[tuple[int, int], Tensor] = field(default_factory=dict)

    def __add__(self, other: Moments) -> Moments:
        """Those of the prompts of both."""
        total = Moments(dict(self.common), dict(self.changed))
        for sums, more in ((total.common, other.common), (total.changed, other.changed)):
            for key, value in more.items():
                _add(sums, key, value)
        return total

    def add(
        self,
        place: int,
        group: int,
        writes: Writes,
        common: Tensor,
        inner: Tensor,
        weights: Tensor,
    ) -> None:
        """Add one batch's moments [S, R, K, K] with weights [R]."""
        _add(self.common, (place, group), torch.einsum("srkl,r->skl", common, weights))
        if bool(writes.change.any()):
            if not writes.narrow:
                width = inner.shape[-1] // 2
                inner = inner[..., width:, width:]
            _add(self.changed, (place, group), torch.einsum("srkl,r->skl", inner, weights))


def _add(sums: dict[tuple[int, int], Tensor], key: tuple[int, int], value: Tensor) -> None:
    sums[key] = value if key not in sums else sums[key] + value


class Measured(Protocol):
    """What the null needs of ``WeightChannels``."""

    @property
    def places(self) -> tuple[Place, ...]: ...
    @property
    def reads(self) -> tuple[tuple[Reads, ...], ...]: ...
    @property
    def writes(self) -> tuple[Writes, ...]: ...
    @property
    def width(self) -> int: ...
    @property
    def edges(self) -> int: ...


@torch.no_grad()
def random_squares(
    measured: Measured, moments: Moments, draws: int, seed: int
) -> Iterator[tuple[Place, np.ndarray]]:
    """``square`` summed over prompts under random updates, place by place.

    Args:
        moments: of all prompts.

    Yields:
        A place and [draws × its edges], by receiver, then sender.
    """
    for number, place in enumerate(measured.places):
        total = torch.zeros(draws, len(place.receivers), place.senders)
        _by_reading(measured, moments, number, total, seed)
        _by_writing(measured, moments, number, total, seed)
        yield place, total.flatten(1).numpy()


def _by_reading(measured: Measured, sums: Moments, number: int, total: Tensor, seed: int) -> None:
    """Add Σ σ² vᵀ C v: every receiver's update meets what all senders write."""
    place = measured.places[number]
    heard = _heard(measured, sums, number, place.senders)
    for i, reads in enumerate(measured.reads[number]):
        strengths = few(torch.linalg.svdvals(reads.change).pow(2))
        if len(strengths):
            generator = _generator(seed, 0, place.receiver + i)
            for part, forms in _forms(strengths, measured.width, heard, len(total), generator):
                total[part, i] += forms


def _heard(measured: Measured, sums: Moments, number: int, count: int) -> Tensor:
    """C of every sender at a place, float32 [senders, d · d]."""
    found: list[Tensor] = []
    for group, writes in enumerate(measured.writes):
        moments = sums.common.get((number, group))
        if moments is None:
            break
        found.append((writes.common.mT @ moments @ writes.common).flatten(1).float())
    return torch.cat(found)[:count]


def _by_writing(measured: Measured, sums: Moments, number: int, total: Tensor, seed: int) -> None:
    """Add Σ m uᵀ M Mᵀ u: a sender's update meets all receivers whose read weights are the same."""
    reads = measured.reads[number]
    same = [i for i, r in enumerate(reads) if not bool(r.change.any())]
    if not same:
        return
    grams = torch.stack([(reads[i].mean @ reads[i].mean.T).flatten().float() for i in same])
    first = 0
    for group, writes in enumerate(measured.writes[: _groups(sums, number)]):
        for s in range(len(writes.mean)):
            strengths = few(_written(sums, number, group, writes, s))
            if len(strengths):
                generator = _generator(seed, 1, first + s)
                for part, forms in _forms(strengths, measured.width, grams, len(total), generator):
                    total[part, same, first + s] += forms
        first += len(writes.mean)


def _groups(sums: Moments, number: int) -> int:
    return sum(key[0] == number for key in sums.common)


def _written(moments: Moments, number: int, group: int, writes: Writes, s: int) -> Tensor:
    """Eigenvalues of the second moment of what sender s writes differently."""
    found = moments.changed.get((number, group))
    if found is None:
        return torch.zeros(0, dtype=torch.float64)
    values, vectors = torch.linalg.eigh(found[s])
    if not writes.narrow:
        return values.flip(0)
    root = vectors * values.clamp_min(0).sqrt()
    return torch.linalg.svdvals(root.T @ writes.change[s]).pow(2)


def few(strengths: Tensor) -> Tensor:
    """Squared singular values, largest first, without those that are rounding, at most ``MOST``."""
    if not len(strengths) or not bool(strengths[0] > 0):
        return strengths[:0]
    kept = strengths[strengths > 1e-12 * strengths[0]]
    if len(kept) <= MOST:
        return kept
    half = MOST // 2
    return torch.cat([kept[:half], (kept[half:].sum() / half).expand(half)])


def _generator(seed: int, side: int, index: int) -> torch.Generator:
    """One stream of random numbers for every receiver, and one for every sender."""
    state = np.random.SeedSequence([seed, side, index]).generate_state(1, np.uint64)[0]
    return torch.Generator().manual_seed(int(state >> 1))


def _forms(
    strengths: Tensor, width: int, matrices: Tensor, draws: int, generator: torch.Generator
) -> Iterator[tuple[slice, Tensor]]:
    """Σ_k strength_k v_kᵀ A v_k of every matrix A [count, d · d], by slices of the draws."""
    size = round(matrices.shape[1] ** 0.5)
    root = (strengths / width).sqrt().float()[:, None]
    step = max(1, HELD // matrices.shape[1])
    for start in range(0, draws, step):
        count = min(step, draws - start)
        v = torch.randn(count, len(strengths), size, generator=generator) * root
        yield slice(start, start + count), (v.mT @ v).flatten(1) @ matrices.T
