"""Compare two sides: the one entry of this package."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numpy as np
import pandas as pd

from circuitgraph.base.components import digest
from circuitgraph.diff.alone import alone, alone_in_words
from circuitgraph.diff.behaviour import behaviour_panel, behaviour_warnings, policies
from circuitgraph.diff.confirm import Exactly, confirmation_summary, screened_weights
from circuitgraph.diff.decoys import NullPair, decoy_counts, warned
from circuitgraph.diff.details import claim_details, typical_block
from circuitgraph.diff.judging import Models, judged
from circuitgraph.diff.options import Options
from circuitgraph.diff.outcome import Outcome, judge_across, table_of
from circuitgraph.diff.record import VERDICTS, Diff, Refitted
from circuitgraph.diff.refits import large
from circuitgraph.diff.remarks import remarks_on
from circuitgraph.diff.sameness import identical, same_weights
from circuitgraph.diff.stability import claim_stability
from circuitgraph.diff.units import units
from circuitgraph.diff.yardstick import THRESHOLDS, correlation_yardstick, effect_yardstick
from circuitgraph.lenses.edge_tests import REASONS
from circuitgraph.lenses.effect.checkpoint import Shares
from circuitgraph.lenses.match import Matched
from circuitgraph.lenses.wiring.checkpoint import wiring_yardstick
from circuitgraph.lenses.wiring.record import Channels
from circuitgraph.runs.record import Run, now


def compare_runs(
    a: Sequence[Run],
    b: Sequence[Run],
    *,
    name_a: str,
    name_b: str,
    lens: str,
    scope: str = "checkpoint",
    alpha: float = 0.05,
    margin: float | None = None,
    scale: str = "share",
    rank: bool = False,
    fdr: str = "bh",
    seed: int = 0,
    nulls: Sequence[NullPair] = (),
    exactly: Exactly | None = None,
    form: str = "weights",
    shared_basis: bool = False,
    channels: Callable[..., Channels] | None = None,
    base_of: Callable[[Sequence[Run], Sequence[Run]], Run] | None = None,
) -> Diff:
    """Compare two variants, or two groups of variants, edge by edge.

    Parameters
    ----------
    a, b : sequences of runs
        One run a side for the checkpoint scope; the replicates of each recipe (or one
        fixed reference) for the recipe scope.
    name_a, name_b : str
        What the sides are called.
    lens : {"correlation", "effect", "wiring"}
    scope : {"checkpoint", "recipe"}
    alpha : float
        False discovery rate of the claims.
    margin : float, optional
        Smallest change that matters, in units of ``delta``; default 0.1 for
        correlations, 0.01 for effects (on the logit scale times the mean overall norm),
        0.02 for the relative change of channels.
    scale : {"share", "logit"}
        Effects as shares of the norm of all the variant's edge effects, or in the decision's units.
    rank : bool
        Correlations of normal scores.
    fdr : {"bh", "by"}
    seed : int
        Of the yardstick.
    nulls : sequence
        Null pairs: (name of A, runs, name of B, runs, drift or None).
    exactly : callable, optional
        Measures exact effects of some edges of a run; where effects were screened, claims
        must hold for these too (see ``diff.confirm``).
    form : {"weights", "functional"}
        Wiring: channels by their weights, or by what their receivers put out.
    shared_basis : bool
        Wiring by weights: the user's word that both models share a basis.
    channels, base_of : callables
        Wiring: measure all channels between two runs' models, and find the run of the
        base that both sides come from (see ``diff.judging.Models``).

    Returns
    -------
    Diff

    Raises
    ------
    UsageError
        The runs or the choices do not fit together; the message names the key.
    InputError
        Equal activities stand in two scenarios.
    """
    options = Options(lens, scope, alpha, margin, scale, rank, fdr, seed, form, shared_basis)
    models = Models(exactly, channels, base_of)
    outcome, confirmation = judged(a, b, options, models)
    across = judge_across(outcome, options)
    details = claim_details(outcome)
    rows = details.index.to_numpy(int)
    decoys = decoy_counts(nulls, options, outcome.margin, models)
    summary = _summary(outcome, options, details, decoys)
    if confirmation is not None:
        details = details.assign(**screened_weights(confirmation, details.index))
        summary["confirmation"] = confirmation_summary(confirmation)
    remarks = remarks_on(outcome, options, summary, across)
    remarks += alone_in_words(summary["alone"]) + behaviour_warnings(summary["policies"], (*a, *b))
    summary["remarks"] = warned(remarks, summary)
    return Diff(
        id=_diff_id(outcome.matched, options, outcome.margin),
        name=f"{name_a} → {name_b}",
        a=name_a,
        b=name_b,
        runs_a=outcome.matched.runs_a,
        runs_b=outcome.matched.runs_b,
        lens=lens,
        scope=scope,
        alpha=alpha,
        margin=outcome.margin,
        scale=scale,
        rank=rank,
        fdr=fdr,
        seed=seed,
        table=table_of(outcome, options, outcome.matched.n_scenarios),
        details=details,
        refitted=_refitted(outcome, options, rows),
        across=None if across is None else table_of(across, options, across.matched.n),
        summary=summary,
        created=now(),
        confirmed=() if confirmation is None else confirmation.names,
        form=form if lens == "wiring" else "",
        shared_basis=shared_basis,
        closer=outcome.closer,
    )


def _refitted(outcome: Outcome, options: Options, rows: np.ndarray) -> Refitted:
    """How often claims are made again, at once where what it needs is large to hold."""
    refitted = Refitted(partial(claim_stability, outcome, options, rows))
    if large(outcome):
        _ = refitted.columns
    return refitted


def _diff_id(matched: Matched, options: Options, margin: float) -> str:
    """Hash of the question: what is compared, and how its claims are chosen.

    The order within a side decides nothing. Null pairs, mechanisms and blocks are looked at
    beside the claims and change none, so they make no other diff.
    """
    sides = [sorted(run.id for run in side) for side in (matched.runs_a, matched.runs_b)]
    signs = matched.runs[0].signs  # where prompts have no direction, they are the workspace's own
    if signs is not None and not all(prompt.direction for prompt in matched.runs[0].prompts):
        sides.append([f"{name} {sign}" for name, sign in sorted(signs.by_scenario.items())])
    chosen = [options.lens, options.scope, options.alpha, margin, options.scale]
    if options.lens == "wiring":
        chosen += [options.form, options.shared_basis]
    return digest("diff", *sides, *chosen, options.rank, options.fdr, options.seed)


def _summary(
    outcome: Outcome, options: Options, details: pd.DataFrame, decoys: list[dict[str, Any]]
) -> dict[str, Any]:
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
        "units": units(options.lens, options.scope, options.scale, rank=options.rank),
        "gain": outcome.tests.gain,
        "directions": outcome.tests.directions,
        "yardstick": _yardstick(outcome, options),
        "decoys": decoys,
        "same_weights": same_weights(matched),
        "identical": identical(outcome, options.lens),
        "behaviour": behaviour_panel({"a": matched.runs_a, "b": matched.runs_b}),
        "policies": policies(matched),
        "alone": alone(outcome, options),
        "typical_block": typical_block(details["block"].to_numpy()),
    }
    if options.lens == "correlation":
        observed = summary["yardstick"]["observed"]
        summary["naive"] = {f"{t:g}": observed[f"{t:g}"] for t in THRESHOLDS}
    return summary


def _count(codes: np.ndarray, names: Sequence[str]) -> dict[str, int]:
    counts = np.bincount(codes, minlength=len(names))
    return {name: int(count) for name, count in zip(names, counts, strict=True)}


def _yardstick(outcome: Outcome, options: Options) -> dict[str, Any]:
    if options.lens == "correlation":
        return correlation_yardstick(outcome.matched, options.seed)
    if options.lens == "wiring":
        return wiring_yardstick(outcome)
    threshold = outcome.margin or outcome.tests.default_margin
    return effect_yardstick(Shares.of(outcome.matched, options.scale), threshold, options.seed)
