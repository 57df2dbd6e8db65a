"""Null pairs (negative controls): pairs known not to differ, tested like the diff."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from circuitgraph.base.errors import short
from circuitgraph.diff.record import Diff
from circuitgraph.runs.record import Run

if TYPE_CHECKING:
    from circuitgraph.lenses.base import Models, Options

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
    """Number of claims of the same test with the same margin on each null pair.

    Not a false discovery rate: it shows what drift of this size (``drift``, ‖ΔW‖/‖W‖ and KL where
    known) looks like, not which claims are wrong.

    Returns
    -------
    list of dict
        ``a, b, runs_a, runs_b`` (ids), ``n_claims, n_testable, evidence, drift``.
    """
    from circuitgraph.diff.confirm import compare_exactly  # of no use where all pairs are known

    rows = []
    for name_a, runs_a, name_b, runs_b, drift in nulls:
        choices = replace(options, margin=margin)
        outcome, _ = compare_exactly(runs_a, runs_b, choices, models, strongest=0)
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


def with_decoys(
    diff: Diff, asked: Sequence[Mapping[str, Any]], kept: Sequence[Mapping[str, Any]] = ()
) -> Diff:
    """The same diff with other null pairs, each pair once.

    Those kept from before are shown too; only pairs asked for now give warnings.
    """
    known = {pair_of(decoy) for decoy in asked}
    decoys = [*asked, *(dict(decoy) for decoy in kept if pair_of(decoy) not in known)]
    before = {*_bad_nulls(diff.summary, diff.summary["decoys"])}
    remarks = [line for line in diff.summary["remarks"] if line not in before]
    summary = {**diff.summary, "decoys": decoys}
    summary["remarks"] = [*_bad_nulls(summary, asked), *remarks]
    return replace(diff, summary=summary)


def _bad_nulls(summary: Mapping[str, Any], decoys: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    """Warnings of null pairs with many claims."""
    if summary["evidence"] == "insufficient":
        return
    own = summary["n_claims"]
    drawn = [decoy["n_claims"] for decoy in decoys if decoy.get("random")]
    if drawn and max(drawn) and max(drawn) >= BAD * own:
        yield (
            f"warning: of a random update of the same size the same test claims {max(drawn)} "
            f"edges, of the pair itself {own}: its claims are what any update of this size makes; "
            "do not read them as rewiring"
        )
    for decoy in decoys:
        found = decoy["n_claims"]
        if found and found >= BAD * own and not decoy.get("random"):
            yield (
                f"warning: null pair {short(decoy['a'])} : {short(decoy['b'])} claims {found} "
                f"edges, the pair itself {own}: either these two do differ and are no null pair, "
                "or the claims are what any two models show; do not read them as rewiring (a pair "
                f"given by mistake: ``null={NONE}`` drops it)"
            )


def pair_of(decoy: Mapping[str, Any]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The runs a null pair was counted on."""
    return tuple(decoy["runs_a"]), tuple(decoy["runs_b"])
