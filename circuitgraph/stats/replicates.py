"""Moderated variance between replicates of one recipe.

Three or four training seeds say little about one edge's variance; the distribution of
variances over hundreds of edges is a prior for each.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from circuitgraph.stats import special

SMALLEST = 1e-4
"""Variances are floored at this share of their median."""


@dataclass(frozen=True)
class Spread:
    """Moderated variance between the replicates of one group.

    Attributes
    ----------
    variance : float64 [e]
        Of one replicate.
    df : float
        k − 1 plus those borrowed (may be infinite).
    borrowed : float
        d₀, the prior's.
    """

    variance: np.ndarray
    df: float
    borrowed: float = 0.0


def moderate(
    numbers: np.ndarray, *, size: np.ndarray | None = None, fitted: np.ndarray | None = None
) -> Spread:
    """Empirical Bayes variance of each edge over k ≥ 2 replicates (numbers [k × e]).

    With s² the variance of an edge on d = k − 1 degrees of freedom, e = ln s² − ψ(d/2) +
    ln(d/2) is fitted by a quadratic in ln(size) or a constant. The spread of e beyond
    ψ′(d/2) gives the prior's weight d₀ = 2ψ′⁻¹(var e − ψ′(d/2)), infinite where nothing
    is left; s̃² = (d₀s₀² + ds²)/(d₀ + d) with s₀² = exp(fit + ψ(d₀/2) − ln(d₀/2)).

    Parameters
    ----------
    size : float [e], optional
        Size of each edge's number for the trend; taken over both groups, because the mean of a
        few replicates of one group is large where their spread is.
    fitted : bool [e], optional
        Edges the prior is fitted on. Edges too small to be tested follow rounding rather than
        training and would bend the fit.

    References
    ----------
    Smyth (2004), Linear models and empirical Bayes methods for assessing differential
    expression in microarray experiments; Law et al. (2014) for the trend.
    """
    df = len(numbers) - 1
    with np.errstate(invalid="ignore"):
        variance = numbers.var(axis=0, ddof=1)
    size = np.ones(len(variance)) if size is None else size
    usable = np.isfinite(variance) & (variance > 0) & (size > 0)
    usable &= True if fitted is None else fitted
    if usable.sum() <= 4:
        return Spread(variance, float(df))
    variance = np.maximum(variance, SMALLEST * np.median(variance[usable]))
    e = np.log(variance[usable]) - special.digamma(df / 2) + np.log(df / 2)
    x = np.log(size[usable])
    fit, residual = _fit(x, e, degree=2 if np.ptp(x) > 0 else 0)
    prior_df = 2 * float(trigamma_inverse(residual - special.polygamma(1, df / 2)))
    # No extrapolation: an edge outside the fitted range takes the value at its border.
    with np.errstate(divide="ignore"):
        place = np.clip(np.log(size), x.min(), x.max())
    log_prior = np.polynomial.polynomial.polyval(place, fit)
    return _posterior(variance, df, log_prior, prior_df)


def _fit(x: np.ndarray, y: np.ndarray, degree: int) -> tuple[np.ndarray, float]:
    """Least squares polynomial (coefficients, low to high) and residual variance."""
    design = np.vander(x, degree + 1, increasing=True)
    fit, _, order, _ = np.linalg.lstsq(design, y, rcond=None)
    residual = y - design @ fit
    return fit, float(residual @ residual / (len(y) - order))


def _posterior(variance: np.ndarray, df: int, log_prior: np.ndarray, prior_df: float) -> Spread:
    if np.isinf(prior_df):
        exact = np.where(np.isnan(variance), np.nan, np.exp(log_prior))
        return Spread(exact, np.inf, np.inf)
    prior = np.exp(log_prior + special.digamma(prior_df / 2) - np.log(prior_df / 2))
    posterior = (prior_df * prior + df * variance) / (prior_df + df)
    return Spread(posterior, prior_df + df, prior_df)


def trigamma_inverse(y: float) -> float:
    """x with ψ′(x) = y, by Newton's method (Smyth 2004, appendix); infinite for y ≤ 0."""
    if not y > 0:
        return np.inf
    if y > 1e7:
        return float(1 / np.sqrt(y))
    if y < 1e-6:
        return 1 / y
    x = 0.5 + 1 / y
    for _ in range(50):
        slope = special.polygamma(1, x)
        step = slope * (1 - slope / y) / special.polygamma(2, x)
        x += step
        if -step / x < 1e-10:
            break
    return float(x)


def combined_df(
    *parts: tuple[np.ndarray | float, float], together: np.ndarray | float = 0.0
) -> np.ndarray:
    """Degrees of freedom of a sum of variances (Welch 1947; Satterthwaite 1946).

    ``parts`` are (variance, df) of each term; ``together`` is the covariance of two terms'
    errors, v₁v₂ × :func:`common_error`. Infinite where all terms with weight have infinite df.
    """
    total = sum(np.asarray(v, np.float64) for v, _ in parts)
    with np.errstate(divide="ignore", invalid="ignore"):
        below = together + sum(np.asarray(v, np.float64) ** 2 / df for v, df in parts)
        return np.where(np.asarray(total) == 0, np.inf, np.asarray(total) ** 2 / below)


def common_error(a: Spread, b: Spread) -> float:
    """Covariance of the relative errors of two groups' moderated variances, halved.

    An edge with more spread than others of its size has it in both groups, and both
    moderated variances underestimate that by the same share d₀/(d₀ + d). Their relative errors,
    each of variance 2/(d₀ + d), have the covariance 2√(d₀₁d₀₂)/((d₀₁ + d₁)(d₀₂ + d₂)),
    and Satterthwaite's sum gets twice half of it: equal groups of three and a prior of 8
    have 11 degrees of freedom together (pooled: 12), and not 20. Where the groups' spreads
    deviate independently this is conservative.
    """
    if not (np.isfinite(a.borrowed) and np.isfinite(b.borrowed)):
        return 0.0
    return float(2 * np.sqrt(a.borrowed * b.borrowed) / (a.df * b.df))
