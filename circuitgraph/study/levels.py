"""The study's variants by component, weights, attention, behaviour and interactions."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from circuitgraph.base.progress import Reporter
from circuitgraph.diff.record import Diff
from circuitgraph.games.rewards import REWARDED
from circuitgraph.levels.entry import Asker, Pair, levels
from circuitgraph.levels.record import NULL, PAIR, SEEDS, Levels, percent
from circuitgraph.nodes.compare import NodeDiff
from circuitgraph.runs.catalogue import RunCatalogue
from circuitgraph.study.design import BASE, TAUGHT, Comparison
from circuitgraph.study.tables import records

COLUMNS = (
    *("a", "b", "level", "measure", "apart", "low", "high", "claims", "testable"),
    *("nulls", "null_apart", "null_claims", "seeds", "seeds_apart", "seeds_claims"),
    *("verdict", "reason"),
)
"""Of ``levels.csv``; ``apart`` is 1 − alike, whose digits count where nearly all is the same."""


@dataclass(frozen=True)
class Question:
    """Two variants level by level; ``nulls`` and ``seeds`` stand beside."""

    a: str
    b: str
    nulls: tuple[tuple[str, str], ...]
    seeds: tuple[tuple[str, str], ...]

    @property
    def pairs(self) -> Iterator[tuple[str, str]]:
        """The pair itself, its nulls and its seeds."""
        yield self.a, self.b
        yield from (*self.nulls, *self.seeds)


NULLS = ((BASE, "self-0"), ("self-0", "random-0"))


def of_levels() -> list[Question]:
    """A taught variant against the base, against the strategic one, and two moral ones."""
    asked = [(BASE, TAUGHT), ("strategic", TAUGHT), ("deontological", "utilitarian")]
    found = []
    for both in asked:
        a, b = (name if name == BASE else f"{name}-0" for name in both)
        seeds = tuple((f"{name}-0", f"{name}-1") for name in both if name in REWARDED)
        found.append(Question(a, b, NULLS, seeds))
    return found


def answered(
    catalogue: RunCatalogue,
    one: Question,
    diffs: Mapping[tuple[str, str, str], Diff],
    reporter: Reporter,
) -> Levels:
    """The levels of a question.

    Parameters
    ----------
    catalogue
        Has effect runs of all variants asked for.
    one
        The question.
    diffs
        Interactions: diffs by lens and names of both variants; what is not among them is left out.
    reporter
        Where remarks go.

    Raises
    ------
    UsageError
        Variants without comparable runs.
    """
    asker = Asker(lambda pair, lens: diffs.get((lens, pair.a, pair.b)), reporter=reporter)
    pair = Pair.of(catalogue, PAIR, one.a, one.b)
    others = [Pair.of(catalogue, NULL, *both) for both in one.nulls]
    others += [Pair.of(catalogue, SEEDS, *both) for both in one.seeds]
    return levels(pair, others, asker)


def level_rows(found: Levels) -> list[dict[str, Any]]:
    """Rows of ``levels.csv``; of nulls and seeds the pair that is furthest apart."""
    table = found.table.rename(columns={"low": "most", "high": "least"})
    names = {
        "alike": "apart", "least": "low", "most": "high",
        "null_least": "null_apart", "seeds_least": "seeds_apart",
    }  # fmt: skip
    for name, new in names.items():
        table[new] = 1 - table[name].astype(float)
    table["a"], table["b"] = found.summary["a"], found.summary["b"]
    return records(table[list(COLUMNS)])


def shown(rows: pd.DataFrame) -> pd.DataFrame:
    """The table for people: shares that are alike, with their digits."""
    own, nulls, seeds = (rows[name].map(_alike) for name in ("apart", "null_apart", "seeds_apart"))
    both = zip(rows["low"], rows["high"], rows["claims"], rows["testable"], strict=True)
    told = [
        (f"{_alike(high)} to {_alike(low)}" * (low == low), f"{k:.0f} of {n:.0f}" * (k == k))
        for low, high, k, n in both
    ]
    columns = {
        "alike": own, "95%": [ends for ends, _ in told], "claims": [count for _, count in told],
        "nulls": nulls, "null claims": rows["null_claims"], "two seeds": seeds,
        "verdict": rows["verdict"], "why not": rows["reason"],
    }  # fmt: skip
    return pd.concat([rows[["a", "b", "level", "measure"]], pd.DataFrame(columns)], axis=1)


def _alike(apart: float) -> str:
    return percent(1 - apart) if apart == apart else ""


MEASURE = "attribution"


def of_components() -> Iterator[Comparison]:
    """Recipes, single variants, nulls, and two seeds of one recipe."""
    for a, b in (("deontological", "utilitarian"), ("strategic", TAUGHT)):
        yield Comparison(a, b, MEASURE, "recipe")
    yield Comparison("self", "random", MEASURE, "recipe", "null")
    for a, b in (("deontological-0", "utilitarian-0"), ("strategic-0", f"{TAUGHT}-0")):
        yield Comparison(a, b, MEASURE, "checkpoint")
    for name in ("strategic", "deontological", "utilitarian", TAUGHT):
        yield Comparison(f"{name}-0", f"{name}-1", MEASURE, "checkpoint", "seeds")
    yield Comparison(BASE, "self-0", MEASURE, "checkpoint", "null")
    yield Comparison("self-0", "random-0", MEASURE, "checkpoint", "null")


def attribution_row(one: Comparison, found: NodeDiff) -> dict[str, Any]:
    """Counts of a comparison, and ``alike``: Pearson's r over components of both sides' means."""
    told = found.summary
    table = found.table[found.table["component"] != "LOGITS"]  # the bias of the unembedding
    values = table[["value_a", "value_b"]].dropna().to_numpy(float)
    largest = table.iloc[int(np.nanargmax(table["change"].abs()))]
    return {
        "scope": one.scope, "role": one.role, "a": one.a, "b": one.b,
        "components": len(table), "testable": told["n_testable"], "claims": told["n_claims"],
        "evidence": told["evidence"], "margin": told["margin"],
        "alike": float(np.corrcoef(values.T)[0, 1]) if len(values) > 2 else None,
        "largest": largest["component"], "change": float(largest["change"]),
    }  # fmt: skip
