"""Which channels changed more than the other inputs of their receiver.

Fine-tuning changes every weight, and a receiver that changed much reads all its senders a
little differently. So a channel is compared with the other channels into the same receiver:
ρ = its change / its expectation under random updates of the same size, and
T = ρ / median of ρ over the receiver's other senders (the prominence). p-values come from T
under random updates; a claim also needs T ≥ 4, twice the receiver's median channel.

Where all but one or two of a receiver's channels are equal bit for bit, the changed ones are
tested against the margin over prompts instead: there is no drift to compare them with.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from circuitgraph.base.components import Edge
from circuitgraph.lenses.wiring.record import Channels
from circuitgraph.stats.margins import t_tail
from circuitgraph.stats.scenarios import balanced_mean, balanced_variance, balanced_weights, recode

PROMINENT = 4.0
"""T that a claim needs: squared, so twice the receiver's median channel."""

TAIL = 0.05
"""Share of the draws to whose excesses the tail is fitted."""

COMPARABLE = 3
"""Senders with a null that a receiver needs to be its own yardstick; or so many that are the
same bit for bit beside the ones that changed."""

LEAST = {"weights": 0.02, "functional": 0.01}
"""Smallest change that matters, by form, where no margin is given."""


@dataclass(frozen=True)
class ChannelTests:
    """Test of every channel; arrays are float64 [e] unless noted.

    Attributes
    ----------
    ratio : ρ; NaN for the functional form and where no change was expected
    prominence : T; NaN where the receiver has too few other channels
    p : 1 where nothing changed, NaN without a signal
    prominent : bool [e]
        T ≥ 4, or without T a change of at least the median one.
    """

    ratio: np.ndarray
    prominence: np.ndarray
    p: np.ndarray
    prominent: np.ndarray


def channel_tests(
    channels: Channels, scenarios: np.ndarray, margin: float | None = None
) -> ChannelTests:
    """Test every channel; ``margin`` is the smallest change of ``delta`` that matters."""
    least = LEAST[channels.form] if margin is None else margin
    test = _functional if channels.form == "functional" else _by_weights
    return test(channels, recode(scenarios), least)


def prominences(channels: Channels, weights: np.ndarray) -> np.ndarray:
    """T of every edge under prompt weights [W × n] or [n] of any sum; float64 [W × e] or [e]."""
    sets = np.atleast_2d(np.asarray(weights, np.float64))
    if channels.form == "functional":
        found = _against_others_or_all(_functional_ratio(channels, sets), channels.edges)
    else:
        ratio = _ratio(sets @ channels.square, sets @ channels.expected)
        found = against_others(ratio, channels.edges)
    return found if np.ndim(weights) == 2 else found[0]


def claimed_under(
    channels: Channels,
    scenarios: np.ndarray,
    weights: np.ndarray,
    rows: np.ndarray,
    margin: float,
) -> tuple[np.ndarray, np.ndarray]:
    """p of some edges under other prompt weights, and whether they change enough.

    Random updates are drawn, and errors estimated, once for all weights.

    Parameters
    ----------
    weights : float [W × n]
        Rows of sum 1.
    rows : int [k]
        The edges.

    Returns
    -------
    p : float64 [W × k]
    large : bool [W × k]
        T ≥ 4, or without T a change of at least the median one; and at least the margin, and
        more than rounding.
    """
    equal = balanced_weights(scenarios)
    present = (channels.norm_a + channels.norm_b > 0).any(0)
    delta = _mean_of_known(weights, channels.delta)
    times = prominences(channels, weights)[:, rows]
    alone = np.isnan(prominences(channels, equal))
    median = np.nanmedian(delta[:, present], axis=1, keepdims=True) if present.any() else 0.0
    single = _single(channels)[rows]
    with np.errstate(invalid="ignore"):
        large = np.where(alone[rows], delta[:, rows] >= median, times >= PROMINENT) | single
        large &= (delta[:, rows] >= margin) & (delta[:, rows] > channels.floor[rows])
    if channels.form == "functional":
        least = np.maximum(margin, channels.floor)[rows]
        p = _beyond(delta[:, rows], channels.delta[:, rows], recode(scenarios), least)
        return _with_drift(p, times, channels), large
    ratio = _ratio(weights @ channels.square, weights @ channels.expected)[:, rows]
    random = _random(channels, equal, alone)[:, rows]
    value = np.where(alone[rows], ratio, times)
    p = np.array([tail_p(row, random) for row in value]).reshape(value.shape)
    surely = _beyond(delta[:, rows], channels.delta[:, rows], recode(scenarios), np.array(margin))
    return np.where(single, surely, p), large


def by_receiver(edges: tuple[Edge, ...]) -> Iterator[slice]:
    """Slices of edges into one receiver; they are neighbours."""
    start = 0
    for stop in range(1, len(edges) + 1):
        if stop == len(edges) or edges[stop][1:] != edges[start][1:]:
            yield slice(start, stop)
            start = stop


def against_others(values: np.ndarray, edges: tuple[Edge, ...]) -> np.ndarray:
    """Values over the median of the others into the same receiver, [W × e].

    NaN values are left out; receivers with fewer than three values give NaN.
    """
    out = np.full(values.shape, np.nan)
    for part in by_receiver(edges):
        known = np.flatnonzero(~np.isnan(values[:, part]).all(0)) + part.start
        if len(known) >= COMPARABLE:
            chosen = values[:, known]
            with np.errstate(divide="ignore", invalid="ignore"):
                out[:, known] = chosen / _median_of_others(chosen)
    return out


def _median_of_others(values: np.ndarray) -> np.ndarray:
    """Median of each row without the value itself, [W × k], from one sorting."""
    k = values.shape[1]
    order = np.argsort(values, 1)
    rank = np.argsort(order, 1)
    ranked = np.take_along_axis(values, order, 1)

    def without(place: int) -> np.ndarray:
        """The value at a rank once each one's own is removed."""
        return np.where(rank <= place, ranked[:, [place + 1]], ranked[:, [place]])

    return (without((k - 2) // 2) + without((k - 1) // 2)) / 2


def tail_p(value: np.ndarray, draws: np.ndarray) -> np.ndarray:
    """P(draw ≥ value) of values [e] and draws [B × e], with an exponential tail of the logarithm.

    Above the m-th largest of B draws: p = (m/B) exp(−(log T − log T₍ₘ₎) / mean excess), with m the
    largest 5%. NaN where value or draws are.
    """
    count = len(draws)
    m = max(1, round(TAIL * count))
    with np.errstate(divide="ignore", invalid="ignore"):
        ranked = np.log(np.sort(draws, 0)[::-1][:m])
        excess = (ranked - ranked[-1]).sum(0) / max(m - 1, 1)
        beyond = np.log(value) - ranked[-1]
        far = m / count * np.exp(-beyond / excess)
    near = (1 + (draws >= value).sum(0)) / (count + 1)
    p = np.where((beyond > 0) & (excess > 0), np.minimum(far, m / count), near)
    return np.where(np.isnan(value) | np.isnan(draws).any(0), np.nan, p)


def _single(channels: Channels) -> np.ndarray:
    """Changed channels of receivers whose other inputs are equal bit for bit, bool [e]."""
    changed: np.ndarray = np.any(channels.expected > 0, axis=0)
    still = np.any(channels.norm_a + channels.norm_b > 0, axis=0) & ~changed
    out = np.zeros(len(channels.edges), bool)
    for part in by_receiver(channels.edges):
        if changed[part].sum() < COMPARABLE <= still[part].sum():
            out[part] = changed[part]
    return out


def _by_weights(channels: Channels, scenarios: np.ndarray, margin: float) -> ChannelTests:
    weights = balanced_weights(scenarios)
    square, expected = weights @ channels.square, weights @ channels.expected
    ratio = _ratio(square[None], expected[None])
    prominence = against_others(ratio, channels.edges)[0]
    alone = np.isnan(prominence)
    random = _random(channels, weights, alone)
    value = np.where(alone, ratio[0], prominence)
    p = tail_p(value, random) if len(random) else np.full(len(value), np.nan)
    present = (channels.norm_a + channels.norm_b > 0).any(0)
    delta, single = weights @ channels.delta, _single(channels)
    p = np.where(single, _beyond(delta, channels.delta, scenarios, np.array(margin)), p)
    p = np.where(square == 0, 1.0, p)
    p[~present] = np.nan
    prominent = np.where(alone, _large(delta, present) | single, prominence >= PROMINENT)
    return ChannelTests(ratio[0], prominence, p, prominent & present & (square > 0))


def _random(channels: Channels, weights: np.ndarray, alone: np.ndarray) -> np.ndarray:
    """T of every edge under random updates, ρ for those ``alone`` (bool [e]): [D × e]."""
    ratio = _ratio(channels.draws / len(weights), (weights @ channels.expected)[None])
    return np.where(alone, ratio, against_others(ratio, channels.edges))


def _large(delta: np.ndarray, present: np.ndarray) -> np.ndarray:
    return delta >= (np.median(delta[present]) if present.any() else 0.0)


def _ratio(square: np.ndarray, expected: np.ndarray) -> np.ndarray:
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(expected > 0, square / expected, np.nan)


def _mean_of_known(weights: np.ndarray, values: np.ndarray) -> np.ndarray:
    """Weighted means without NaN, [W × e]."""
    known = ~np.isnan(values)
    with np.errstate(divide="ignore", invalid="ignore"):
        return (weights @ np.where(known, values, 0.0)) / (weights @ known)


def _beyond(
    mean: np.ndarray, delta: np.ndarray, scenarios: np.ndarray, least: np.ndarray
) -> np.ndarray:
    """One-sided p that a mean [… × e] exceeds ``least`` [e], by the spread of ``delta`` [n × e]."""
    error = np.sqrt(balanced_variance(delta, scenarios))
    with np.errstate(divide="ignore", invalid="ignore"):
        return t_tail((mean - least) / error, len(scenarios) - scenarios.max() - 1)


def _with_drift(p: np.ndarray, times: np.ndarray, channels: Channels) -> np.ndarray:
    """The larger of p and that of T under random drift; p alone without T."""
    return np.fmax(p, sample_p(times, _drifted_times(channels))) + 0 * p


def _functional_ratio(channels: Channels, weights: np.ndarray) -> np.ndarray:
    """Mean delta² over that under random drift of the whole model [W × e]."""
    squares = _mean_of_known(weights, channels.delta**2)
    known = ~np.isnan(channels.delta).any(0)
    return np.where(known, _ratio(squares, channels.expected[:1]), np.nan)


def _drifted_times(channels: Channels) -> np.ndarray:
    """T of all channels under random drift, sorted: one sample, for few drifts are drawn."""
    ratio = _ratio(channels.draws, channels.expected[:1])
    times = _against_others_or_all(ratio, channels.edges)
    return np.sort(times[np.isfinite(times)])


def _against_others_or_all(values: np.ndarray, edges: tuple[Edge, ...]) -> np.ndarray:
    """As :func:`against_others`; over the median of all for receivers with too few inputs."""
    found = against_others(values, edges)
    if np.isnan(values).all():
        return found
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(np.isnan(found), values / np.nanmedian(values, 1, keepdims=True), found)


def sample_p(value: np.ndarray, sample: np.ndarray) -> np.ndarray:
    """As :func:`tail_p`, for values of any shape and one sorted sample for all of them."""
    count = len(sample)
    if count == 0:
        return np.full(np.shape(value), np.nan)
    m = max(2, round(TAIL * count))
    with np.errstate(divide="ignore", invalid="ignore"):
        ranked = np.log(sample[-m:])
        excess = (ranked - ranked[0]).sum() / (m - 1)
        beyond = np.log(value) - ranked[0]
        far = m / count * np.exp(-beyond / excess)
    near = (1 + count - np.searchsorted(sample, value)) / (count + 1)
    return np.where(np.isnan(value), np.nan, np.where(beyond > 0, np.minimum(far, near), near))


def _functional(channels: Channels, scenarios: np.ndarray, margin: float) -> ChannelTests:
    """Test by function: the mean change exceeds margin and rounding, and T that under random drift.

    The larger of two p: a one-sided t-test over prompts (as limma's treat for a change without a
    sign, McCarthy & Smyth 2009), and T among its values under random drift. Edges with a prompt
    whose channel is too weak have no p.
    """
    known = ~np.isnan(channels.delta).any(0)
    delta = np.where(known, channels.delta, 0.0)
    mean = balanced_mean(delta, scenarios)
    p = _beyond(mean, delta, scenarios, np.maximum(margin, channels.floor))
    p = np.where(mean <= channels.floor, 1.0, p)
    p[~known | ~(channels.norm_a + channels.norm_b > 0).any(0)] = np.nan
    prominence = prominences(channels, balanced_weights(scenarios))
    p = _with_drift(p, prominence, channels)
    large = _large(mean, known)
    prominent = np.where(np.isnan(prominence), large, prominence >= PROMINENT)
    nothing = np.full(len(mean), np.nan)
    return ChannelTests(nothing, prominence, p, prominent & known & (mean > channels.floor))
