"""Compare two sides: the entry point of this package."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from functools import partial
from typing import Any

import numpy as np
import pandas as pd

from circuitgraph.diff.alone import alone, alone_in_words
from circuitgraph.diff.behaviour import behaviour_panel, behaviour_warnings, policies
from circuitgraph.diff.confirm import compare_exactly, confirmation_summary
from circuitgraph.diff.decoys import NullPair, decoy_counts, with_decoys
from circuitgraph.diff.details import claim_details, typical_block
from circuitgraph.diff.likeness import identical, same_weights
from circuitgraph.diff.outcome import Outcome, compare_across, table_of
from circuitgraph.diff.question import diff_id
from circuitgraph.diff.record import VERDICTS, Diff, Refitted
from circuitgraph.diff.remarks import remarks_on
from circuitgraph.diff.stability import claim_stability
from circuitgraph.lenses.base import Lens, Models, Options
from circuitgraph.lenses.edge_tests import REASONS
from circuitgraph.lenses.refits import large
from circuitgraph.lenses.registry import lens_named
from circuitgraph.runs.record import Run, now


def compare_runs(
    a: Sequence[Run],
    b: Sequence[Run],
    *,
    name_a: str,
    name_b: str,
    lens: str | Lens,
    scope: str = "checkpoint",
    alpha: float = 0.05,
    margin: float | None = None,
    fdr: str = "bh",
    seed: int = 0,
    nulls: Sequence[NullPair] = (),
    models: Models | None = None,
) -> Diff:
    """Compare two variants, or two groups of variants, edge by edge.

    Parameters
    ----------
    a, b : sequences of runs
        One run a side for the checkpoint scope; the replicates of each recipe (or one fixed
        reference) for the recipe scope.
    lens : str or Lens
        The name of a lens, or a lens with options of its own.
    scope : {"checkpoint", "recipe"}
    alpha : float
        False discovery rate of the claims.
    margin : float, optional
        Smallest change that matters, in units of ``delta``; default 0.1 for correlations,
        0.01 for effects (on the logit scale times the mean overall norm), 0.02 for the
        relative change of channels.
    fdr : {"bh", "by"}
    seed : int
        Of the noise floor.
    nulls : sequence
        Null pairs: (name of A, runs, name of B, runs, drift or None).
    models : Models, optional
        Without it approximate effects are not confirmed (see ``diff.confirm``), and a lens that
        needs models refuses.

    Raises
    ------
    UsageError
        The runs or the options do not fit together; the message names the key.
    InputError
        Equal activities in two scenarios.
    """
    lens = lens_named(lens)
    options = Options(lens, scope, alpha, margin, fdr, seed)
    outcome, confirmation = compare_exactly(a, b, options, models)
    across = compare_across(outcome, options)
    details = claim_details(outcome)
    rows = details.index.to_numpy(int)
    summary = _summary(outcome, options, details)
    if confirmation is not None:
        screen = confirmation.screen.tests
        details = details.assign(screen_a=screen.weight_a[rows], screen_b=screen.weight_b[rows])
        summary["confirmation"] = confirmation_summary(confirmation)
    remarks = remarks_on(outcome, options, summary, across)
    remarks += alone_in_words(summary["alone"]) + behaviour_warnings(summary["policies"], (*a, *b))
    summary["remarks"] = remarks
    diff = Diff(
        id=diff_id(outcome.matched.runs_a, outcome.matched.runs_b, options, outcome.margin),
        name=f"{name_a} → {name_b}",
        a=name_a,
        b=name_b,
        runs_a=outcome.matched.runs_a,
        runs_b=outcome.matched.runs_b,
        lens=lens.name,
        own=asdict(lens),  # type: ignore[call-overload]
        scope=scope,
        alpha=alpha,
        margin=outcome.margin,
        fdr=fdr,
        seed=seed,
        table=table_of(outcome, options, outcome.matched.n_scenarios),
        details=details,
        refitted=_refitted(outcome, options, rows),
        across=None if across is None else table_of(across, options, across.matched.n),
        summary=summary,
        created=now(),
        confirmed=() if confirmation is None else confirmation.names,
        lens_details=outcome.lens_details,
    )
    return with_decoys(diff, decoy_counts(nulls, options, outcome.margin, models))


def _refitted(outcome: Outcome, options: Options, rows: np.ndarray) -> Refitted:
    """Stability of claims; computed at once where what it needs is large to hold."""
    refitted = Refitted(partial(claim_stability, outcome, options, rows))
    if large(outcome.matched, len(outcome.tests)):
        _ = refitted.columns
    return refitted


def _summary(outcome: Outcome, options: Options, details: pd.DataFrame) -> dict[str, Any]:
    """Counts and context in plain JSON types."""
    matched, decided = outcome.matched, outcome.decided
    enough = outcome.evidence != "insufficient"
    summary: dict[str, Any] = {
        "n": matched.n,
        "n_scenarios": matched.n_scenarios,
        "n_effective": matched.n_effective,
        "duplicates": int(matched.duplicates),
        "n_edges": len(outcome.tests),
        "n_testable": int((decided.reason == 0).sum()) if enough else 0,
        "n_claims": len(decided.claims),
        "verdicts": _count(decided.verdict, VERDICTS),
        "reasons": {k: v for k, v in _count(decided.reason, REASONS).items() if k and v},
        "evidence": outcome.evidence,
        "units": options.lens.units(options.scope),
        "gain": outcome.tests.gain,
        "directions": outcome.tests.directions,
        "yardstick": options.lens.yardstick(outcome.measured, outcome.margin, options.seed),
        "decoys": [],
        "same_weights": same_weights(matched),
        "identical": identical(outcome, options.lens),
        "behaviour": behaviour_panel({"a": matched.runs_a, "b": matched.runs_b}),
        "policies": policies(matched),
        "alone": alone(outcome, options),
        "typical_block": typical_block(details["block"].to_numpy()),
    }
    if naive := options.lens.naive(summary["yardstick"]):
        summary["naive"] = naive
    return summary


def _count(codes: np.ndarray, names: Sequence[str]) -> dict[str, int]:
    counts = np.bincount(codes, minlength=len(names))
    return {name: int(count) for name, count in zip(names, counts, strict=True)}
