"""Noise floor of the wiring lens: claims under random updates.

Other lenses compare A with itself, which is 0 here because only prompts are sampled. So
updates of the same size in random directions are tested in place of B.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from circuitgraph.lenses.base import Options
from circuitgraph.lenses.wiring.channel_tests import channel_tests
from circuitgraph.lenses.wiring.record import Channels
from circuitgraph.stats.multiplicity import adjusted
from circuitgraph.stats.scenarios import balanced_mean, balanced_weights

DRAWS = 20
_WORK = 20_000_000


def random_claims(
    channels: Channels, scenarios: np.ndarray, barred: np.ndarray, margin: float, options: Options
) -> float | None:
    """Mean number of claims under random updates; None without a null.

    ``barred`` (bool [e]): edges that are not tested.
    """
    if channels.form == "functional" or not channels.draws.size:
        return None
    weights = balanced_weights(scenarios)
    square = weights @ channels.square
    count = max(1, min(DRAWS, _WORK // channels.draws.size))
    rows = np.random.default_rng(options.seed).choice(len(channels.draws), count, replace=False)
    found = []
    for row in rows:
        drawn = _as_drawn(channels, square, channels.draws[row] / len(weights))
        found.append(_claims(drawn, scenarios, barred, margin, options))
    return float(np.mean(found))


def _as_drawn(channels: Channels, square: np.ndarray, drawn: np.ndarray) -> Channels:
    """Channels under one random update: ``drawn`` [e] is the mean of its ``square``."""
    times = np.divide(drawn, square, out=np.zeros(len(square)), where=square > 0)
    delta = np.minimum(np.nan_to_num(channels.delta) * np.sqrt(times), 1.0)
    return replace(
        channels, square=np.where(square > 0, channels.square * times, drawn), delta=delta
    )


def _claims(
    channels: Channels, scenarios: np.ndarray, barred: np.ndarray, margin: float, options: Options
) -> int:
    tests = channel_tests(channels, scenarios, margin)
    q = adjusted(np.where(barred, np.nan, tests.p), options.fdr)
    large = balanced_mean(channels.delta, scenarios) >= margin
    return int(((q <= options.alpha) & tests.prominent & large).sum())
