"""The yardstick of the wiring lens: how much would random updates seem to rewire?

Other lenses compare A with itself; here that is 0 by construction, for nothing is sampled
but the prompts. So updates of the same size in random directions are judged in B's place.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from circuitgraph.lenses.base import Options
from circuitgraph.lenses.wiring.channel_tests import channel_tests
from circuitgraph.lenses.wiring.record import Channels
from circuitgraph.stats.multiplicity import adjusted
from circuitgraph.stats.scenarios import balanced_weights

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
    one = {
        name: (weights @ np.nan_to_num(getattr(channels, name)))[None]
        for name in ("norm_a", "norm_b", "delta", "square", "expected")
    }
    for name in ("square", "expected"):  # sums over prompts, as the draws are
        one[name] *= len(weights)
    count = max(1, min(DRAWS, _WORK // channels.draws.size))
    rows = np.random.default_rng(options.seed).choice(len(channels.draws), count, replace=False)
    found = [
        _claims(replace(channels, **_as_drawn(one, channels.draws[row])), barred, margin, options)
        for row in rows
    ]
    return float(np.mean(found))


def _as_drawn(one: dict[str, np.ndarray], draw: np.ndarray) -> dict[str, Any]:
    """One random update as if it had been measured, on one prompt that stands for all."""
    with np.errstate(divide="ignore", invalid="ignore"):
        size = np.sqrt(draw[None] / one["square"])
        delta = np.nan_to_num(np.minimum(one["delta"] * size, 1.0))
    return {**one, "square": draw[None], "delta": delta}


def _claims(channels: Channels, barred: np.ndarray, margin: float, options: Options) -> int:
    tests = channel_tests(channels, np.zeros(1, int), margin)
    q = adjusted(np.where(barred, np.nan, tests.p), options.fdr)
    with np.errstate(invalid="ignore"):
        claimed = (q <= options.alpha) & tests.prominent & (channels.delta[0] >= margin)
    return int(claimed.sum())
