"""Bootstrap of strengths and of their ranks over prompts.

Prompts of one scenario are paraphrases, so what varies within scenarios is resampled, in the
amounts that match the standard errors of :mod:`circuitgraph.stats`: n − S draws of scores for
correlations, and n_s − 1 draws within each scenario for means of effects (Rao & Wu), without
which two prompts a scenario would look twice as precise as they are.

References
----------
Efron, Tibshirani (1993). An introduction to the bootstrap.
Rao, Wu (1988). Resampling inference with complex survey data. JASA 83.
"""

from __future__ import annotations

from typing import Literal

import numpy as np
from scipy.sparse import csr_array

from circuitgraph.stats.scenarios import chunks

LEVEL = 0.95


def correlation_strengths(z: np.ndarray, df: int, samples: int, seed: int) -> np.ndarray:
    """Strength Σ_k |r_jk| of every component in resamples of the prompts; float64 [samples × c].

    ``z`` are standard scores within scenarios [n × c] (0 in columns that do not vary) and ``df``
    = n − S the number of draws. Each correlation is computed from the resampled scores.
    """
    n, size = z.shape
    rng = np.random.default_rng(seed)
    drawn = rng.multinomial(max(df, 1), np.full(n, 1 / n), size=samples)
    strengths = np.empty((samples, size))
    for b, times in enumerate(drawn):
        rows = times > 0
        weighted = z[rows] * np.sqrt(times[rows])[:, None]
        length = np.sqrt(np.einsum("ij,ij->j", weighted, weighted))
        weighted /= np.where(length > 0, length, 1.0)
        gram = weighted.T @ weighted
        np.abs(gram, out=gram)
        strengths[b] = gram.sum(0) - np.diag(gram)
    return strengths


def effect_strengths(
    effects: np.ndarray, prompt_weights: np.ndarray, ends: np.ndarray, nodes: int
) -> np.ndarray:
    """Strength of every component, in and out together, in resamples; float64 [samples × nodes].

    Parameters
    ----------
    effects : float [n × e]
    prompt_weights : float [samples × n]
        Weights of the prompts in each resample, signs included.
    ends : int [2 × e]
        Source and target of every edge.
    """
    strengths = np.zeros((len(prompt_weights), nodes))
    for part in chunks(effects.shape[1]):
        size = np.abs(weighted_sums(effects[:, part], prompt_weights))
        rows = np.arange(size.shape[1])
        cells = (np.ones(2 * len(rows)), (np.tile(rows, 2), ends[:, part].ravel()))
        strengths += size @ csr_array(cells, shape=(len(rows), nodes))
    return strengths


def weighted_sums(effects: np.ndarray, prompt_weights: np.ndarray) -> np.ndarray:
    """Σᵢ weight × effect, float64 [samples × e]; 0 for an edge not finite everywhere."""
    values = np.asarray(effects, np.float64)
    return prompt_weights @ np.where(np.isfinite(values).all(0), values, 0.0)


def rank_intervals(
    observed: np.ndarray, resampled: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Ranks by strength, 1 for the strongest, and their 95% intervals; int [c] each.

    ``observed`` [c] and ``resampled`` [samples × c] are strengths. Ties share their best rank;
    the interval spans all ranks they could have, and always holds ``rank``.
    """
    rank = _ranks(observed, "min")
    tails = [(1 - LEVEL) / 2, (1 + LEVEL) / 2]
    if len(resampled) == 0:
        return rank, np.ones_like(rank), np.full_like(rank, len(rank))
    low = np.quantile(_ranks(resampled, "min"), tails[0], axis=0, method="lower")
    high = np.quantile(_ranks(resampled, "max"), tails[1], axis=0, method="higher")
    return rank, np.minimum(low, rank), np.maximum(high, _ranks(observed, "max"))


def _ranks(strengths: np.ndarray, method: Literal["min", "max"]) -> np.ndarray:
    """Competition ranks, strongest first; equal in single precision is equal."""
    from scipy.stats import rankdata  # takes a second to import

    return rankdata(-strengths.astype(np.float32), method=method, axis=-1).astype(int)
