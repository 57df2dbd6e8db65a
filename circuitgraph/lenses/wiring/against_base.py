"""What one variant changed in the base: how far every channel stands out, as one number."""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import log
from typing import Any

import numpy as np

from circuitgraph.lenses.wiring.channel_tests import PROMINENT, prominences
from circuitgraph.lenses.wiring.record import Channels
from circuitgraph.stats.scenarios import balanced_weights

MOST = log(1e4)
"""log T is cut here: among channels that did not change at all the least change is endless."""

SURELY = log(PROMINENT) / 2
"""A claim between groups: log T differs by log 4, and surely by half of that."""


@dataclass(frozen=True, eq=False)
class Against:
    """One variant against the base.

    Attributes:
        channels: between the base and the variant.
        log_times: log T, 0 to ``MOST`` [e].
        influence: of every prompt on ``log_times`` [n × e].
    """

    channels: Channels
    log_times: np.ndarray
    influence: np.ndarray

    @classmethod
    def of(cls, channels: Channels, scenarios: np.ndarray) -> Against:
        """What one pair's channels say."""
        [whole] = log_times(channels, balanced_weights(scenarios)[None])
        return cls(channels, whole, influence(channels, scenarios))

    def unchanged(self) -> Against:
        """What the base itself says against the base."""
        old = self.channels
        none = np.where(np.isnan(old.delta), np.nan, 0.0)
        same: dict[str, Any] = dict.fromkeys(("read", "write", "delta", "square"), none)
        return Against(
            replace(old, **same, norm_b=old.norm_a), 0 * self.log_times, np.zeros(old.square.shape)
        )


def log_times(channels: Channels, weights: np.ndarray) -> np.ndarray:
    """log T of every edge, 0 to ``MOST``, under each row of prompt weights [W × n].

    Returns
    -------
    float64 [W × e]
        NaN where nothing can be computed.
    """
    if not (channels.delta > channels.floor).any():  # the base itself
        return np.zeros((len(weights), len(channels.edges)))
    times = prominences(channels, weights)
    # A receiver with too few senders for a median is held against all channels.
    alone = _ratio(channels, weights)
    with np.errstate(divide="ignore", invalid="ignore"):
        alone /= np.nanmedian(alone, axis=1, keepdims=True)
        found = np.clip(np.log(np.where(np.isnan(times), alone, times)), 0.0, MOST)
    still = np.nanmax(channels.delta, axis=0, initial=0.0) <= channels.floor
    return np.where(still, 0.0, found)


def _ratio(channels: Channels, weights: np.ndarray) -> np.ndarray:
    """Change of every channel, by weights over what random updates would make it [W × e]."""
    if channels.form == "functional":
        return weights @ (np.nan_to_num(channels.delta) ** 2 / channels.expected)
    with np.errstate(divide="ignore", invalid="ignore"):
        return (weights @ channels.square) / (weights @ channels.expected)


def influence(channels: Channels, scenarios: np.ndarray) -> np.ndarray:
    """What each prompt adds to log T, by leaving it out (jackknife); float64 [n × e]."""
    whole = balanced_weights(scenarios)
    n = len(whole)
    if n == 1:  # nothing is left without it
        return np.full(channels.square.shape, np.nan)
    without = np.broadcast_to(whole, (n, n)) * ~np.eye(n, dtype=bool)
    return (n - 1) * (log_times(channels, whole[None]) - log_times(channels, without))
