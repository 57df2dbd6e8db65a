"""What both variants decide: a change of wiring means little when nobody decides anything."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from scipy.special import expit

from circuitgraph.runs import Run

ALIKE = 0.05
LITTLE_MASS = 0.5
SATURATED = 0.99


def behaviour_panel(sides: dict[str, Sequence[Run]]) -> list[dict[str, Any]]:
    """Decisions of every variant per scenario; empty where runs hold no decisions.

    Parameters
    ----------
    sides : dict
        ``a`` and ``b`` to their runs.

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
    p = expit(decision)
    saturated = np.maximum(p, 1 - p) > SATURATED
    rows = []
    for code in range(run.n_scenarios):
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


def behaviour_warnings(a: Sequence[Run], b: Sequence[Run]) -> list[str]:
    """Reasons to doubt that a diff of these variants is about behaviour."""
    runs = (*a, *b)
    if not all("decisions" in run.arrays for run in runs):
        return []
    warnings = []
    p_a, p_b = (np.mean([expit(r.arrays["decisions"]) for r in side], axis=0) for side in (a, b))
    apart = float(np.abs(p_a - p_b).mean())
    if apart < ALIKE:
        warnings.append(
            f"the two policies are alike: P(answer) differs by {apart:.3f} on average; "
            "changed edges do not show in what the variants decide"
        )
    for run in runs:
        mass = float(np.mean(run.arrays["mass"])) if "mass" in run.arrays else 1.0
        if mass < LITTLE_MASS:
            warnings.append(
                f"the two answers carry {mass:.0%} of the probability in "
                f"{run.variant.name[:60]!r}: the decision is not what it would say"
            )
    return list(dict.fromkeys(warnings))
