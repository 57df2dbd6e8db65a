"""Many variants against one base: what all of them share, what one recipe alone does."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from circuitgraph.diff.compare import compare_runs
from circuitgraph.diff.record import CLAIMS, Diff
from circuitgraph.errors import UsageError
from circuitgraph.runs import Run

KEY = ["source", "target", "input"]


@dataclass(frozen=True, eq=False)
class ManyDiff:
    """Diffs of many variants against one base, side by side.

    Attributes:
        base: the base as the user named it.
        table: one row per edge: ``source, target, input``; per variant ``verdict: NAME``
            and ``delta: NAME``; ``n_claims`` (variants in which it is claimed),
            ``n_recipes`` (recipes among them) and ``pattern``: ``shared`` when claimed
            in variants of two recipes or more, ``recipe-specific: RECIPE`` when in one
            recipe only, ``variant-specific: NAME`` for a variant of no recipe, else "".
        diffs: the diffs by the variants' names.
    """

    base: str
    table: pd.DataFrame
    diffs: dict[str, Diff]


def compare_many(
    base: tuple[str, Sequence[Run]],
    others: Sequence[tuple[str, Sequence[Run]]],
    **options: Any,
) -> ManyDiff:
    """Compare every variant (or group) with one base.

    Parameters
    ----------
    base : (name, runs)
    others : sequence of (name, runs)
        Recipes are read from the runs' variants.
    options
        Those of :func:`circuitgraph.diff.compare_runs`.

    Raises
    ------
    UsageError
        No variants, a name used twice, or a pair that cannot be compared.
    """
    names = [name for name, _ in others]
    if not names or len(set(names)) < len(names):
        raise UsageError("name at least one variant beside the base, each once")
    diffs = {
        name: compare_runs(base[1], runs, name_a=base[0], name_b=name, **options)
        for name, runs in others
    }
    families = {name: _family(name, runs) for name, runs in others}
    return ManyDiff(base[0], _side_by_side(diffs, families), diffs)


def _family(name: str, runs: Sequence[Run]) -> str:
    recipes = {run.variant.recipe for run in runs}
    recipe = recipes.pop() if len(recipes) == 1 else ""
    return f"recipe-specific: {recipe}" if recipe else f"variant-specific: {name}"


def _side_by_side(diffs: dict[str, Diff], families: dict[str, str]) -> pd.DataFrame:
    columns = {}
    for name, diff in diffs.items():
        # Names as plain text: variants may lack each other's components.
        keyed = diff.table.astype(dict.fromkeys(KEY, str)).set_index(KEY)
        columns[f"verdict: {name}"] = keyed["verdict"].astype(str)
        columns[f"delta: {name}"] = keyed["delta"]
    table = pd.concat(columns, axis=1, sort=False)
    verdicts = [f"verdict: {name}" for name in diffs]
    table[verdicts] = table[verdicts].fillna("not_testable")
    claimed = table[verdicts].isin(CLAIMS).to_numpy()
    members = _members(list(families.values()))
    claimed_in = claimed.astype(int) @ members > 0
    table["n_claims"] = claimed.sum(1)
    table["n_recipes"] = claimed_in.sum(1)
    kinds = np.array(list(dict.fromkeys(families.values())), dtype=object)
    only = kinds[claimed_in.argmax(1)]
    table["pattern"] = np.select(
        [table["n_recipes"] == 0, table["n_recipes"] > 1], ["", "shared"], only
    )
    return table.reset_index()


def _members(families: list[str]) -> np.ndarray:
    """Which variant is of which family, 0 or 1 [variants × families]."""
    kinds = list(dict.fromkeys(families))
    return np.array([[int(family == kind) for kind in kinds] for family in families])
