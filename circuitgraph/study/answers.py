"""Three questions answered from the study's tables, each with a grade of its evidence."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import pandas as pd

from circuitgraph.diff.record import CLAIMS, Diff
from circuitgraph.games.rewards import REWARDED
from circuitgraph.study.design import MORAL, TAUGHT
from circuitgraph.study.tables import Tables, records

MOST = 0.75
"""Share of seeds in which a recipe counts as learnt."""
PART_SEEDS = 2
"""Seeds of a part that an answer about it needs."""
FEW = 0.1
"""Null pairs that claim more than this share of what a question claims weaken its answer."""
BEYOND = 2
"""Times the claims of null pairs that count as more than they."""

UNTOLD = "Cannot be told"
"""Beginning of an answer that the numbers do not give."""


@dataclass(frozen=True)
class Answer:
    """An answer.

    Attributes
    ----------
    name, question
        Which one.
    grade
        ``firm``, ``moderate``, ``weak`` or ``none``; see :func:`grade`.
    words
        The answer, with its numbers.
    """

    name: str
    question: str
    grade: str
    words: str


def grade(claims: int, null_claims: int | None, evidence: Iterable[str], sure: bool = True) -> str:
    """How far an answer about recipes can be trusted.

    ``none``: evidence insufficient, not run, or nothing can be told. ``weak``: null pairs claim
    more than a tenth as many edges, or none was run. ``moderate``: fewer, or the evidence is low,
    or not ``sure``: numbers are those of a screen, or a recipe was learnt in less than three of
    four seeds.
    ``firm``: none of these.
    """
    found = set(evidence)
    if not found or "insufficient" in found:
        return "none"
    if null_claims is None or null_claims > FEW * claims:
        return "weak"
    return "firm" if sure and not null_claims and found == {"ok"} else "moderate"


def learnt_share(tables: Tables, recipe: str) -> float:
    """Share of seeds that learnt a recipe; 0 where none was trained."""
    rows = tables["behaviour"]
    if rows.empty:
        return 0.0
    own = rows[(rows["recipe"] == recipe) & (rows["part"] == "whole")].drop_duplicates("seed")
    return float((own["learnt"] == "yes").mean()) if len(own) else 0.0


def sure_of(tables: Tables, rows: pd.DataFrame) -> bool:
    """Whether compared recipes were learnt, and effects are no screen's."""
    recipes = ({*rows["a"]} | {*rows["b"]}) & {*REWARDED}
    learnt = all(learnt_share(tables, recipe) >= MOST for recipe in recipes)
    return learnt and not (rows["numbers"] == "screened").any()


def fate_row(diff: Diff) -> dict[str, Any]:
    """What became of the edges that carry side A's effect.

    An edge is strong in A where its mean share there is the margin or more. ``suppressed``: claims
    on those that B has less of, or nothing; ``reversed``: of the other sign; ``raised``: B has more
    of; ``kept``: shown to lie within the margin of A's; ``open``: neither. ``new``: claims on edges
    that are not strong in A.
    """
    table = diff.table[diff.table["verdict"] != "not_testable"]
    strong = table["weight_a"].abs() >= diff.margin
    claimed = table["verdict"].isin(CLAIMS)
    flipped = table["weight_a"] * table["weight_b"] < 0
    less = table["weight_b"].abs() < table["weight_a"].abs()
    beyond = table["weight_b"].abs() >= diff.margin
    turned = claimed & strong & flipped & beyond
    return {
        "a": diff.a, "b": diff.b, "strong": int(strong.sum()),
        "suppressed": int((claimed & strong & less & ~turned).sum()),
        "reversed": int(turned.sum()),
        "raised": int((claimed & strong & ~less & ~turned).sum()),
        "kept": int((strong & (table["verdict"] == "unchanged")).sum()),
        "open": int((strong & (table["verdict"] == "not_detected")).sum()),
        "new": int((claimed & ~strong).sum()),
    }  # fmt: skip


def answers(tables: Tables) -> list[Answer]:
    """All three."""
    return [suppressed_or_bypassed(tables), distinct(tables), what_to_train(tables)]


def recipes_by_effect(tables: Tables) -> pd.DataFrame:
    """Comparisons of recipes by effects between layers; of a screen that was confirmed, that."""
    rows = tables.comparisons(lens="effect", scope="recipe", granularity="layers")
    if rows.empty:
        return rows
    better = rows.assign(order=rows["numbers"] != "screened").sort_values("order", kind="stable")
    kept = better.drop_duplicates(["role", "a", "b"], keep="last").index
    return rows.loc[sorted(kept)]


def null_claims(rows: pd.DataFrame) -> int | None:
    """Most claims on a null pair among some comparisons; None where none was run."""
    nulls = rows[rows["role"] == "null"] if len(rows) else rows
    return int(nulls["claims"].max()) if len(nulls) else None


def beyond_nulls(claims: int, nulls: int | None) -> bool:
    """Whether recipes claim at least twice as many as null pairs do, and anything at all."""
    return claims >= max(1, BEYOND * (nulls or 0))


def suppressed_or_bypassed(tables: Tables) -> Answer:
    """RQ1."""
    question = "Does moral training suppress what the selfish variants use, or bypass it?"
    fates, rows = tables["fates"], recipes_by_effect(tables)
    if fates.empty:
        return Answer("RQ1", question, "none", "Not run.")
    told, verdicts = [], []
    for row in records(fates):
        verdicts.append(_fate(row))
        told.append(
            "strategic → {b}: of {strong} edges that carry the strategic variants' effect, "
            "{suppressed} are weaker, {reversed} reversed, {raised} stronger, {kept} shown to be "
            "unchanged and {open} open; {new} others are new".format(**row)
        )
    asked = rows[(rows["a"] == "strategic") & rows["b"].isin(MORAL)]
    nulls = null_claims(rows)
    if nulls is None:
        told.append("null pairs of recipes were not run")
    mark = grade(int(asked["claims"].min()), nulls, asked["evidence"], sure_of(tables, asked))
    same = set(verdicts)
    head = verdicts[0] if len(same) == 1 else "It depends on the recipe"
    if all(word.startswith(UNTOLD) for word in verdicts):
        mark, head = "none", verdicts[0] if len(same) == 1 else UNTOLD
    each = "" if len(same) == 1 else " (" + ", ".join(
        f"{b}: {v.lower()}" for b, v in zip(fates["b"], verdicts, strict=True)) + ")"  # fmt: skip
    return Answer("RQ1", question, mark, f"{head}{each}. " + "; ".join(told) + ".")


def _fate(row: Mapping[str, Any]) -> str:
    """In a word, unless more than half of the edges are open."""
    less, more = row["suppressed"] + row["reversed"], row["new"] + row["raised"]
    if not less + more:
        return f"{UNTOLD}: no edge differs beyond seeds"
    if row["open"] > row["strong"] / 2:
        return f"{UNTOLD}: most edges are open"
    if less >= 2 * more:
        return "Suppressed"
    return "Bypassed" if more >= 2 * less else "Both"


def distinct(tables: Tables) -> Answer:
    """RQ2."""
    question = "Do the moral recipes use distinct circuits: more than seeds and nulls differ?"
    rows = recipes_by_effect(tables)
    pairs = rows[rows["role"] == "question"] if not rows.empty else rows
    moral = pairs[pairs["a"].isin(MORAL) & pairs["b"].isin(MORAL)] if not pairs.empty else pairs
    if moral.empty:
        return Answer("RQ2", question, "none", "Not run.")
    nulls = null_claims(rows)
    mark = grade(int(moral["claims"].max()), nulls, moral["evidence"], sure_of(tables, moral))
    told = "; ".join(
        "{a} → {b} {claims} of {testable} edges".format(**row) for row in records(moral)
    )
    seeds = tables.comparisons(role="seeds", lens="effect")
    luck = "not run"
    if len(seeds):
        luck = f"{seeds['claims'].min()} to {seeds['claims'].max()} edges"
    beside = "not run" if nulls is None else f"at most {nulls}"
    found = sum(beyond_nulls(claims, nulls) for claims in moral["claims"])
    head = "Yes" if found == len(moral) else "No" if not found else "Some"
    return Answer(
        "RQ2", question, mark,
        f"{head}. Beyond the variation of seeds: {told}. Null pairs at the same scope: {beside}; "
        f"twice as many count as more. Two seeds of one recipe, taken as two models: {luck}, which "
        "says nothing about a recipe.",
    )  # fmt: skip


def what_to_train(tables: Tables) -> Answer:
    """RQ3."""
    question = "Does training one component, or the band that changed, suffice?"
    parts = tables["parts"]
    if parts.empty:
        return Answer("RQ3", question, "none", "Not run.")
    whole = parts[parts["part"] == "whole"]
    told, verdicts, few = [f"all parts together: {learnt_of(whole)}"], [], []
    for kind in ("component", "band"):
        own = parts[parts["part"] == kind]
        drawn = parts[parts["part"].str.startswith(f"random {kind}")]
        if own.empty:
            continue
        few.append(len(drawn))
        verdicts.append(f"the {kind} {sufficient(own, whole)}")
        told.append(
            f"{kind} ({own['components'].iloc[0]}): {learnt_of(own)}; random choices of that size: "
            f"{learnt_of(drawn)}"
        )
    if not verdicts:
        return Answer("RQ3", question, "none", f"No part was trained; {told[0]}.")
    mark = "weak" if min(few) < 10 else "moderate"
    if all(word.endswith(UNTOLD.lower()) for word in verdicts):
        mark = "none"
    return Answer("RQ3", question, mark, f"For {TAUGHT}: {', '.join(verdicts)}. {'; '.join(told)}.")


def sufficient(own: pd.DataFrame, whole: pd.DataFrame) -> str:
    """Whether a part that was trained alone learns what all parts together do.

    By rows of seeds. ``suffices``: learnt by every seed, or none is further from the target than
    the furthest of the whole. ``does not suffice``: none learnt it, and most seeds of the whole
    did, or all are more than twice as far from the target. Of a single seed, nothing is told.
    """
    if len(own) < PART_SEEDS or whole.empty:
        return UNTOLD.lower()
    learnt = own["learnt"] == "yes"
    if learnt.all() or own["error"].max() <= whole["error"].max():
        return "suffices"
    most = bool((whole["learnt"] == "yes").mean() >= MOST)
    far = own["error"].min() > 2 * whole["error"].max()
    return "does not suffice" if not learnt.any() and (most or far) else UNTOLD.lower()


def learnt_of(rows: pd.DataFrame) -> str:
    """How many seeds learnt the recipe, and how far from the target they are."""
    if rows.empty:
        return "not run"
    learnt = int((rows["learnt"] == "yes").sum())
    return (
        f"learnt in {learnt} of {len(rows)}, mean distance of P(C) from the target "
        f"{_range(rows['error'])}"
    )


def _range(values: pd.Series) -> str:
    low, high = f"{values.min():.2f}", f"{values.max():.2f}"
    return low if low == high else f"{low} to {high}"
