"""How often the recipe scope is wrong on simulated replicates, and how much it finds.

Two groups of replicates, 400 edges between 20 senders and 20 receivers. Edges that share
a component scatter together; spreads differ between edges, and between the groups up to
ten-fold. Numbers are as the lenses make them: effects (spread grows with size), atanh of
correlations, log T of channels. In the second half of the sets one edge in ten is changed.
Beside the scope's test stand Welch's t per edge and a moderated t with a variance pooled
over both groups (limma's), with the same false discovery rate.

    python benchmarks/calibration_recipes.py --sets 200
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pandas as pd

from circuitgraph.lenses.correlation.recipe import as_correlations
from circuitgraph.lenses.edge_tests import Groups
from circuitgraph.lenses.recipe import combine
from circuitgraph.stats.margins import adjusted, treat_p
from circuitgraph.stats.replicates import moderate

NODES, EDGES = 20, 400
PROMPTS = 115
SHARED = 0.3
SIZES = ((3, 3), (4, 4), (5, 5), (8, 8), (3, 5), (3, 8), (1, 4))
RATIOS = (0.1, 0.33, 1.0, 3.0, 10.0)
LENSES = ("effect", "correlation", "wiring")


@dataclass(frozen=True)
class Simulated:
    """Numbers of two groups, and the edges whose means differ."""

    groups: Groups
    changed: np.ndarray


def simulate(
    rng: np.random.Generator, lens: str, sizes: tuple[int, int], ratio: float, *, change: bool
) -> Simulated:
    """Draw replicates; B scatters ``ratio`` times as much as A."""
    level, spread = levels_and_spreads(rng, lens)
    truth = np.zeros(EDGES)
    if change:
        rows = rng.choice(EDGES, EDGES // 10, replace=False)
        truth[rows] = rng.choice([-1, 1], len(rows)) * 6 * spread[rows] * max(ratio, 1)
    prompts = (0.2 * spread) ** 2
    a = level + spread * _scatter(rng, lens, sizes[0]) * (sizes[0] > 1)
    b = level + truth + ratio * spread * _scatter(rng, lens, sizes[1])
    b = b + np.sqrt(prompts) * rng.normal(size=EDGES)  # the same prompts for all
    measured = prompts * rng.chisquare(PROMPTS, EDGES) / PROMPTS
    return Simulated(Groups(a, b, measured, measured / 2, measured / 2), truth != 0)


def levels_and_spreads(rng: np.random.Generator, lens: str) -> tuple[np.ndarray, np.ndarray]:
    """Means of the edges, and the sd between replicates: scaled inverse χ² on 8 df."""
    own = np.sqrt(8 / rng.chisquare(8, EDGES))
    if lens == "effect":
        level = np.exp(rng.normal(-4, 1.2, EDGES)) * rng.choice([-1, 1], EDGES)
        return level, 0.2 * np.abs(level) ** 0.8 * own
    return rng.normal(0, 0.5, EDGES), {"correlation": 0.15, "wiring": 0.4}[lens] * own


def _scatter(rng: np.random.Generator, lens: str, k: int) -> np.ndarray:
    """Deviations of k replicates, variance 1; edges of one component share some.

    log T has an exponential upper tail.
    """
    sender, receiver = rng.normal(size=(2, k, NODES))
    shared = (sender[:, :, None] + receiver[:, None, :]).reshape(k, EDGES) / np.sqrt(2)
    own = rng.normal(size=(k, EDGES))
    if lens == "wiring":
        own = rng.exponential(size=(k, EDGES)) - 1
    return np.sqrt(SHARED) * shared + np.sqrt(1 - SHARED) * own


def scope_p(groups: Groups, lens: str) -> np.ndarray:
    """p-values of the recipe scope without a margin."""
    both = combine(groups, PROMPTS, np.ones(EDGES, bool), trend=lens == "effect")
    if lens != "correlation":
        return treat_p(both.mean_b - both.mean_a, both.se, both.df)
    _, _, delta, slope = as_correlations(both)
    return treat_p(delta, slope * both.se, both.df)


def welch_p(groups: Groups, lens: str) -> np.ndarray:
    """Welch's t of every edge on its own."""
    parts = [_variance_of_mean(x) for x in (groups.numbers_a, groups.numbers_b)]
    total = sum(v for v, _ in parts)
    df = total**2 / sum(v**2 / d for v, d in parts if d)
    return treat_p(_difference(groups), np.sqrt(total), df)


def _variance_of_mean(numbers: np.ndarray) -> tuple[np.ndarray, int]:
    k = len(numbers)
    return (numbers.var(0, ddof=1) / k if k > 1 else np.zeros(EDGES)), k - 1


def pooled_p(groups: Groups, lens: str) -> np.ndarray:
    """Moderated t with one variance for both groups, as limma's."""
    a, b = groups.numbers_a, groups.numbers_b
    groups_of = [x - x.mean(0) for x in (a, b)]
    # rows of one group with the pooled variance on as many degrees of freedom
    df = len(a) + len(b) - 2
    variance = sum((x**2).sum(0) for x in groups_of) / df
    rows = _with_variance(variance, df)
    size = np.abs(np.vstack([a, b])).mean(0) if lens == "effect" else None
    spread = moderate(rows, size=size)
    weight = sum(1 / len(x) for x in (a, b) if len(x) > 1)
    return treat_p(_difference(groups), np.sqrt(spread.variance * weight), spread.df)


def _with_variance(variance: np.ndarray, df: int) -> np.ndarray:
    """df + 1 rows whose columns have these variances."""
    rows = np.zeros((df + 1, EDGES))
    rows[0], rows[1] = 1, -1
    return rows * np.sqrt(variance * df / 2)


def _difference(groups: Groups) -> np.ndarray:
    return groups.numbers_b.mean(0) - groups.numbers_a.mean(0)


METHODS: dict[str, Callable[[Groups, str], np.ndarray]] = {
    "circuitgraph": scope_p,
    "Welch t": welch_p,
    "pooled moderated t": pooled_p,
}


def cell(sets: int, seed: int, lens: str, sizes: tuple[int, int], ratio: float) -> pd.DataFrame:
    """Rates over ``sets`` null and ``sets`` changed data sets, one row a method."""
    rng = np.random.default_rng(seed)
    rates: dict[str, list[tuple[float, ...]]] = {name: [] for name in METHODS}
    for _ in range(sets):
        null = simulate(rng, lens, sizes, ratio, change=False)
        real = simulate(rng, lens, sizes, ratio, change=True)
        for name, p_of in METHODS.items():
            p = p_of(null.groups, lens)
            found = adjusted(p_of(real.groups, lens)) <= 0.05
            false = (found & ~real.changed).sum() / max(found.sum(), 1)
            any_false = float((adjusted(p) <= 0.05).any())
            rates[name].append((np.mean(p <= 0.05), any_false, false, found[real.changed].mean()))
    columns = ["type I", "any false", "FDR", "power"]
    return pd.DataFrame({k: np.mean(v, axis=0) for k, v in rates.items()}, columns).T


def main() -> None:
    """Print every cell, one line a method."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sets", type=int, default=100)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    for lens in LENSES:
        for sizes in SIZES:
            for ratio in RATIOS:
                table = cell(arguments.sets, arguments.seed, lens, sizes, ratio)
                title = f"\n{lens}, {sizes[0]} against {sizes[1]} replicates, B's spread ×{ratio}\n"
                sys.stdout.write(title + table.to_string(float_format="{:.3f}".format) + "\n")
                sys.stdout.flush()


if __name__ == "__main__":
    main()
