"""Scenario-balanced means and variances.

Prompts of one scenario are paraphrases of each other. Eighty prompts in five scenarios
tested as eighty independent ones give a false edge in practically every data set; what
is left after scenario means are taken out is independent again.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

FLOAT32_NOISE = 1e-7
"""Relative size below which a spread of float32 values is rounding, not data."""


def chunks(total: int, width: int = 1 << 14) -> Iterator[slice]:
    """Slices that cover ``range(total)``, so that [prompts × edges] is never built whole."""
    for start in range(0, total, width):
        yield slice(start, min(start + width, total))


def recode(scenarios: np.ndarray) -> np.ndarray:
    """Scenario labels as codes 0 … S−1 without gaps, int [n]."""
    return np.unique(scenarios, return_inverse=True)[1].reshape(-1)


def counts(scenarios: np.ndarray) -> np.ndarray:
    """Prompts per scenario, int [S], for codes as from :func:`recode`."""
    return np.bincount(scenarios)


def means(values: np.ndarray, scenarios: np.ndarray) -> np.ndarray:
    """Mean of values [n × k] over the prompts of each scenario (codes 0 … S−1), float64 [S × k]."""
    members = (np.arange(scenarios.max() + 1)[:, None] == scenarios[None, :]).astype(np.float64)
    return (members @ np.asarray(values, np.float64)) / members.sum(1, keepdims=True)


def centre(values: np.ndarray, scenarios: np.ndarray) -> np.ndarray:
    """``values`` minus the mean of their scenario, float64 [n × k]."""
    return values - means(values, scenarios)[scenarios]


def balanced_weights(
    scenarios: np.ndarray, rows: np.ndarray | None = None, total: float = 1.0
) -> np.ndarray:
    """Weights with equal sums for all scenarios (int [n]), float64 [n] or [m].

    ``rows`` (int [m]) are the observations of m rows, which share their observation's weight.
    """
    codes = recode(scenarios)
    size = counts(codes)
    share = len(size) * size[codes]
    return total / (share if rows is None else share[rows] * np.bincount(rows)[rows])


def balanced_mean(values: np.ndarray, scenarios: np.ndarray) -> np.ndarray:
    """Mean over scenarios of the scenario means, float64 [k]."""
    return means(values, scenarios).mean(0)


def balanced_variance(values: np.ndarray, scenarios: np.ndarray) -> np.ndarray:
    """Sampling variance of :func:`balanced_mean`: Σ_s var_s / n_s / S², float64 [k].

    A scenario with a single prompt borrows the pooled variance within scenarios. NaN where
    every prompt is its own scenario.
    """
    size = counts(scenarios)
    n, s = len(scenarios), len(size)
    if n <= s:
        return np.full(values.shape[1], np.nan)
    residual = centre(values, scenarios)
    squares = means(residual * residual, scenarios) * size[:, None]
    pooled = squares.sum(0) / (n - s)
    own = squares / np.maximum(size - 1, 1)[:, None]
    return (np.where(size[:, None] > 1, own, pooled) / size[:, None]).sum(0) / s**2


def resampled_mean(
    values: np.ndarray, scenarios: np.ndarray, weights: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """:func:`balanced_mean` and :func:`balanced_variance` of resamples; float64 [samples × k] each.

    ``weights`` [samples × n] are of n_s − 1 draws in each scenario, as from
    :func:`circuitgraph.stats.draws.bootstrap_weights`. The variance has the expectation of that
    of ``values``. A scenario of fewer than three prompts keeps its own variance.
    """
    size = counts(scenarios)
    total = np.zeros((len(weights), values.shape[1]))
    residual = centre(values, scenarios)
    pooled = (residual**2).sum(0) / max(len(scenarios) - len(size), 1)
    for code, many in enumerate(size):
        own = residual[scenarios == code]
        if many < 3:
            total += (pooled if many == 1 else (own**2).sum(0)) / many
            continue
        drawn = weights[:, scenarios == code] * len(size)
        spread = np.maximum(drawn @ (own * own) - (drawn @ own) ** 2, 0.0)
        total += spread / (many - 2)
    return weights @ values, total / len(size) ** 2
