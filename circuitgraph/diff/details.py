"""Details of claims: intervals of each side, scenarios, wordings, blocks of correlated changes."""

from __future__ import annotations

import numpy as np
import pandas as pd

from circuitgraph.diff.outcome import Outcome
from circuitgraph.stats.draws import kept_without
from circuitgraph.stats.scenarios import balanced_mean, chunks, means, recode

MOST = 10_000
MOST_IN_BLOCKS = 2_000
TOGETHER = 0.7
"""Claims whose changes correlate at least this much over prompts belong to one block."""


def claim_details(outcome: Outcome) -> pd.DataFrame:
    """Columns of ``Diff.details`` for at most 10,000 claims, strongest first.

    Stability is computed apart (``diff.stability``), because it takes long.
    """
    matched, tests, decided = outcome.matched, outcome.tests, outcome.decided
    kept = np.sort(np.argsort(decided.p[decided.claims], kind="stable")[:MOST])
    rows = decided.claims[kept]
    ends = (end[kept] for end in decided.own)
    columns = dict(zip(("low_a", "high_a", "low_b", "high_b"), ends, strict=True))
    columns |= {name: np.full(len(rows), np.nan) for name in ("cancellation", "wording")}
    columns["block"] = blocks(outcome, rows)
    by_scenario = np.empty((matched.n_scenarios, len(rows)))
    wordings = [prompt.template for prompt in matched.prompts]
    for part in chunks(len(rows), 1 << 12):
        change = tests.per_prompt(rows[part])
        by_scenario[:, part] = means(change, matched.scenarios)
        columns["cancellation"][part] = cancellation(change, matched.scenarios)
        columns["wording"][part] = wording(change, matched.scenarios, wordings)
    columns |= {name: values[rows] for name, values in outcome.lens_details.by_edge.items()}
    first = np.unique(matched.scenarios, return_index=True)[1]
    labels = [matched.prompts[i].scenario for i in first]
    columns |= {f"mean: {label}": row for label, row in zip(labels, by_scenario, strict=True)}
    return pd.DataFrame(columns, index=pd.Index(rows))


def cancellation(change: np.ndarray, scenarios: np.ndarray) -> np.ndarray:
    """|scenario-balanced mean| / scenario-balanced root mean square; float64 [k].

    1 when every prompt changes by the same amount, near 0 when changes cancel.
    """
    mean, square = balanced_mean(change, scenarios), balanced_mean(change * change, scenarios)
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.abs(mean) / np.sqrt(square)


def wording(change: np.ndarray, scenarios: np.ndarray, wordings: list[str | None]) -> np.ndarray:
    """Smallest share of the change left when one wording is left out; float64 [k].

    1 when no wording matters, 0 or less when the change depends on one. NaN with fewer
    than two wordings.
    """
    kept = kept_without(wordings)
    if not kept:
        return np.full(change.shape[1], np.nan)
    whole = balanced_mean(change, scenarios)
    left = [balanced_mean(change[rows], recode(scenarios[rows])) for rows in kept]
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.min(np.array(left) / whole, axis=0)


def blocks(outcome: Outcome, rows: np.ndarray) -> np.ndarray:
    """Number of the block each claim belongs to, int [k], from 0 in row order.

    Claims whose changes correlate at |r| ≥ 0.7 over prompts are linked; blocks are connected
    components. When one claim of a block is wrong the others probably are too. Beyond 2,000
    claims no blocks are formed and all are −1.
    """
    from scipy.sparse.csgraph import connected_components  # not needed to read a diff

    if len(rows) > MOST_IN_BLOCKS:
        return np.full(len(rows), -1)
    if len(rows) == 0:
        return np.zeros(0, int)
    change = outcome.tests.per_prompt(rows)
    change = change - change.mean(0)
    size = np.sqrt(np.einsum("ij,ij->j", change, change))
    unit = change / np.where(size > 0, size, 1.0)
    linked = np.abs(unit.T @ unit) >= TOGETHER
    return np.asarray(connected_components(linked, directed=False)[1])


def typical_block(block: np.ndarray) -> int | None:
    """Mean block size over claims; None without blocks."""
    if len(block) == 0 or block[0] < 0:
        return None
    size = np.bincount(block)
    return round(float((size**2).sum() / size.sum()))
