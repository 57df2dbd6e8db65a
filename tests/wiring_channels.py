"""Channels made of vectors: everything the wiring lens reads follows from them by definition."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from circuitgraph.base.components import Edge, effect_edges
from circuitgraph.lenses.wiring.record import Channels

EDGES = tuple(effect_edges(3, 3, 3, "head", "joint"))
WIDE = 24
DRAWS = 1000
SCENARIOS = np.arange(40) % 5


def place(source: str, target: str) -> int:
    """Column of an edge."""
    return next(i for i, e in enumerate(EDGES) if (e.source, e.target) == (source, target))


def vectors(seed: int, n: int = len(SCENARIOS), edges: Sequence[Edge] = EDGES) -> np.ndarray:
    """What receivers read of senders in A, [n × e × d], about 1 long."""
    rng = np.random.default_rng(seed)
    return rng.normal(size=(n, len(edges), WIDE)) / np.sqrt(WIDE)


def drifted(a: np.ndarray, seed: int, size: float = 0.02) -> np.ndarray:
    """B: every channel moved a little, some receivers' more than others'."""
    rng = np.random.default_rng(seed)
    receivers = {edge.target: np.exp(rng.normal()) for edge in EDGES}
    scale = size * np.array([receivers[edge.target] for edge in EDGES])
    return a + scale[:, None] * rng.normal(size=a.shape) / np.sqrt(WIDE)


def between(a: np.ndarray, b: np.ndarray, seed: int = 0, **more: np.ndarray) -> Channels:
    """The record of two models' vectors; random updates of the same size are chi-squared."""
    rng = np.random.default_rng(seed)
    n, e, _ = a.shape
    norm_a, norm_b = (np.linalg.norm(x, axis=2) for x in (a, b))
    apart = np.linalg.norm(b - a, axis=2)
    whole = norm_a + norm_b
    delta = np.divide(apart, whole, out=np.zeros((n, e)), where=whole > 0)
    receivers = [
        [i for i, edge in enumerate(EDGES) if edge.target == t] for t in {e.target for e in EDGES}
    ]
    expected = np.empty((n, e))
    for own in receivers:  # what a usual channel of this receiver changes by
        expected[:, own] = np.median(apart[:, own] ** 2)
    spread = rng.chisquare(WIDE, size=(DRAWS, e)) / WIDE
    arrays = {
        "norm_a": norm_a,
        "norm_b": norm_b,
        "read": delta.copy(),
        "write": np.zeros((n, e)),
        "delta": delta,
        "square": apart**2,
        "expected": expected,
        "draws": expected.sum(0) * spread,
        "floor": np.zeros(e),
    }
    return Channels(EDGES, "weights", **{**arrays, **more})
