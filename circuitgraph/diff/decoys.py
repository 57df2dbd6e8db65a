"""Null pairs: pairs known not to differ in what matters, judged by the very same test."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from circuitgraph.diff.judging import Models, judged
from circuitgraph.diff.options import Options
from circuitgraph.runs import Run

NullPair = tuple[str, Sequence[Run], str, Sequence[Run], Mapping[str, float] | None]


def decoy_counts(
    nulls: Sequence[NullPair], options: Options, margin: float, models: Models
) -> list[dict[str, Any]]:
    """How many claims the same test with the same margin makes on each null pair.

    A decoy rate, not a false discovery rate: it says what drift of this size (``drift``,
    ‖ΔW‖/‖W‖ and KL where known) looks like, not which claims are wrong.

    Parameters
    ----------
    nulls
        (name of A, runs of A, name of B, runs of B, drift or None) of each pair.
    options, margin
        Those of the diff.
    models
        Those behind the runs.

    Returns
    -------
    list of dict
        ``a, b, n_claims, n_testable, evidence, drift``.
    """
    rows = []
    for name_a, runs_a, name_b, runs_b, drift in nulls:
        choices = replace(options, margin=margin)
        outcome, _ = judged(runs_a, runs_b, choices, models, strongest=0)
        enough = outcome.evidence != "insufficient"
        rows.append(
            {
                "a": name_a,
                "b": name_b,
                "n_claims": len(outcome.decided.claims),
                "n_testable": int((outcome.decided.reason == 0).sum()) if enough else 0,
                "evidence": outcome.evidence,
                "drift": dict(drift) if drift else None,
            }
        )
    return rows
