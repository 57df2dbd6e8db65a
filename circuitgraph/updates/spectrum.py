"""Singular values of an update, its effective rank, and random updates that share them."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

TRIED = (16, 96)
"""Ranks by which an update of low rank is looked for before all its values are taken."""
NOTHING = 1e-10
"""Share of the squared norm that may lie outside of the rank tried."""


def spectrum(update: Tensor) -> Tensor:
    """Singular values of a matrix, descending, float64; of a vector its norm.

    What is below 1e-6 of the largest is left out: that is rounding. Where the update has low
    rank a random projection finds its range (Halko, Martinsson & Tropp 2011), so that no large
    matrix is decomposed.
    """
    update = update.detach().double()
    if update.dim() != 2:
        update = update.reshape(1, -1)
    total = float(update.pow(2).sum())
    if total == 0.0:
        return update.new_zeros(0)
    values = _low_rank(update, total)
    if values is None:
        small = update if update.shape[0] <= update.shape[1] else update.T
        values = torch.linalg.eigvalsh(small @ small.T).clamp_min(0).sqrt().flip(0)
    return values[values > 1e-6 * values[0]]


def _low_rank(update: Tensor, total: float) -> Tensor | None:
    generator = torch.Generator().manual_seed(0)
    for rank in TRIED:
        if 2 * rank >= min(update.shape):
            return None
        probe = torch.randn(update.shape[1], rank, generator=generator, dtype=update.dtype)
        basis = torch.linalg.qr(update @ probe).Q
        core = basis.T @ update
        if total - float(core.pow(2).sum()) <= NOTHING * total:
            return torch.linalg.svdvals(core)
    return None


def effective_rank(values: Tensor) -> float:
    """Effective rank: exp of the entropy of normalised squared singular values.

    p_i = σ_i² / Σ σ², rank = exp(−Σ p_i ln p_i): 1 for one direction, k for k equal ones (Roy &
    Vetterli 2007, The effective rank, EUSIPCO; they take σ where we take σ², the share of
    ‖ΔW‖² that a direction has).

    Examples
    --------
    >>> effective_rank(torch.tensor([2.0, 2.0, 0.0]))
    2.0
    """
    squares = values.double().pow(2)
    shares = squares[squares > 0] / squares.sum()
    return round(float((-(shares * shares.log()).sum()).exp()), 9) if len(shares) else 0.0


@dataclass(frozen=True, eq=False)
class Spectrum:
    """Singular values and shape of an update.

    Attributes
    ----------
    values : float64 Tensor [r]
        Its singular values, descending; of a vector its norm.
    rows, columns : bool Tensors
        Which it changes at all: an adapter of three tokens' embeddings stays one of three.
    shape : torch.Size
        Of the tensor.
    """

    values: Tensor
    rows: Tensor
    columns: Tensor
    shape: torch.Size

    @classmethod
    def of(cls, update: Tensor) -> Spectrum:
        """Spectrum of a matrix or vector."""
        matrix = update.detach() if update.dim() == 2 else update.detach().reshape(1, -1)
        return cls(spectrum(matrix), matrix.any(1), matrix.any(0), update.shape)

    def draw(self, generator: torch.Generator) -> Tensor:
        """An update with these singular values and random directions, float64."""
        found = torch.zeros(len(self.rows), len(self.columns), dtype=torch.float64)
        if len(self.values):
            left, right = (
                _directions(int(side.sum()), len(self.values), generator)
                for side in (self.rows, self.columns)
            )
            inner = (left * self.values) @ right.T
            found[self.rows.nonzero(), self.columns.nonzero().T] = inner
        return found.reshape(self.shape)


def _directions(size: int, count: int, generator: torch.Generator) -> Tensor:
    """Orthonormal columns [size, count], uniform (Mezzadri 2007)."""
    drawn = torch.randn(size, count, generator=generator, dtype=torch.float64)
    basis, upper = torch.linalg.qr(drawn)
    return basis * upper.diagonal().sign()
