"""Other prompts that might have been asked: weights of prompts, one row a resample.

A mean over resampled prompts is the plain mean under other weights, so that all resamples
of all edges are one matrix product. Rows sum to 1.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from circuitgraph.stats.scenarios import counts


def bootstrap_weights(
    scenarios: np.ndarray, samples: int, seed: int, *, balanced: bool
) -> np.ndarray:
    """Prompts drawn with replacement within each scenario, float64 [samples × n].

    A scenario of n_s prompts is drawn from n_s − 1 times, so that means spread between
    resamples as much as their standard errors say; one of a single prompt stays as it is.

    Parameters
    ----------
    scenarios : int [n]
        Codes 0 … S−1 without gaps.
    samples, seed
        Number of resamples; seed of the generator.
    balanced : bool
        Every scenario counts alike; else every prompt.

    References
    ----------
    Rao & Wu (1988), Resampling inference with complex survey data, JASA 83.
    """
    rng = np.random.default_rng(seed)
    size, n = counts(scenarios), len(scenarios)
    weights = np.zeros((samples, n))
    for code, many in enumerate(size):
        draws = max(many - 1, 1)
        drawn = rng.multinomial(draws, np.full(many, 1 / many), size=samples)
        share = 1 / len(size) if balanced else many / n
        weights[:, scenarios == code] = drawn * (share / draws)
    return weights


def kept_without(labels: Sequence[object]) -> list[np.ndarray]:
    """For each label the prompts of all others, bool [n]; in the order of the labels' texts.

    Nothing where fewer than two labels exist, or where some prompt has none (None).
    """
    if None in labels:
        return []
    kinds = sorted({str(label) for label in labels})
    named = np.array([str(label) for label in labels], dtype=object)
    return [named != kind for kind in kinds] if len(kinds) > 1 else []
