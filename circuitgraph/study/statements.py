"""Statements of the published study of moral fine-tuning, held against the study's tables."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial

import pandas as pd

from circuitgraph.study.answers import (
    beyond_nulls,
    learnt_of,
    null_claims,
    recipes_by_effect,
    sufficient,
)
from circuitgraph.study.tables import Tables

HOLDS, FAILS, OPEN = "holds", "fails", "cannot be told"


def verdicts(tables: Tables) -> list[dict[str, str]]:
    """One row a statement."""
    found = []
    for text, judge in STATEMENTS.items():
        verdict, reason = judge(tables)
        found.append({"statement": text, "here": verdict, "because": reason})
    return found


def _correlations(tables: Tables) -> tuple[str, str]:
    """Recipes by the test; what a bare cut counts between single variants stands beside."""
    rows = tables.comparisons(lens="correlation", scope="recipe")
    told = []
    pairs = tables.comparisons(lens="correlation", a="deontological-0", b="utilitarian-0")
    seeds = tables.comparisons(lens="correlation", role="seeds")
    if len(pairs) and len(seeds):
        pair = pairs.iloc[0]
        told.append(
            f"|Δr| ≥ 0.3 counts {pair['bare_cut']:.0f} of {pair['edges']} pairs between one seed "
            f"of each, and {seeds['bare_cut'].min():.0f} between two seeds of one recipe"
        )
    return _beyond_nulls(rows, "pairs", told)


def _beyond_nulls(rows: pd.DataFrame, what: str, told: Sequence[str] = ()) -> tuple[str, str]:
    """Holds where twice the claims of nulls are made; fails where most is shown unchanged."""
    own = rows[(rows["a"] == "deontological") & (rows["b"] == "utilitarian")] if len(rows) else rows
    if own.empty:
        return OPEN, "not run"
    row, nulls = own.iloc[0], null_claims(rows)
    beside = "nulls not run" if nulls is None else f"{nulls} on nulls"
    counted = f"{row['claims']} of {row['testable']} {what} differ beyond seeds, {beside}"
    reason = "; ".join([*told, f"{counted}; {row['unchanged']} shown to be unchanged"])
    if row["evidence"] == "insufficient" or nulls is None:
        return OPEN, reason
    if beyond_nulls(row["claims"], nulls):
        return HOLDS, reason
    same = not row["claims"] and row["unchanged"] > row["testable"] / 2
    return (FAILS if same else OPEN), reason


def _similar(tables: Tables) -> tuple[str, str]:
    """By direct contributions to the decision: single variants by r, recipes by their claims."""
    pair = tables.where("components", a="deontological-0", b="utilitarian-0")
    recipes = tables.where("components", a="deontological", b="utilitarian")
    seeds = tables.where("components", role="seeds")
    nulls = null_claims(tables.where("components", scope="recipe"))
    if pair.empty or recipes.empty or seeds.empty or nulls is None:
        return OPEN, "not run"
    alike, least, both = pair["alike"].iloc[0], seeds["alike"].min(), recipes.iloc[0]
    reason = (
        f"direct contributions correlate with r = {alike:.3f}, those of two seeds of one recipe "
        f"with {least:.3f} or more; {both['claims']} of {both['testable']} components differ "
        f"beyond seeds, {nulls} on nulls"
    )
    if both["evidence"] == "insufficient" or (alike >= least) == beyond_nulls(
        both["claims"], nulls
    ):
        return OPEN, reason
    return (HOLDS if alike >= least else FAILS), reason


def _pathways(tables: Tables) -> tuple[str, str]:
    return _beyond_nulls(recipes_by_effect(tables), "edges")


def _weights(tables: Tables) -> tuple[str, str]:
    """Equal amounts of change refute nothing: directions may differ."""
    rows = tables.comparisons(lens="wiring", scope="recipe")
    told = ["how much training changed each channel is compared, not in which direction"]
    found, reason = _beyond_nulls(rows, "channels", told)
    return (OPEN if found == FAILS else found), reason


def _alone(tables: Tables, part: str) -> tuple[str, str]:
    """A part trained alone: it holds only where random choices of that size are not as good."""
    parts, own = tables["parts"], tables.where("parts", part=part)
    if own.empty:
        return OPEN, "not run"
    whole = parts[parts["part"] == "whole"]
    drawn = parts[parts["part"].str.startswith(f"random {part}")]
    reason = f"{own['components'].iloc[0]} alone {learnt_of(own)}; random choices of that size: "
    reason += f"{learnt_of(drawn)}; all parts together: {learnt_of(whole)}"
    told = sufficient(own, whole)
    if told == "does not suffice":
        return FAILS, reason
    best = len(drawn) and own["error"].max() < drawn["error"].min()
    return (HOLDS if told == "suffices" and best else OPEN), reason


def _flips(tables: Tables) -> tuple[str, str]:
    rows = tables["patches"]
    if rows.empty:
        return OPEN, "not run"
    most, n = int(rows["flips"].max()), int(rows["n"].iloc[0])
    reason = f"the component that flips most flips {most} of {n} decisions"
    return (FAILS if most else HOLDS), reason


STATEMENTS: Mapping[str, Callable[[Tables], tuple[str, str]]] = {
    "Deontological and utilitarian variants are nearly the same by component": _similar,
    "They differ in how components connect: correlations are rewired": _correlations,
    "They differ in how components connect: effects are rewired": _pathways,
    "They differ in how components connect: by their weights": _weights,
    "No single component, patched between variants, flips a decision": _flips,
    "One MLP is the switch: training it alone gives the behaviour": partial(
        _alone, part="component"
    ),
    "The band of layers that changed suffices": partial(_alone, part="band"),
}
"""What was said of Gemma-2-2b, and what gives a verdict and its reason from the tables."""
