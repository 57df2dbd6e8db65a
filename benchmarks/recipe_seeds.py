"""Seeds that disagree: why a recipe claims no edge when each of its seeds claims a dozen.

Base against the recipes of examples/ipd at recipe scope: how alike the seeds' changes are,
what other estimates of their spread would claim, on null fine-tunes too, and what is found
of changes planted with that spread. docs/seeds-and-nulls.md says what the tables mean. All
variants are ingested on the first run (some minutes) and kept.

    python benchmarks/recipe_seeds.py WORKSPACE [agreement edges variances splits power]
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import combinations, product
from pathlib import Path

import numpy as np
import pandas as pd
from scipy.special import digamma, polygamma

from circuitgraph import Workspace
from circuitgraph.base.progress import Reporter
from circuitgraph.demo import ingest_examples
from circuitgraph.diff.alone import alone
from circuitgraph.diff.outcome import compare_sides
from circuitgraph.lenses.base import Options
from circuitgraph.lenses.edge_tests import TESTABLE, Groups
from circuitgraph.lenses.effect import checkpoint as effect
from circuitgraph.lenses.effect.lens import Effect
from circuitgraph.lenses.match import Matched, match_runs
from circuitgraph.lenses.recipe import combine
from circuitgraph.runs.record import Run, list_runs
from circuitgraph.stats.margins import adjusted, treat_p
from circuitgraph.stats.replicates import Spread, combined_df, trigamma_inverse

EXAMPLES = Path(__file__).resolve().parents[1] / "examples" / "ipd"
TRAINED = ("utilitarian", "strategic", "deontological", "hybrid")
NULLS = ("null-self-sft", "null-random-reward")
CHECKPOINT, RECIPE = Options(Effect()), Options(Effect(), scope="recipe")
MARGIN, ALPHA = effect.MARGIN, 0.05

Runs = dict[str, Run]


def effect_runs(folder: Path) -> Runs:
    """Effects of the base and its variants by name, ingested where they are not yet there."""
    workspace = Workspace(folder, reporter=Reporter())
    if len(list_runs(workspace.runs_folder)) < 2 * 26:
        ingest_examples(workspace, Reporter(), EXAMPLES)
    return {r.variant.name: r for r in list_runs(workspace.runs_folder) if r.kind == "effect"}


def names(recipe: str) -> list[str]:
    """The four variants of a recipe."""
    return [recipe + end for end in ("", "-seed1", "-seed2", "-seed3")]


def seeds(runs: Runs, recipe: str) -> list[Run]:
    """Their runs."""
    return [runs[name] for name in names(recipe)]


def grouped(a: Sequence[Run], b: Sequence[Run]) -> tuple[Matched, Groups, np.ndarray]:
    """Numbers of both sides, and which edges can be tested."""
    matched = match_runs(a, b, "effect")
    found, reason = effect.groups(effect.Shares.of(matched, "share"))
    return matched, found, reason == TESTABLE


# --- do seeds agree? ------------------------------------------------------------------------


def agreement(runs: Runs) -> pd.DataFrame:
    """Per recipe: claims together and alone, and how alike the seeds' changes are."""
    return pd.DataFrame([_agreement(runs, name) for name in (*TRAINED, *NULLS)]).set_index("recipe")


def _agreement(runs: Runs, recipe: str) -> dict[str, object]:
    outcome = compare_sides([runs["base"]], seeds(runs, recipe), RECIPE)
    _, found, ok = grouped([runs["base"]], seeds(runs, recipe))
    by_itself = alone(outcome, RECIPE)
    change = (found.numbers_b - found.numbers_a)[:, ok]
    parts = outcome.tests.parts
    carried = np.abs(change).max(0) > MARGIN
    between = (parts.spread_b / (parts.spread_b + parts.prompts))[ok][carried]
    return {
        "recipe": recipe,
        "claims": len(outcome.decided.claims),
        "alone": " ".join(str(pair["n_claims"]) for pair in by_itself["pairs"]),
        "any": by_itself["n_any"],
        "shared": by_itself["shared"],
        "by chance": round(_shared_by_chance(runs, recipe), 1),
        "least cosine": _cosines(change).min().round(2),
        "mean cosine": _cosines(change).mean().round(2),
        "ICC": round(_icc(change), 2),
        "seeds' share of se²": round(float(np.median(between)), 2),
        "df": round(float(parts.df_b), 1),
        "between two seeds": round(_claims_between(seeds(runs, recipe)), 1),
    }


def _cosines(change: np.ndarray) -> np.ndarray:
    unit = change / np.linalg.norm(change, axis=1, keepdims=True)
    return (unit @ unit.T)[np.triu_indices(len(unit), 1)]


def _icc(change: np.ndarray) -> float:
    """Share of the variance of edges' changes that seeds have in common (one-way ICC)."""
    k = len(change)
    between, within = k * change.mean(0).var(ddof=1), change.var(0, ddof=1).mean()
    return float((between - within) / (between + (k - 1) * within))


def _shared_by_chance(runs: Runs, recipe: str) -> float:
    """Edges that all seeds claim with one sign once some seeds' changes are turned round."""
    signs = np.stack([_signs(runs["base"], run) for run in seeds(runs, recipe)])
    flips = [np.array((1, *rest)) for rest in product((1, -1), repeat=3)][1:]
    return float(np.mean([(np.abs((f[:, None] * signs).sum(0)) == 4).sum() for f in flips]))


def _signs(a: Run, b: Run) -> np.ndarray:
    outcome = compare_sides([a], [b], CHECKPOINT)
    signs = np.zeros(len(outcome.tests), int)
    claims = outcome.decided.claims
    signs[claims] = np.sign(outcome.tests.delta[claims])
    return signs


def _claims_between(group: Sequence[Run]) -> float:
    return float(np.mean([np.abs(_signs(a, b)).sum() for a, b in combinations(group, 2)]))


def edges(runs: Runs) -> pd.DataFrame:
    """The edges that every utilitarian seed claims with one sign: spread, p and q together."""
    base, group = runs["base"], seeds(runs, "utilitarian")
    signs = np.stack([_signs(base, run) for run in group])
    outcome = compare_sides([base], group, RECIPE)
    _, found, _ = grouped([base], group)
    tests, decided = outcome.tests, outcome.decided
    own = found.numbers_b.std(0, ddof=1)
    table = pd.DataFrame(
        {
            "edge": [f"{e.source} → {e.target}" for e in outcome.matched.edges],
            "base": tests.weight_a,
            **{f"change {i}": x - tests.weight_a for i, x in enumerate(found.numbers_b)},
            "s": own,
            "moderated": np.sqrt(4 * tests.parts.spread_b),
            "of prompts": np.sqrt(tests.parts.prompts),
            "p": decided.p,
            "q": decided.q,
            "p, own s": treat_p(tests.delta, own / 2, 3, MARGIN),
        }
    )
    return table[np.abs(signs.sum(0)) == len(group)].round(4)


# --- is it the variance? --------------------------------------------------------------------


def prior(numbers: np.ndarray, size: np.ndarray, ok: np.ndarray, how: str) -> Spread:
    """Variance between replicates, moderated in one of several ways."""
    df, variance = len(numbers) - 1, numbers.var(0, ddof=1)
    if how == "Welch":
        return Spread(variance, float(df))
    usable = ok & (variance > 0) & (size > 0)
    variance = np.maximum(variance, 1e-4 * np.median(variance[usable]))
    e = np.log(variance[usable]) - digamma(df / 2) + np.log(df / 2)
    x = np.log(size[usable])
    degree = {"constant": 0, "linear": 1}.get(how, 2)
    fit, rest = _fitted(x, e, degree, robust=how == "robust")
    d0 = 2 * float(trigamma_inverse(rest - polygamma(1, df / 2)))
    with np.errstate(divide="ignore"):
        place = np.clip(np.log(size), x.min(), x.max())
    log_prior = np.polynomial.polynomial.polyval(place, fit)
    if np.isinf(d0):
        return Spread(np.exp(log_prior), np.inf, np.inf)
    expected = np.exp(log_prior + digamma(d0 / 2) - np.log(d0 / 2))
    return Spread((d0 * expected + df * variance) / (d0 + df), d0 + df, d0)


def _fitted(x: np.ndarray, y: np.ndarray, degree: int, *, robust: bool) -> tuple[np.ndarray, float]:
    """Polynomial and residual variance; robust: Huber's weights and quartiles (as limma's)."""
    design = np.vander(x, degree + 1, increasing=True)
    weight = np.ones(len(y))
    for _ in range(30 if robust else 1):
        fit = np.linalg.lstsq(design * weight[:, None], y * weight, rcond=None)[0]
        residual = np.abs(y - design @ fit)
        scale = 1.4826 * np.median(residual)
        weight = np.sqrt(np.minimum(1, 1.345 * scale / np.maximum(residual, 1e-12)))
    if robust:
        quartiles = np.percentile(y - design @ fit, [25, 75])
        return fit, float((np.diff(quartiles)[0] / 1.349) ** 2)
    return fit, float(((y - design @ fit) ** 2).sum() / (len(y) - degree - 1))


WAYS = ("trend", "linear", "constant", "robust", "Welch", "no prompts")


def claimed(matched: Matched, found: Groups, ok: np.ndarray, how: str) -> int:
    """Claims with another variance between replicates, or without that over prompts."""
    sides = (found.numbers_a, found.numbers_b)
    levels = [np.abs(x).mean(0) for x in sides]
    size = np.sqrt((levels[0] ** 2 + levels[1] ** 2) / 2)
    parts = [(0.0, np.inf)]
    for numbers in sides:
        if len(numbers) > 1:
            spread = prior(numbers, size, ok, how)
            parts.append((spread.variance / len(numbers), spread.df))
    if how != "no prompts":
        parts.append((found.variance, matched.n_effective))
    se = np.sqrt(sum(variance for variance, _ in parts))
    return _count(found, se, combined_df(*parts), ok)


def _count(found: Groups, se: np.ndarray, df: np.ndarray, ok: np.ndarray) -> int:
    delta = found.numbers_b.mean(0) - found.numbers_a.mean(0)
    p = np.where(ok, treat_p(delta, se, df, MARGIN), np.nan)
    return int((adjusted(p) <= ALPHA).sum())


def variances(runs: Runs) -> pd.DataFrame:
    """Claims of base against every recipe by way of estimating the spread, and by scale."""
    table: dict[str, dict[str, int]] = {}
    for recipe in (*TRAINED, *NULLS):
        a, b = [runs["base"]], seeds(runs, recipe)
        row = {how: claimed(*grouped(a, b), how) for how in WAYS}
        for margin in (0.002, 0.005, 0.02):
            row[f"margin {margin:g}"] = claims_of(a, b, replace(RECIPE, margin=margin))
        row["logit scale"] = claims_of(a, b, replace(RECIPE, lens=Effect("logit")))
        table[recipe] = row
    return pd.DataFrame(table)


def claims_of(a: Sequence[Run], b: Sequence[Run], options: Options) -> int:
    """Claims of a diff."""
    return len(compare_sides(a, b, options).decided.claims)


def splits(runs: Runs) -> pd.DataFrame:
    """Splits of the eight null fine-tunes, 4:4 and 3:5: how many claim anything, by way."""
    everyone = [run for recipe in NULLS for run in seeds(runs, recipe)]
    halves = [s for s in combinations(range(8), 4) if 0 in s]
    thirds = list(combinations(range(8), 3))
    rows = {}
    for how in (*WAYS, "logit scale"):
        some = [_claim_of_split(everyone, chosen, how) > 0 for chosen in (*halves, *thirds)]
        rows[how] = {"4:4": sum(some[: len(halves)]), "3:5": sum(some[len(halves) :])}
    return pd.DataFrame(rows).T.assign(of=f"{len(halves)} and {len(thirds)}")


def _claim_of_split(everyone: Sequence[Run], chosen: Sequence[int], how: str) -> int:
    a = [everyone[i] for i in chosen]
    b = [run for i, run in enumerate(everyone) if i not in chosen]
    if how == "logit scale":
        return claims_of(a, b, replace(RECIPE, lens=Effect("logit")))
    return claimed(*grouped(a, b), how)


# --- what would be found? -------------------------------------------------------------------


def power(runs: Runs, sets: int = 200) -> pd.DataFrame:
    """Changes planted with a recipe's own means and spread (times a factor), k seeds drawn.

    Seeds are its mean plus its four deviations recombined, so that edges vary together as
    they do. Recall is that of edges whose mean change is .02 or more, twice the margin; the
    oracle knows every edge's spread. "null": no edge changes on average; what all its seeds
    change beyond the margin with one sign is chance.
    """
    rows = [
        _power(runs, recipe, k, factor, sets)
        for recipe, k, factor in (
            *product(("utilitarian",), (4, 8, 16, 32), (1.0,)),
            *product(("utilitarian",), (4,), (0.5, 0.25, 0.1)),
            ("strategic", 4, 1.0),
            ("hybrid", 4, 1.0),
        )
    ]
    return pd.DataFrame(rows)


def _power(runs: Runs, recipe: str, k: int, factor: float, sets: int) -> dict[str, object]:
    matched, found, ok = grouped([runs["base"]], seeds(runs, recipe))
    mean, base = found.numbers_b.mean(0), found.numbers_a[0]
    deviations = factor * (found.numbers_b - mean) / np.sqrt(3)
    planted = ok & (np.abs(mean - base) >= 2 * MARGIN)
    rng = np.random.default_rng(0)
    out = []
    for _ in range(sets):
        around = rng.normal(size=(k, 4)) @ deviations
        drawn = replace(found, numbers_b=mean + around)
        hits = _found(matched, drawn, ok)
        known = _found(matched, drawn, ok, variance=(deviations**2).sum(0))
        null = _found(matched, replace(found, numbers_b=base + around), ok)
        shared = (around[:, ok] > MARGIN).all(0) | (around[:, ok] < -MARGIN).all(0)
        out.append(
            (hits[planted].mean(), known[planted].mean(), hits.sum(), null.any(), shared.sum())
        )
    columns = ("recall", "oracle's recall", "claims", "null with a claim", "shared by a null")
    what = {"recipe": recipe, "seeds": k, "spread": factor, "planted": int(planted.sum())}
    return what | dict(zip(columns, np.mean(out, axis=0).round(3), strict=True))


def _found(
    matched: Matched, found: Groups, ok: np.ndarray, variance: np.ndarray | None = None
) -> np.ndarray:
    """Claimed edges, bool [e]; with the true variance of a seed where it is given."""
    both = combine(found, matched.n_effective, ok, trend=True)
    se, df = both.se, both.df
    if variance is not None:
        se, df = np.sqrt(variance / len(found.numbers_b) + found.variance), 1e6
    p = treat_p(both.mean_b - both.mean_a, se, df, MARGIN)
    return adjusted(np.where(ok, p, np.nan)) <= ALPHA


PARTS: dict[str, Callable[[Runs], pd.DataFrame]] = {
    "agreement": agreement,
    "edges": edges,
    "variances": variances,
    "splits": splits,
    "power": power,
}


def show(parts: dict[str, Callable[[Runs], pd.DataFrame]], about: str) -> None:
    """Print the tables chosen on the command line."""
    parser = argparse.ArgumentParser(description=about)
    parser.add_argument("workspace", type=Path)
    parser.add_argument("parts", nargs="*", help=f"of {', '.join(parts)}; all by default")
    arguments = parser.parse_args()
    runs = effect_runs(arguments.workspace)
    for name in arguments.parts or parts:
        sys.stdout.write(f"\n{name}\n{parts[name](runs).to_string()}\n")
        sys.stdout.flush()


if __name__ == "__main__":
    show(PARTS, __doc__.splitlines()[0])
