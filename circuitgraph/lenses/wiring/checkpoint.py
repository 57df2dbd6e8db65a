"""Lens ``wiring`` at scope ``checkpoint``: does the receiver read the same signal differently?

Both models are compared on common signals, so that a change upstream or downstream of an edge
is no change of the edge. A claim needs a change well above that of the receiver's other
inputs (``channel_tests``), because any update changes every channel a little.

Other lenses compare A with itself, which is 0 here because only prompts are sampled. So
updates of the same size in random directions are tested in place of B.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import numpy as np

from circuitgraph.lenses.base import Measured, Options
from circuitgraph.lenses.edge_tests import (
    NO_SIGNAL,
    NOT_FINITE,
    EdgeTests,
    Intervals,
    LensDetails,
    Rule,
    flag,
)
from circuitgraph.lenses.effect.checkpoint import edge_names
from circuitgraph.lenses.match import Matched
from circuitgraph.lenses.refits import ClaimRefits, Claims
from circuitgraph.lenses.wiring.channel_tests import ChannelTests, channel_tests, claimed_under
from circuitgraph.lenses.wiring.record import Channels
from circuitgraph.runs.record import Run
from circuitgraph.stats.margins import adjusted, half_width
from circuitgraph.stats.scenarios import balanced_mean, balanced_variance, balanced_weights

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


MARGIN = 0.02
"""Smallest relative change of a channel that matters: a random update of 2% of every matrix
stays under it in 19 of 20 channels, a fine-tune on the model's own answers in nearly all."""

ABSENT = 0.1
"""A channel at most this share of the other model's counts as not there."""

REVERSED = -0.5
"""A channel whose cosine with itself in the other model is at most this has turned round."""

Between = Callable[[Run, Run], Channels]
"""Changes of all channels between the models of two runs."""


@dataclass(frozen=True)
class WiringRefits(ABC):
    """Claims (``edges``, int [k]) of either scope with the smallest change and largest p-value.

    Random updates and, at recipe scope, standard errors stay those of the whole diff. A claim
    holds where its p-value is at most the largest of the diff's claims and its change passes all
    other criteria.
    """

    balanced: ClassVar[bool] = True

    scenarios: np.ndarray
    edges: np.ndarray
    margin: float
    cutoff: float

    @abstractmethod
    def resampled(self, weights: np.ndarray) -> np.ndarray:
        """Claims under other weights of the prompts, float [fits × n]; bool [fits × k]."""

    def without(self, kept: np.ndarray) -> np.ndarray:
        weights = np.zeros((1, len(self.scenarios)))
        weights[0, kept] = balanced_weights(self.scenarios[kept])
        return self.resampled(weights)[0]


@dataclass(frozen=True)
class PairRefits(WiringRefits):
    """Refits of two models' channels."""

    channels: Channels

    def resampled(self, weights: np.ndarray) -> np.ndarray:
        scenarios, margin = self.scenarios, self.margin
        p, large = claimed_under(self.channels, scenarios, weights, self.edges, margin)
        return large & (p <= self.cutoff)

    def without_replicates(self) -> np.ndarray:
        return np.empty((0, len(self.edges)), bool)


def measure(matched: Matched, channels: Channels, options: Options) -> Measured:
    """Test the channels of one model against another's."""
    channels = once_a_pair(matched, channels)
    matched = as_channels(matched, channels, (channels.norm_a,), (channels.norm_b,))
    margin = MARGIN if options.margin is None else float(options.margin)
    tests, found = edge_tests(matched, channels), channel_tests(channels, matched.scenarios, margin)
    random = random_claims(channels, matched.scenarios, tests.reason > 0, margin, options)
    lens_details = _details(matched, channels, found, random)
    rule = _rule(tests, found, lens_details, channels.floor, margin)

    def refit(claims: Claims) -> ClaimRefits:
        return PairRefits(matched.scenarios, claims.rows, claims.margin, claims.cutoff, channels)

    return Measured(matched, replace(tests, rule=rule), refit, lens_details)


def once_a_pair(matched: Matched, channels: Channels) -> Channels:
    """Channels of every observation: prompts that are one observation are averaged."""
    rows = len(channels.delta)
    if rows == matched.n:
        return channels
    names = ("norm_a", "norm_b", "read", "write", "delta", "square", "expected")
    found: dict[str, Any] = {name: matched.collapsed(getattr(channels, name)) for name in names}
    if channels.form == "weights":  # sums over prompts
        found["draws"] = channels.draws * (matched.n / rows)
    return replace(channels, **found)


def as_channels(
    matched: Matched, channels: Channels, a: tuple[np.ndarray, ...], b: tuple[np.ndarray, ...]
) -> Matched:
    """The same prompts with channels in place of what the runs measured."""
    missing = np.zeros(len(channels.edges), bool)
    return replace(matched, a=a, b=b, components=(), edges=channels.edges, missing=missing)


def edge_tests(matched: Matched, channels: Channels) -> EdgeTests:
    """Relative change of every channel, its spread over prompts, and reasons."""
    codes, df = matched.scenarios, matched.n_effective
    norms = (channels.norm_a, channels.norm_b)
    weight_a, weight_b, delta = (balanced_mean(x, codes) for x in (*norms, channels.delta))
    reason = np.zeros(len(delta), np.int8)
    known = np.isfinite(weight_a) & np.isfinite(weight_b)
    flag(reason, ~known, NOT_FINITE)
    flag(reason, known & (np.isnan(delta) | (weight_a + weight_b == 0)), NO_SIGNAL)

    def own(edges: np.ndarray) -> Intervals:
        ends: list[np.ndarray] = []
        for norm, mean in zip(norms, (weight_a, weight_b), strict=True):
            half = half_width(np.sqrt(balanced_variance(norm[:, edges], codes)), df)
            ends += [np.maximum(mean[edges] - half, 0.0), mean[edges] + half]
        return (ends[0], ends[1], ends[2], ends[3])

    return EdgeTests(
        names=edge_names(matched),
        weight_a=weight_a,
        weight_b=weight_b,
        delta=delta,
        se=np.sqrt(balanced_variance(channels.delta, codes)),
        df=df,
        reason=reason,
        default_margin=MARGIN,
        own=own,
        per_prompt=lambda edges: channels.delta[:, edges],
    )


def _details(
    matched: Matched, channels: Channels, found: ChannelTests, random: float | None
) -> LensDetails:
    codes = matched.scenarios
    by_edge = {
        "read": balanced_mean(channels.read, codes),
        "write": balanced_mean(channels.write, codes),
        "times_median": np.sqrt(found.prominence),
        "cosine": cosine(channels),
    }
    by_prompt = {
        "weight_a": channels.norm_a,
        "weight_b": channels.norm_b,
        "read": channels.read,
        "write": channels.write,
        "delta": channels.delta,
    }
    return LensDetails(by_edge, by_prompt, random)


def cosine(channels: Channels) -> np.ndarray:
    """Cosine between A's and B's channel over all prompts, −1 to 1; float64 [e], NaN without one.

    By the law of cosines from the sizes of both and of their difference.
    """
    a, b = channels.norm_a, channels.norm_b
    apart = channels.delta * (a + b)
    product = np.sum(a * a + b * b - apart * apart, axis=0) / 2
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.clip(product / np.sqrt(np.sum(a * a, axis=0) * np.sum(b * b, axis=0)), -1, 1)


def _rule(
    tests: EdgeTests,
    found: ChannelTests,
    lens_details: LensDetails,
    floor: np.ndarray,
    margin: float,
) -> Rule:
    """Claims: q ≤ alpha, T ≥ 4, and a change of at least the margin and above rounding."""
    with np.errstate(invalid="ignore"):
        large = found.prominent & (tests.delta >= margin) & (tests.delta > floor)
    return Rule(
        p=np.where(tests.delta <= floor, 1.0, found.p),
        large=large,
        kinds=lambda rows: _kinds_of_claim(tests, lens_details.by_edge["cosine"], rows),
        bounds=(0.0, 1.0),
    )


def _kinds_of_claim(tests: EdgeTests, turned: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """``gained`` or ``lost`` before ``sign_flip``: a missing channel has no direction."""
    a, b = tests.weight_a[rows], tests.weight_b[rows]
    kinds = [a <= ABSENT * b, b <= ABSENT * a, turned[rows] <= REVERSED]
    return np.select(kinds, ["gained", "lost", "sign_flip"], "rewired")
