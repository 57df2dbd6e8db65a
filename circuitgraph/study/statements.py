"""Statements of the published study of moral fine-tuning, held against the study's tables."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import pandas as pd

from circuitgraph.study.answers import mostly_learnt, null_claims, recipes_by_effect
from circuitgraph.study.tables import Tables

HOLDS, FAILS, OPEN = "holds", "fails", "cannot be told"


@dataclass(frozen=True)
class Statement:
    """A published statement.

    Attributes
    ----------
    text
        What was said, of Gemma-2-2b.
    judge
        Gives a verdict and its reason from the tables.
    """

    text: str
    judge: Callable[[Tables], tuple[str, str]]


def verdicts(tables: Tables) -> list[dict[str, str]]:
    """One row a statement."""
    found = []
    for statement in STATEMENTS:
        verdict, reason = statement.judge(tables)
        found.append({"statement": statement.text, "here": verdict, "because": reason})
    return found


def _one(tables: Tables, **keys: str) -> pd.Series | None:
    rows = tables.comparisons(**keys)
    return None if rows.empty else rows.iloc[0]


DE_UT = {"a": "deontological", "b": "utilitarian", "scope": "recipe", "granularity": "layers"}


def _correlations(tables: Tables) -> tuple[str, str]:
    row = _one(tables, lens="correlation", **DE_UT)
    if row is None or pd.isna(row["bare_cut"]):
        return OPEN, "not run"
    seeds = tables.comparisons(lens="correlation", role="seeds")["bare_cut"]
    reason = (
        f"|Δr| ≥ 0.3 counts {row['bare_cut']:.0f} of {row['edges']} pairs, and between two seeds "
        f"of one recipe {seeds.min():.0f} to {seeds.max():.0f}; {row['claims']} pass the test"
    )
    if row["evidence"] == "insufficient":
        return OPEN, reason
    return (HOLDS if row["claims"] else FAILS), reason


def _similar(tables: Tables) -> tuple[str, str]:
    row = _one(tables, lens="effect", **DE_UT)
    seeds = tables.comparisons(lens="effect", role="seeds")
    if row is None or seeds.empty:
        return OPEN, "not run"
    least = float(seeds["alike"].min())
    reason = (
        f"edge effects of both recipes correlate with r = {row['alike']:.3f}, those of two seeds "
        f"of one recipe with {least:.3f} or more"
    )
    return (HOLDS if row["alike"] >= least else FAILS), reason


def _pathways(tables: Tables) -> tuple[str, str]:
    row, nulls = _one(tables, lens="effect", **DE_UT), null_claims(recipes_by_effect(tables))
    if row is None:
        return OPEN, "not run"
    reason = f"{row['claims']} of {row['testable']} edges beyond seeds, {nulls} on nulls"
    if row["evidence"] == "insufficient" or nulls is None:
        return OPEN, reason
    return (HOLDS if row["claims"] > nulls else FAILS), reason


def _switch(tables: Tables) -> tuple[str, str]:
    own = tables.where("parts", part="component")
    if own.empty:
        return OPEN, "not run"
    learnt = int((own["learnt"] == "yes").sum())
    reason = f"{own['components'].iloc[0]} alone: learnt in {learnt} of {len(own)} seeds"
    if learnt == len(own):
        return HOLDS, reason
    return _short_of_all(tables, reason)


def _short_of_all(tables: Tables, reason: str) -> tuple[str, str]:
    """A part that is not enough: a failure only where all parts together are."""
    whole = tables.where("parts", part="whole")
    if whole.empty:
        return OPEN, reason
    learnt = int((whole["learnt"] == "yes").sum())
    reason = f"{reason}; all parts together: {learnt} of {len(whole)}"
    return (FAILS if mostly_learnt(whole) else OPEN), reason


def _band(tables: Tables) -> tuple[str, str]:
    parts = tables["parts"]
    own = tables.where("parts", part="band")
    if own.empty:
        return OPEN, "not run"
    learnt = int((own["learnt"] == "yes").sum())
    drawn = parts[parts["part"].str.startswith("random band")]
    others = int((drawn["learnt"] == "yes").sum())
    reason = (
        f"the band: learnt in {learnt} of {len(own)} seeds; random layers of that number: "
        f"{others} of {len(drawn)}"
    )
    if learnt < len(own):
        return _short_of_all(tables, reason)
    return (HOLDS if others < len(drawn) else OPEN), reason


def _flips(tables: Tables) -> tuple[str, str]:
    rows = tables["patches"]
    if rows.empty:
        return OPEN, "not run"
    most, n = int(rows["flips"].max()), int(rows["n"].iloc[0])
    reason = f"the component that flips most flips {most} of {n} decisions"
    return (FAILS if most else HOLDS), reason


STATEMENTS = (
    Statement("Deontological and utilitarian variants are nearly the same by component", _similar),
    Statement("They differ in how components connect: correlations are rewired", _correlations),
    Statement("They differ in how components connect: effects are rewired", _pathways),
    Statement("No single component, patched between variants, flips a decision", _flips),
    Statement("One MLP is the switch: training it alone gives the behaviour", _switch),
    Statement("The band of layers that changed suffices", _band),
)
