"""Remarks on a diff, one line each."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from circuitgraph.base.errors import short
from circuitgraph.diff.likeness import likeness_in_words
from circuitgraph.diff.outcome import Outcome, too_few_replicates
from circuitgraph.diff.outlook import outlook
from circuitgraph.lenses.base import Options
from circuitgraph.lenses.edge_tests import DEGENERATE, MISSING
from circuitgraph.runs.signs import exchanged_pairs
from circuitgraph.stats.evidence import MIN_REPLICATES


def remarks_on(
    outcome: Outcome, options: Options, summary: dict[str, Any], across: Outcome | None
) -> list[str]:
    """Scope, evidence, method and confidence of a diff in words."""
    return [
        *_scope(outcome, options, summary),
        *(likeness_in_words(outcome.matched) if options.scope == "checkpoint" else ()),
        *_evidence(outcome, options),
        *options.lens.remarks(outcome.measured, options, outcome.margin),
        *_edges(outcome),
        *_confirmed(summary),
        *_confidence(options, summary),
        *_across(outcome, across),
        *outlook(outcome, options),
    ]


def _listed(names: Sequence[str]) -> str:
    shown = [short(name) for name in names]
    more = f" and {len(shown) - 4} more" if len(shown) > 5 else f" and {shown.pop()}"
    return ", ".join(shown[:4] if len(names) > 5 else shown) + more


def _scope(outcome: Outcome, options: Options, summary: dict[str, Any]) -> Iterator[str]:
    matched = outcome.matched
    if options.scope == "checkpoint":
        yield (
            "these two models are compared; whether their training does it needs the recipe "
            f"scope with {MIN_REPLICATES} variants or more a side"
        )
    elif too_few_replicates(matched):
        different = " of different weights" if matched.equals else ""
        yield (
            f"cannot tell: {len(matched.runs_a)} against {len(matched.runs_b)} variants{different}"
            f"; a recipe needs {MIN_REPLICATES} or more (5 advised) against as many or one fixed "
            "reference"
        )
    what = "values" if matched.runs[0].method.granularity == "table" else "merged weights"
    for names in matched.equals:
        yield f"{_listed(names)} have the same {what}: one replicate, counted once"
    if options.scope == "checkpoint" and summary["same_weights"] and not summary["identical"]:
        yield (
            f"both variants have the same {what}, yet what was measured differs: what the models "
            "read differs (tokenizer, template), or how they were computed"
        )


def _evidence(outcome: Outcome, options: Options) -> Iterator[str]:
    matched = outcome.matched
    if matched.duplicates:
        yield f"{matched.duplicates} duplicate prompts left out, {matched.n} distinct ones used"
    yield from exchanged_pairs(matched.runs[0])
    need, comfortable = options.lens.evidence
    basis = (
        f"n_effective is {matched.n_effective} ({matched.n} distinct prompts − "
        f"{matched.n_scenarios} scenarios)"
    )
    if matched.n_effective < need:
        yield f'cannot tell: {basis}, {need} are needed; this does not mean "no rewiring"'
    elif matched.n_effective < comfortable:
        yield f"little evidence: {basis}, {comfortable} are advised; small changes are missed"
    if matched.n > 1 and matched.n_effective == 0:
        yield (
            "every prompt is its own scenario, so nothing is left to compare within them; "
            'one scenario for all prompts is how to say "no clusters"'
        )


def _edges(outcome: Outcome) -> Iterator[str]:
    reason = outcome.tests.reason
    if missing := int((reason == MISSING).sum()):
        yield f"{missing} edges exist on one side only and are not tested"
    if coarse := int((reason == DEGENERATE).sum()):
        yield (
            f"{coarse} edges touch a component that takes too few values to correlate and "
            "are not tested"
        )


def _confirmed(summary: dict[str, Any]) -> Iterator[str]:
    found = summary.get("confirmation")
    if found and not found["edges"]:
        yield f"effects are estimates ({found['estimator']}): none was measured exactly"
    elif found:
        yield (
            f"effects were screened ({found['estimator']}); exact effects of {found['edges']} "
            f"edges confirm {found['confirmed']} of its {found['claims']} claims"
        )


def _confidence(options: Options, summary: dict[str, Any]) -> Iterator[str]:
    """The false discovery rate: an expected share of false claims (Benjamini & Hochberg 1995)."""
    if count := summary["n_claims"]:
        rate, false = options.alpha, options.alpha * count
        expected = f"{false:.0f}" if false >= 10 else f"{false:.2g}"
        method = ", whatever the dependence" if options.fdr == "by" else ""
        block = summary["typical_block"]
        size = f" (a typical block: {block})" if block else ""
        yield (
            f"false discovery rate {100 * rate:.3g}%: on average at most {_share(rate)} false"
            f"{method} (of these {count}: about {expected}); claims of one block stand or fall "
            f"together{size}"
        )


def _share(rate: float) -> str:
    one_in = round(1 / rate)
    if one_in > 1 and abs(one_in * rate - 1) < 1e-9:
        return f"1 in {one_in} claims is"
    return f"{100 * rate:.3g}% of claims are"


def _across(outcome: Outcome, across: Outcome | None) -> Iterator[str]:
    if across is not None:
        yield (
            f"across the means of {outcome.matched.n_scenarios} scenarios the same test claims "
            f"{len(across.decided.claims)} edges"
        )
