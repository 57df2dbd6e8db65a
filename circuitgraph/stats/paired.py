"""Change of a correlation and its standard error, paired by prompt, in closed form.

Two variants share their prompts, so their correlations have common errors; the test uses the
differences prompt by prompt and assumes neither how strongly they are paired nor normal tails.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from circuitgraph.stats import triangle
from circuitgraph.stats.correlations import Scores

ROUNDING = 1e-9
"""Correlations, changes and errors below this are rounding and count as 0."""


@dataclass(frozen=True)
class CorrelationChange:
    """Correlations within scenarios in A and B, their change and its standard error [pairs]."""

    r_a: np.ndarray
    r_b: np.ndarray
    delta: np.ndarray
    se: np.ndarray
    df: int


def correlation_change(a: Scores, b: Scores) -> CorrelationChange:
    """Score test for the change of every correlation.

    With z the standard scores, r₀ = (r_A + r_B)/2 and, for prompt i and pair (j, k),
    dᵢ = [z_Bj z_Bk − r₀(z_Bj² + z_Bk²)/2] − [the same for A], the sum of d is
    n(r_B − r_A) and se² = (Σd² − n·delta²) / (n(n − S)).

    All sums over prompts are Gram products. Written with M = (A + B)/2 and D = B − A
    every term contains D, so nothing cancels: equal variants give exactly 0.

    References
    ----------
    DiCiccio & Romano (2017), Robust permutation tests for correlation and regression
    coefficients (why the statistic must be studentised); Hemerik, Goeman & Finos (2020),
    Robust testing in generalized linear models by sign flipping score contributions.
    """
    size, n = a.z.shape[1], a.n
    out = np.empty((4, triangle.n_pairs(size)))
    sums = _Sums.of((a.z + b.z) / 2, b.z - a.z)
    for rows, columns, place, mask in triangle.blocks(size):
        level, delta, squares = sums.block(rows, columns)
        variance = np.maximum(squares / n - delta * delta, 0.0) / max(a.df, 1)
        level, delta, se = level[mask], delta[mask], np.sqrt(variance[mask])
        found = (level - delta / 2, level + delta / 2, delta, se)
        for row, values in zip(out, found, strict=True):
            values[np.abs(values) < ROUNDING] = 0.0
            row[place] = values
    np.clip(out[:2], -1, 1, out=out[:2])
    if a.df <= 0:
        out[3] = np.nan
    return CorrelationChange(out[0], out[1], out[2], out[3], a.df)


@dataclass(frozen=True)
class _Sums:
    """Left and right factors of the Gram products, stacked so that each needs one product."""

    n: int
    level: np.ndarray
    shift: tuple[np.ndarray, np.ndarray]
    square: tuple[np.ndarray, np.ndarray]
    third: tuple[np.ndarray, np.ndarray]
    joint: np.ndarray

    @classmethod
    def of(cls, m: np.ndarray, d: np.ndarray) -> _Sums:
        md = m * d
        return cls(
            n=len(m),
            level=np.vstack([m, d / 2]),
            shift=(np.vstack([m, d]), np.vstack([d, m])),
            square=(np.vstack([m * m, d * d]), np.vstack([d * d, m * m])),
            third=(np.vstack([m * md, md * d, d, m]), np.vstack([d, m, m * md, md * d])),
            joint=md,
        )

    def block(self, rows: slice, columns: slice) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """r₀, r_B − r_A and Σd² of one band of pairs."""

        def gram(left: np.ndarray, right: np.ndarray) -> np.ndarray:
            return left[:, rows].T @ right[:, columns]

        r0 = gram(self.level, self.level) / self.n
        joint = gram(self.joint, self.joint)
        own = np.einsum("ij,ij->j", self.joint, self.joint)
        # Σ(z_Bj z_Bk − z_Aj z_Ak)², then its product with the change of the squares,
        # then the change of the squares itself.
        squares = gram(*self.square) + 2 * joint
        squares -= 2 * r0 * gram(*self.third)
        squares += r0 * r0 * (own[rows, None] + own[None, columns] + 2 * joint)
        return r0, gram(*self.shift) / self.n, squares


def change_per_prompt(a: Scores, b: Scores, first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """dᵢ of chosen pairs, float64 [n × pairs]; its mean is the change of correlation."""

    def products(z: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        j, k = z[:, first], z[:, second]
        return j * k, (j * j + k * k) / 2

    product_a, square_a = products(a.z)
    product_b, square_b = products(b.z)
    r0 = (product_a.mean(0) + product_b.mean(0)) / 2
    return (product_b - r0 * square_b) - (product_a - r0 * square_a)


def resampled_change(
    change: np.ndarray, df: int, weights: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Mean of dᵢ (``change`` [n × k]) and its variance in resamples; float64 [samples × k] each.

    The variance is (mean d² − mean(d)²) / df times df/(df − 1), with df = n − S, because
    resamples of df draws vary that much less. ``weights`` [samples × n] have rows of sum 1.
    """
    mean = weights @ change
    centred = change - change.mean(0)
    spread = weights @ (centred * centred) - (weights @ centred) ** 2
    return mean, np.maximum(spread, 0.0) / max(df - 1, 1)
