"""The yardstick of the wiring lens: how much would random updates seem to rewire?

Other lenses compare A with itself; here that is 0 by construction, for nothing is sampled
but the prompts. So updates of the same size in random directions are judged in B's place.
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
    """Mean number of claims where the weights moved at random; None where no null is known.

    Parameters
    ----------
    channels : Channels
    scenarios : int [n]
    barred : bool [e]
        Edges that are not tested.
    margin, options
        Those of the diff.
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
    """One random update as if it had been measured: on all prompts it makes of a channel's
    square as much as on average, ``drawn`` of ``square`` [e]."""
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
