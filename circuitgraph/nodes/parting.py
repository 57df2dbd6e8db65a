"""The first layer at which two variants' decisions part, by the logit lens."""

from __future__ import annotations

from typing import Any

import numpy as np

from circuitgraph.nodes.compare import Sides
from circuitgraph.stats.draws import bootstrap_weights
from circuitgraph.stats.scenarios import means

SAMPLES = 1000


def parting(sides: Sides, margin: float) -> dict[str, Any]:
    """The first node whose values differ by more than a margin, and how sure that is.

    The change of a layer is the mean over scenarios of |its mean within the scenario|, so that
    scenarios which part in opposite ways do not cancel. Prompts are resampled within scenarios.

    Parameters
    ----------
    sides
        Values of both, nodes in order of computation; those with a category are left out.
    margin
        In the units of the values.

    Returns
    -------
    dict
        ``first``, and ``low`` and ``high``, the ends of its 95% interval: names of nodes, None
        for nowhere; ``parted``, the share of resamples in which the two part at all.
    """
    plain = [place for place, node in enumerate(sides.nodes) if not node.category]
    change = (np.mean(sides.b, axis=0) - np.mean(sides.a, axis=0))[:, plain]
    codes, names = sides.scenarios, [sides.nodes[place].component for place in plain]
    scenarios = means(change, codes)
    found = _first(np.abs(scenarios).mean(0)[None], margin)[0]
    drawn = bootstrap_weights(codes, SAMPLES, 0, balanced=True) * len(scenarios)
    size = np.zeros((SAMPLES, len(names)))
    for scenario in range(len(scenarios)):
        own = codes == scenario
        size += np.abs(drawn[:, own] @ change[own]) / len(scenarios)
    firsts = np.sort(_first(size, margin))
    low, high = (int(firsts[round(share * (SAMPLES - 1))]) for share in (0.025, 0.975))
    ends = {"first": int(found), "low": low, "high": high}
    told: dict[str, Any] = {
        key: names[place] if place < len(names) else None for key, place in ends.items()
    }
    return {**told, "parted": float((firsts < len(names)).mean())}


def _first(size: np.ndarray, margin: float) -> np.ndarray:
    """Of every row the first column above the margin; the number of columns where none is."""
    above = size > margin
    return np.where(above.any(1), above.argmax(1), size.shape[1])


def in_words(found: dict[str, Any]) -> str:
    """Where two variants part, in a line."""
    if found["first"] is None:
        return f"they part nowhere beyond the margin ({found['parted']:.0%} of resamples part)"
    low, high = (found[end] or "nowhere" for end in ("low", "high"))
    return f"they part at {found['first']} (95% from {low} to {high})"
