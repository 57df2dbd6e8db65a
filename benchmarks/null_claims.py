"""Claims of null fine-tunes: are they real, and do the two policies decide alike?

Variants of examples/ipd against the base, and seeds of one recipe against each other: how
far decisions are apart, how far the models moved, how many edges are claimed; and whether
claims found on one half of the prompts hold on the other. docs/seeds-and-nulls.md says what
the tables mean.

    python benchmarks/null_claims.py WORKSPACE [policies halves]
"""

from __future__ import annotations

from dataclasses import replace
from itertools import combinations

import numpy as np
import pandas as pd
from recipe_seeds import (
    ALPHA,
    CHECKPOINT,
    MARGIN,
    NULLS,
    TRAINED,
    Runs,
    claims_of,
    grouped,
    names,
    show,
)

from circuitgraph.diff.behaviour import policies
from circuitgraph.lenses.effect import checkpoint as effect
from circuitgraph.lenses.match import match_runs
from circuitgraph.models.distance import drift
from circuitgraph.stats.margins import adjusted, treat_p


def alike(runs: Runs) -> pd.DataFrame:
    """Every variant against the base, and seeds of one recipe: decisions, drift, claims."""
    base = runs["base"]
    pairs = [("base", name) for recipe in (*NULLS, *TRAINED) for name in names(recipe)]
    pairs += [pair for r in ("utilitarian", "hybrid") for pair in combinations(names(r), 2)]
    rows = []
    for a, b in pairs:
        found = policies(match_runs([runs[a]], [runs[b]], "effect"))
        size = drift(base, runs[b]) if a == "base" else None
        rows.append(
            {
                "a": a,
                "b": b,
                "|ΔP|": round(found["apart"], 4),
                "at most": round(found["high"], 4),
                "KL": None if size is None else round(size["kl"], 4),
                "ΔW/W": None if size is None else round(size["weights"], 3),
                "claims": claims_of([runs[a]], [runs[b]], CHECKPOINT),
            }
        )
    return pd.DataFrame(rows)


def halves(runs: Runs, draws: int = 50) -> pd.DataFrame:
    """Claims of each null: are they there on prompts that had no part in finding them?"""
    rows = []
    for name in (name for recipe in NULLS for name in names(recipe)):
        matched, _, ok = grouped([runs["base"]], [runs[name]])
        shares = effect.Shares.of(matched, "share")
        whole = _claimed_on(shares, ok, np.arange(matched.n))
        tally = np.zeros(4)
        rng = np.random.default_rng(0)
        for first, second in (_halved(matched.scenarios, rng) for _ in range(draws)):
            tally += _held(shares, ok, first, second)
        rows.append(
            {
                "null": name,
                "claims": int(whole.sum()),
                "in half": tally[0] / draws,
                "beyond the margin in the other": tally[1] / max(tally[0], 1),
                "same sign": tally[2] / max(tally[0], 1),
                "claimed again": tally[3] / max(tally[0], 1),
            }
        )
    return pd.DataFrame(rows).round(2)


def _halved(scenarios: np.ndarray, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Rows of two random halves of every scenario."""
    order = [rng.permutation(np.flatnonzero(scenarios == s)) for s in np.unique(scenarios)]
    return tuple(np.sort(np.concatenate([rows[i::2] for rows in order])) for i in (0, 1))  # type: ignore[return-value]


def _on(shares: effect.Shares, rows: np.ndarray) -> effect.Shares:
    m = shares.matched
    part = replace(
        m,
        a=tuple(x[rows] for x in m.a),
        b=tuple(x[rows] for x in m.b),
        prompts=tuple(m.prompts[i] for i in rows),
        scenarios=m.scenarios[rows],
    )
    return replace(shares, matched=part, signs=shares.signs[rows])


def _claimed_on(shares: effect.Shares, ok: np.ndarray, rows: np.ndarray) -> np.ndarray:
    tests = effect.tests_of(_on(shares, rows))
    p = treat_p(tests.delta, tests.se, tests.df, MARGIN)
    return np.asarray(adjusted(np.where(ok, p, np.nan)) <= ALPHA)


def _held(
    shares: effect.Shares, ok: np.ndarray, first: np.ndarray, second: np.ndarray
) -> np.ndarray:
    """Claims in one half; of these in the other: beyond margin, same sign, claimed."""
    found = _claimed_on(shares, ok, first)
    here, there = (effect.tests_of(_on(shares, rows)).delta[found] for rows in (first, second))
    same = np.sign(here) == np.sign(there)
    again = (_claimed_on(shares, ok, second)[found] & same).sum()
    return np.array([found.sum(), (same & (np.abs(there) > MARGIN)).sum(), same.sum(), again])


if __name__ == "__main__":
    show({"policies": alike, "halves": halves}, __doc__.splitlines()[0])
