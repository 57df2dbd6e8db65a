"""Many variants against one base: shared changes, and changes of one variant only.

Significance in one variant and not in another does not show a difference between them
(Gelman & Stern 2006, doi:10.1198/000313006X152649).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np
import pandas as pd

from circuitgraph.base.errors import UsageError, short
from circuitgraph.diff.compare import compare_runs
from circuitgraph.diff.outcome import compare_sides
from circuitgraph.diff.record import CLAIMS, KEY, Diff
from circuitgraph.lenses.base import Lens, Models, Options
from circuitgraph.lenses.registry import lens_named
from circuitgraph.runs.record import Run
from circuitgraph.stats.margins import adjusted, treat_p
from circuitgraph.stats.scenarios import balanced_mean, balanced_variance

Edge = tuple[str, str, str]


@dataclass(frozen=True)
class Held:
    """One edge, the variants that claim it, and those they are compared with."""

    edge: Edge
    claimed: tuple[str, ...]
    others: tuple[str, ...]


def specific_q(edges: Sequence[Held], diffs: Mapping[str, Diff], options: Options) -> pd.Series:
    """q of every edge's difference from all other variants, by edge.

    The change from the base in one variant minus that in the other is the difference of the two:
    tested as in a diff, beyond the margin. An edge takes its largest p over pairs
    (intersection-union), and Benjamini-Hochberg goes over the edges tested. Estimates are compared
    as estimates, on both sides. ``diffs`` are the base against every variant.
    """
    pairs = {(x, y) for held in edges for x in held.claimed for y in held.others}
    tested = {pair: _p_of(diffs[pair[0]], diffs[pair[1]], options) for pair in sorted(pairs)}
    p = [
        max(
            (tested[x, y].get(held.edge, np.nan) for x in held.claimed for y in held.others),
            default=np.nan,
        )
        for held in edges
    ]
    index = pd.MultiIndex.from_tuples([held.edge for held in edges], names=KEY)
    return pd.Series(adjusted(np.array(p, float), options.fdr), index=index)


def _p_of(x: Diff, y: Diff, options: Options) -> dict[Edge, float]:
    """p of a difference beyond the margin between two variants, by edge; NaN: not testable."""
    if options.lens.needs_models:
        return _changes_apart(x, y)
    outcome = compare_sides(x.runs_b, y.runs_b, options)
    names = zip(*(column.astype(str) for column in outcome.tests.names), strict=True)
    return dict(zip(names, outcome.decided.p.tolist(), strict=True))


def _changes_apart(x: Diff, y: Diff) -> dict[Edge, float]:
    """Relative changes of channels against the base, a paired t-test over prompts."""
    matched = x.asks.lined_up(x.runs_a, x.runs_b)
    apart = x.lens_details.by_prompt["delta"] - y.lens_details.by_prompt["delta"]
    mean = balanced_mean(apart, matched.scenarios)
    error = np.sqrt(balanced_variance(apart, matched.scenarios))
    p = treat_p(mean, error, matched.n_effective, x.margin)
    names = x.table[KEY].astype(str).itertuples(index=False, name=None)
    return dict(zip(names, p.tolist(), strict=True))


@dataclass(frozen=True, eq=False)
class ManyDiff:
    """Diffs of many variants against one base, side by side.

    Attributes
    ----------
    base : str
    table : DataFrame
        One row per edge: ``source, target, input``; per variant ``verdict: NAME`` and ``delta:
        NAME``; ``n_claims`` (variants in which it is claimed), ``n_recipes`` (recipes among
        them) and ``pattern``: ``opposite`` when claimed with changes of both signs, ``shared``
        when claimed in variants of two recipes or more with one sign, ``only in NAME`` when
        claimed in one variant, ``only in RECIPE (k of m)`` when in several of one recipe, else
        "". ``specific``: whether a claim of one place only was tested to differ from every other
        variant beyond the margin, with ``q_specific`` (NaN: not tested).
    diffs : dict
        By the variants' names.
    remarks : tuple of str
    """

    base: str
    table: pd.DataFrame
    diffs: dict[str, Diff]
    remarks: tuple[str, ...] = ()

    def __repr__(self) -> str:
        claimed = int((self.table["n_claims"] > 0).sum())
        return f"ManyDiff({short(self.base)} against {len(self.diffs)} variants, {claimed} claims)"


def compare_many(
    base: tuple[str, Sequence[Run]],
    others: Sequence[tuple[str, Sequence[Run]]],
    *,
    lens: str | Lens,
    scope: str = "checkpoint",
    alpha: float = 0.05,
    margin: float | None = None,
    fdr: str = "bh",
    seed: int = 0,
    models: Models | None = None,
    known: Mapping[str, Diff] = MappingProxyType({}),
) -> ManyDiff:
    """Compare every variant (or group) with one base.

    Parameters
    ----------
    base : (name, runs)
    others : sequence of (name, runs)
        Recipes are those of the runs' variants.
    lens, scope, alpha, margin, fdr, seed, models
        Those of :func:`circuitgraph.diff.compare_runs`.
    known : mapping
        By name, diffs of the same runs and options that were measured before.

    Raises
    ------
    UsageError
        No variants, a name used twice, or a pair that cannot be compared.
    """
    names = [name for name, _ in others]
    if not names or len(set(names)) < len(names):
        raise UsageError("name at least one variant beside the base, each once")
    options = Options(lens_named(lens), scope, alpha, margin, fdr, seed)
    diffs = {
        name: known.get(name)
        or compare_runs(base[1], runs, name_a=base[0], name_b=name, **vars(options), models=models)
        for name, runs in others
    }
    recipes = {name: _recipe(runs) or name for name, runs in others}
    table = _side_by_side(diffs, recipes)
    alone = _alone(table, recipes)
    q = specific_q(alone, diffs, options)
    alpha = next(iter(diffs.values())).alpha
    table["q_specific"] = q.reindex(table.index)
    table["specific"] = table["q_specific"] <= alpha
    remarks = tuple(_remarks(diffs, others, table, alpha))
    return ManyDiff(base[0], table.reset_index(), diffs, remarks)


def _recipe(runs: Sequence[Run]) -> str:
    recipes = {run.variant.recipe for run in runs}
    return recipes.pop() if len(recipes) == 1 else ""


def _side_by_side(diffs: dict[str, Diff], recipes: dict[str, str]) -> pd.DataFrame:
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
    table["n_claims"] = claimed.sum(1)
    table["n_recipes"] = (claimed.astype(int) @ _members(list(recipes.values())) > 0).sum(1)
    rises = table[[f"delta: {name}" for name in diffs]].to_numpy() > 0
    signed = next(iter(diffs.values())).signed
    opposite = signed & (claimed & rises).any(1) & (claimed & ~rises).any(1)
    table["pattern"] = np.select(
        [table["n_claims"] == 0, opposite, table["n_recipes"] > 1],
        ["", "opposite", "shared"],
        _only(claimed, list(diffs), recipes),
    )
    return table


def _members(recipes: list[str]) -> np.ndarray:
    """Which variant is of which recipe, 0 or 1 [variants × recipes]."""
    kinds = list(dict.fromkeys(recipes))
    return np.array([[int(recipe == kind) for kind in kinds] for recipe in recipes])


def _only(claimed: np.ndarray, names: list[str], recipes: dict[str, str]) -> np.ndarray:
    """Where an edge is claimed, in words, for edges claimed in one recipe at most."""
    size = {recipe: list(recipes.values()).count(recipe) for recipe in recipes.values()}
    where = np.empty(len(claimed), object)
    for row, found in enumerate(claimed):
        mine = [name for name, one in zip(names, found, strict=True) if one]
        recipe = recipes[mine[0]] if mine else ""
        several = f"only in {recipe} ({len(mine)} of {size.get(recipe, 0)})"
        where[row] = several if len(mine) > 1 else f"only in {mine[0]}" if mine else ""
    return where


def _alone(table: pd.DataFrame, recipes: dict[str, str]) -> list[Held]:
    """Edges claimed in one place only, and the variants to compare."""
    found = []
    rows = table[table["pattern"].str.startswith("only in ")]
    for edge, row in zip(rows.index, rows.to_dict("records"), strict=True):
        mine = [name for name in recipes if row[f"verdict: {name}"] in CLAIMS]
        seeds = {name for name in recipes if recipes[name] == recipes[mine[0]]}
        here = seeds if len(mine) > 1 else set(mine)
        found.append(Held(edge, tuple(mine), tuple(n for n in recipes if n not in here)))
    return found


def _remarks(
    diffs: dict[str, Diff],
    others: Sequence[tuple[str, Sequence[Run]]],
    table: pd.DataFrame,
    alpha: float,
) -> Iterator[str]:
    if next(iter(diffs.values())).scope == "checkpoint":
        yield _seeds(others)
    yield from _equals(others)
    alone = table["pattern"].str.startswith("only in ")
    if alone.any() and len(diffs) > 1:
        yield (
            f"of {int(alone.sum())} edges claimed in one place only, "
            f"{int(table['specific'].sum())} are tested to differ there from every other variant "
            f"beyond the margin (specific, q ≤ {alpha:g}); of the rest nobody can tell: that a "
            "test claims here and not there is no test of the difference"
        )


def _seeds(others: Sequence[tuple[str, Sequence[Run]]]) -> str:
    """Remark on the number of seeds a recipe."""
    recipes = [_recipe(runs) for _, runs in others if _recipe(runs)]
    counts = {recipe: recipes.count(recipe) for recipe in dict.fromkeys(recipes)}
    each = ", ".join(
        f"{short(recipe, 24)} {count} seed{'s' if count > 1 else ''}"
        for recipe, count in list(counts.items())[:8]
    )
    here = f" ({each})" if each else ""
    return (
        f"these models are compared one by one: what is shared, or only in one, is said of these "
        f"checkpoints, not of their recipes{here}; that takes the recipe scope with 3 variants or "
        "more a side"
    )


def _equals(others: Sequence[tuple[str, Sequence[Run]]]) -> Iterator[str]:
    groups: dict[str, list[str]] = {}
    for name, runs in others:
        if len(runs) == 1:
            groups.setdefault(runs[0].variant.fingerprint or name, []).append(short(name))
    for names in groups.values():
        if len(names) > 1:
            yield f"{', '.join(names[:5])} have the same merged weights: what one shows all show"
