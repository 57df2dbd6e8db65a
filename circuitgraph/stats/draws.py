"""Bootstrap weights of prompts, one row a resample.

A mean over resampled prompts is the plain mean under other weights (of sum 1), so that all
resamples of all edges are one matrix product.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from circuitgraph.stats.scenarios import counts


def bootstrap_weights(
    scenarios: np.ndarray, samples: int, seed: int, *, balanced: bool
) -> np.ndarray:
    """Weights of prompts drawn with replacement within scenarios, float64 [samples × n].

    A scenario of n_s prompts is drawn from n_s − 1 times, so that the variance of means over
    resamples is their squared standard error; one of a single prompt stays as it is.

    Parameters
    ----------
    scenarios : int [n]
        Codes 0 … S−1 without gaps.
    balanced : bool
        Equal weight of scenarios; else of prompts.

    References
    ----------
    Rao & Wu (1988), Resampling inference with complex survey data, JASA 83.
    """
    drawn, draws = _drawn(scenarios, samples, np.random.default_rng(seed))
    size, n = counts(scenarios), len(scenarios)
    share = 1 / len(size) if balanced else size[scenarios] / n
    return drawn * (share / draws)


def pooled_weights(scenarios: np.ndarray, samples: int, seed: int) -> np.ndarray:
    """As :func:`bootstrap_weights`, balanced, but scenarios of one prompt vary too.

    Such a scenario borrows a deviation from the others, as its variance does in
    :func:`circuitgraph.stats.scenarios.balanced_variance`.
    """
    rng = np.random.default_rng(seed)
    size = counts(scenarios)
    drawn, draws = _drawn(scenarios, samples, rng)
    weights = drawn / (draws * len(size))
    larger = np.flatnonzero(size[scenarios] > 1)
    for _ in range(int((size == 1).sum()) if len(larger) else 0):
        weights += _deviation(scenarios, larger, rng.choice(larger, samples)) / len(size)
    return weights


def _drawn(
    scenarios: np.ndarray, samples: int, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """How often each prompt is drawn [samples × n], and the draws of its scenario [n]."""
    size = counts(scenarios)
    drawn, draws = np.zeros((samples, len(scenarios))), np.maximum(size - 1, 1)
    for code, many in enumerate(size):
        times = rng.multinomial(draws[code], np.full(many, 1 / many), size=samples)
        drawn[:, scenarios == code] = times
    return drawn, draws[scenarios]


def _deviation(scenarios: np.ndarray, larger: np.ndarray, chosen: np.ndarray) -> np.ndarray:
    """Weights that give a chosen prompt's deviation from its scenario, for each resample."""
    members = (scenarios[None, :] == scenarios[chosen][:, None]).astype(float)
    deviation = -members / members.sum(1, keepdims=True)
    deviation[np.arange(len(chosen)), chosen] += 1.0
    n, s = len(larger), len(np.unique(scenarios[larger]))
    return deviation * np.sqrt(n / (n - s))


def bootstrap_rows(scenarios: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Rows of prompts drawn with replacement within each scenario, int [n].

    n_s times, not n_s − 1: another sample of the same size.
    """
    rows = np.arange(len(scenarios))
    for code in np.unique(scenarios):
        own = np.flatnonzero(scenarios == code)
        rows[own] = rng.choice(own, len(own))
    return rows


def kept_without(labels: Sequence[object]) -> list[np.ndarray]:
    """For each label the prompts of all others, bool [n]; in the order of the labels' texts.

    Empty with fewer than two labels, or where some prompt has none (None).
    """
    if None in labels:
        return []
    kinds = sorted({str(label) for label in labels})
    named = np.array([str(label) for label in labels], dtype=object)
    return [named != kind for kind in kinds] if len(kinds) > 1 else []
