"""Null pairs: pairs known not to differ in what matters, judged by the very same test."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from circuitgraph.base.quoting import short
from circuitgraph.diff.confirm import judge_exactly
from circuitgraph.diff.record import Diff
from circuitgraph.lenses.base import Models, Options
from circuitgraph.runs.record import Run

BAD = 0.5
"""Share of the pair's own claims from which a null pair is no null for it. Of claims that are
right, false discoveries alone would show one in twenty; where a pair said not to differ shows
half as many, at least half of the claims are of a kind that not differing makes too."""

NONE = "none"
"""In place of a null pair: those counted before are dropped."""

NullPair = tuple[str, Sequence[Run], str, Sequence[Run], Mapping[str, float] | None]


def decoy_counts(
    nulls: Sequence[NullPair], options: Options, margin: float, models: Models | None
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
        ``a, b, runs_a, runs_b`` (ids), ``n_claims, n_testable, evidence, drift``.
    """
    rows = []
    for name_a, runs_a, name_b, runs_b, drift in nulls:
        choices = replace(options, margin=margin)
        outcome, _ = judge_exactly(runs_a, runs_b, choices, models, strongest=0)
        enough = outcome.evidence != "insufficient"
        rows.append(
            {
                "a": name_a,
                "b": name_b,
                "runs_a": [run.id for run in runs_a],
                "runs_b": [run.id for run in runs_b],
                "n_claims": len(outcome.decided.claims),
                "n_testable": int((outcome.decided.reason == 0).sum()) if enough else 0,
                "evidence": outcome.evidence,
                "drift": dict(drift) if drift else None,
            }
        )
    return rows


def warned(remarks: Sequence[str], summary: Mapping[str, Any]) -> list[str]:
    """The remarks of a diff, first of them those on null pairs, asked for now, that are none."""
    return [*_bad_nulls(summary), *remarks]


def _bad_nulls(summary: Mapping[str, Any]) -> Iterator[str]:
    if summary["evidence"] == "insufficient":
        return
    for decoy in summary["decoys"]:
        found, own = decoy["n_claims"], summary["n_claims"]
        if found and found >= BAD * own:
            yield (
                f"warning: null pair {short(decoy['a'])} : {short(decoy['b'])} claims {found} "
                f"edges, the pair itself {own}: either these two do differ and are no null pair, "
                "or the claims are what any two models show; do not read them as rewiring (a pair "
                f"given by mistake: --null {NONE} drops it)"
            )


def with_decoys(diff: Diff, kept: Sequence[Mapping[str, Any]]) -> Diff:
    """The same diff with null pairs that were counted for it before, each pair once.

    They are shown; only pairs asked for now are warned of.
    """
    own = diff.summary["decoys"]
    known = {_pair(decoy) for decoy in own}
    more = [dict(decoy) for decoy in kept if _pair(decoy) not in known]
    return replace(diff, summary={**diff.summary, "decoys": own + more}) if more else diff


def _pair(decoy: Mapping[str, Any]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    return tuple(decoy["runs_a"]), tuple(decoy["runs_b"])
