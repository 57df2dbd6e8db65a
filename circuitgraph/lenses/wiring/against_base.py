"""Change of variants from their common base: the prominence of every channel, as log T."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import log
from typing import Any

import numpy as np

from circuitgraph.base.errors import UsageError
from circuitgraph.lenses.wiring.channel_tests import PROMINENT, prominences
from circuitgraph.lenses.wiring.record import Channels
from circuitgraph.runs.comparable import comparison_key
from circuitgraph.runs.record import Run
from circuitgraph.stats.scenarios import balanced_weights

MAX_LOG_T = log(1e4)
"""Upper limit of log T: a receiver whose median channel did not change would give infinity."""

SURELY = log(PROMINENT) / 2
"""Margin of the group test: half of log 4, the difference that a claim must show."""


@dataclass(frozen=True, eq=False)
class ChangeFromBase:
    """Channels between the base and one variant.

    Attributes
    ----------
    channels : Channels
    log_times : float64 [e]
        log T, 0 to ``MAX_LOG_T``.
    influence : float64 [n × e]
        Of every prompt on ``log_times``.
    """

    channels: Channels
    log_times: np.ndarray
    influence: np.ndarray

    @classmethod
    def of(cls, channels: Channels, scenarios: np.ndarray) -> ChangeFromBase:
        [whole] = log_times(channels, balanced_weights(scenarios)[None])
        return cls(channels, whole, influence(channels, scenarios))

    def unchanged(self) -> ChangeFromBase:
        """The base compared with itself."""
        old = self.channels
        none = np.where(np.isnan(old.delta), np.nan, 0.0)
        same: dict[str, Any] = dict.fromkeys(("read", "write", "delta", "square"), none)
        return ChangeFromBase(
            replace(old, **same, norm_b=old.norm_a), 0 * self.log_times, np.zeros(old.square.shape)
        )


def log_times(channels: Channels, weights: np.ndarray) -> np.ndarray:
    """log T of every edge, 0 to ``MAX_LOG_T``, by row of prompt weights; float64 [W × e]."""
    if not (channels.delta > channels.floor).any():  # the base itself
        return np.zeros((len(weights), len(channels.edges)))
    times = prominences(channels, weights)
    # A receiver with too few senders for a median is held against all channels.
    alone = _ratio(channels, weights)
    with np.errstate(divide="ignore", invalid="ignore"):
        alone /= np.nanmedian(alone, axis=1, keepdims=True)
        found = np.clip(np.log(np.where(np.isnan(times), alone, times)), 0.0, MAX_LOG_T)
    still = np.nanmax(channels.delta, axis=0, initial=0.0) <= channels.floor
    return np.where(still, 0.0, found)


def _ratio(channels: Channels, weights: np.ndarray) -> np.ndarray:
    """Change of every channel over its expectation under random updates [W × e]."""
    if channels.form == "functional":
        return weights @ (np.nan_to_num(channels.delta) ** 2 / channels.expected)
    with np.errstate(divide="ignore", invalid="ignore"):
        return (weights @ channels.square) / (weights @ channels.expected)


def influence(channels: Channels, scenarios: np.ndarray) -> np.ndarray:
    """Influence of each prompt on log T, by the jackknife; float64 [n × e]."""
    whole = balanced_weights(scenarios)
    n = len(whole)
    if n == 1:  # nothing is left without it
        return np.full(channels.square.shape, np.nan)
    without = np.broadcast_to(whole, (n, n)) * ~np.eye(n, dtype=bool)
    return (n - 1) * (log_times(channels, whole[None]) - log_times(channels, without))


def base_of(a: Sequence[Run], b: Sequence[Run], stored: Sequence[Run]) -> Run:
    """The run of the model both sides were trained from, with the same method.

    The base of their adapters. Full models do not name a base, so one that is alone on its side,
    a fixed reference, is taken for it.

    Raises
    ------
    UsageError
        The variants have no base in common, or it was never ingested.
    """
    tuned = [run for run in (*a, *b) if run.variant.adapter]
    if not tuned:
        return _reference(a, b)
    bases = {run.variant.fingerprints.get("weights"): run.variant.base for run in tuned}
    if len(bases) > 1:
        raise UsageError(
            f"the adapters compared belong to different bases ({', '.join(bases.values())}); "
            "the wiring of recipes is compared by what each changed in one base"
        )
    for run in (*a, *b, *reversed(stored)):  # the base as it was named, before its doubles
        same = run.variant.fingerprints.get("weights") in bases and not run.variant.adapter
        if same and comparison_key(run) == comparison_key(tuned[0]):
            return run
    raise UsageError(
        "the wiring of recipes is compared by what each changed in the base, "
        f"{tuned[0].variant.base}: ingest that without an adapter, on the same prompts with "
        "the same options"
    )


def _reference(a: Sequence[Run], b: Sequence[Run]) -> Run:
    if min(len(a), len(b)) == 1:
        return a[0] if len(a) == 1 else b[0]
    raise UsageError(
        "the wiring of recipes is compared by what each changed in their base, and full models "
        "do not say which that is: compare each group with the base as the other side"
    )
