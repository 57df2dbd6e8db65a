"""Decisions of both variants, beside the changes of their edges."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product
from math import ceil
from typing import Any

import numpy as np

from circuitgraph.base.errors import quoted
from circuitgraph.lenses.match import Matched
from circuitgraph.runs.record import Run
from circuitgraph.stats import special
from circuitgraph.stats.evidence import LITTLE_MASS
from circuitgraph.stats.scenarios import balanced_mean, balanced_variance

ALIKE = 0.05
"""Policies are alike where |P_B − P_A| of the answer is surely below this on average.

Of two answers this is the total variation distance: drawn as alike as they can be, the
variants answer fewer than 1 prompt in 20 otherwise.
"""
SATURATED = 0.99
DIGIT = 0.001
"""The last digit of probabilities in words."""


def behaviour_panel(sides: dict[str, Sequence[Run]]) -> list[dict[str, Any]]:
    """Decisions of every variant per scenario; empty where runs hold no decisions.

    Returns
    -------
    list of dict
        ``side, variant, scenario, n``; ``decision`` (mean log-probability of the answer
        minus that of the wrong answer), ``p_answer`` (mean probability of the answer
        among the two), ``mass`` (mean probability of both together), ``saturation``
        (share of prompts where one of the two has over 99% of the mass).
    """
    return [
        row
        for side, runs in sides.items()
        for run in runs
        if "decisions" in run.arrays
        for row in _variant_rows(side, run)
    ]


def _variant_rows(side: str, run: Run) -> list[dict[str, Any]]:
    decision = np.asarray(run.arrays["decisions"], np.float64)
    mass = np.asarray(run.arrays.get("mass", np.full(run.n, np.nan)), np.float64)
    p = _p_answer(run)
    saturated = np.maximum(p, 1 - p) > SATURATED
    rows = []
    for code in np.unique(run.scenarios):  # of all prompts, not of the observations alone
        own = run.scenarios == code
        rows.append(
            {
                "side": side,
                "variant": run.variant.name,
                "scenario": run.prompts[int(np.argmax(own))].scenario,
                "n": int(own.sum()),
                "decision": float(decision[own].mean()),
                "p_answer": float(p[own].mean()),
                "mass": float(mass[own].mean()) if np.isfinite(mass[own]).all() else None,
                "saturation": float(saturated[own].mean()),
            }
        )
    return rows


def policies(matched: Matched) -> dict[str, Any] | None:
    """Distance between the two sides' decisions; None where runs hold no decisions.

    Returns
    -------
    dict or None
        ``apart``: mean over observations (scenarios alike) and pairs of one variant a side of
        |P_B − P_A|, P the probability of the answer among the two (means over seeds could
        cancel); ``high``: its upper end, 95% one-sided; ``alike``: whether ``high`` is below
        0.05; ``decided``: whether the two answers carry most of the probability in every
        variant; ``words``: that they are alike, or "".
    """
    if not all("decisions" in run.arrays for run in matched.runs):
        return None
    sides = [[_p_answer(run) for run in runs] for runs in (matched.runs_a, matched.runs_b)]
    apart = np.mean([np.abs(p_b - p_a) for p_a, p_b in product(*sides)], axis=0)
    mean, high = _upper_end(matched.collapsed(apart), matched.scenarios)
    alike = bool(high < ALIKE)
    return {
        "apart": mean,
        "high": high if np.isfinite(high) else None,
        "alike": alike,
        "decided": not any(_mass(run) < LITTLE_MASS for run in matched.runs),
        "words": _alike_in_words(mean, high) if alike else "",
    }


def _upper_end(values: np.ndarray, scenarios: np.ndarray) -> tuple[float, float]:
    """Scenario-balanced mean and the upper end of its interval, 95% one-sided."""
    mean = float(balanced_mean(values[:, None], scenarios)[0])
    df = len(values) - len(np.unique(scenarios))
    if df <= 0:
        return mean, float("nan")
    error = np.sqrt(balanced_variance(values[:, None], scenarios)[0])
    return mean, mean + float(special.stdtrit(df, 0.95) * error)


def _alike_in_words(mean: float, high: float) -> str:
    """The sentence, with the bound rounded up."""
    size = f"{mean:.3f}" if mean >= DIGIT else f"under {DIGIT}"
    most = max(ceil(high / DIGIT) * DIGIT, DIGIT)
    return (
        f"the two policies are alike: P(answer) differs by {size} on average "
        f"(at most {most:.3f} with 95% confidence)"
    )


def behaviour_warnings(found: dict[str, Any] | None, runs: Sequence[Run]) -> list[str]:
    """Warnings where decisions measure behaviour badly; ``found`` is from :func:`policies`."""
    if found is None:
        return []
    warnings = []
    if found["alike"] and not found["decided"]:
        warnings.append(f"{found['words']}; but that is little of what they would answer")
    for run in runs:
        mass = _mass(run)
        if mass < LITTLE_MASS:
            warnings.append(
                f"the two answers carry {mass:.0%} of the probability in "
                f"{quoted(run.variant.name)}: the decision is not what it would answer"
            )
    return list(dict.fromkeys(warnings))


def _p_answer(run: Run) -> np.ndarray:
    return special.expit(np.asarray(run.arrays["decisions"], np.float64))


def _mass(run: Run) -> float:
    return float(np.mean(run.arrays["mass"])) if "mass" in run.arrays else 1.0
