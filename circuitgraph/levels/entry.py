"""Two variants level by level, and the same of null pairs and of two seeds."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd

from circuitgraph.base.components import natural_key
from circuitgraph.base.errors import CircuitGraphError, UsageError, short
from circuitgraph.base.progress import Reporter
from circuitgraph.diff.record import Diff
from circuitgraph.lenses.match import match_runs
from circuitgraph.lenses.registry import lens_names
from circuitgraph.levels.estimates import NOTHING, Alike, cosine_of_edges, one_minus
from circuitgraph.levels.record import (
    ATTENTION,
    BEHAVIOUR,
    INTERACTIONS,
    PAIR_COLUMNS,
    WEIGHTS,
    Levels,
)
from circuitgraph.runs.catalogue import RunCatalogue
from circuitgraph.runs.record import Run
from circuitgraph.stats import special
from circuitgraph.stats.scenarios import recode

KINDS = ("effect", "correlation")
COSINE, UPDATES = "cosine of all weights", "cosine of the updates"
LOOKS = "same tokens looked at"
DECIDES, ANSWERS = "same P(answer)", "same answer"
NOT_KEPT = "not measured yet"
AS_LARGE = "a random update is as large as the pair's own by construction"
Compare = Callable[["Pair", str], Diff | None]
"""The diff of a pair by a lens; None where it is not kept and nothing may be measured."""


@dataclass(frozen=True)
class Pair:
    """Two variants compared level by level.

    Attributes
    ----------
    role
        ``pair``, ``null`` or ``seeds``.
    a, b
        What they are called.
    runs
        By kind, comparable runs of both.
    models
        Lends both models, where they are in no files.
    compare
        Makes their diff by a lens, where these are no variants of the workspace.
    """

    role: str
    a: str
    b: str
    runs: Mapping[str, tuple[Run, Run]]
    models: Callable[[], AbstractContextManager[Any]] | None = None
    compare: Callable[[str], Diff] | None = None

    @classmethod
    def of(cls, catalogue: RunCatalogue, role: str, a: str, b: str) -> Pair:
        """Two variants by name; raises UsageError where no runs of them can be compared."""
        names, runs = (*catalogue.side(a, "checkpoint"), *catalogue.side(b, "checkpoint")), {}
        kinds = [{run.kind for run in catalogue.of(name)} for name in names]
        for kind in (kind for kind in KINDS if all(kind in own for own in kinds)):
            [first], [second], _ = catalogue.matched([a], [b], kind)
            runs[kind] = first, second
        if not runs:
            raise UsageError(
                f"{short(a)} and {short(b)} have no runs of one kind; ingest both on one prompt set"
            )
        return cls(role, a, b, runs)

    @property
    def best(self) -> tuple[Run, Run]:
        """The runs that tell most."""
        return next(self.runs[kind] for kind in KINDS if kind in self.runs)


@dataclass(frozen=True)
class Asker:
    """How the levels of a pair are found.

    Attributes
    ----------
    compare
        See ``Compare``.
    lenses
        Names.
    measure
        False reads what is kept, and says of the rest that it was not measured.
    reporter
        Where remarks go.
    """

    compare: Compare
    lenses: Sequence[str] = field(default_factory=lens_names)
    measure: bool = True
    reporter: Reporter = field(default_factory=Reporter)

    def parts(self, pair: Pair) -> Iterator[list[dict[str, Any]]]:
        """Rows of one pair with the columns ``record.PAIR_COLUMNS``, those of each lens apart."""
        yield [_row(pair, **row) for row in (*self._models(pair), *_behaviour(pair))]
        for lens in self.lenses:
            yield [_row(pair, INTERACTIONS, lens, **self._edges(pair, lens))]

    def _models(self, pair: Pair) -> Iterator[dict[str, Any]]:
        """Weights and attention."""
        found, why = None, NOT_KEPT
        try:
            found = self._together(pair)
        except CircuitGraphError as error:
            why = str(error)
        if found is None:
            yield {"level": WEIGHTS, "measure": COSINE, "reason": why}
            yield {"level": ATTENTION, "measure": LOOKS, "reason": why}
            return
        if pair.models is not None:
            yield {"level": WEIGHTS, "measure": COSINE, "reason": AS_LARGE}
        else:
            yield {"level": WEIGHTS, "measure": COSINE, "alike": _bare(found.cosine)}
            if found.updates is not None:
                yield {"level": WEIGHTS, "measure": UPDATES, "alike": _bare(found.updates)}
        run = pair.best[0]
        codes, apart = recode(run.scenarios), found.apart.mean(1)
        yield {
            "level": ATTENTION, "measure": LOOKS, "alike": one_minus(apart, codes), "n": run.n,
        }  # fmt: skip

    def _together(self, pair: Pair) -> Any:
        from circuitgraph.levels.measure import held_together, kept_together
        from circuitgraph.runs.comparable import require_model

        for run in pair.best:
            require_model(run.variant)
        found = kept_together(*pair.best)
        if found is not None or not self.measure:
            return found
        self.reporter.remark(f"weights and attention of {short(pair.a)} and {short(pair.b)}")
        return held_together(*pair.best, models=pair.models() if pair.models else None)

    def _edges(self, pair: Pair, lens: str) -> dict[str, Any]:
        """Interactions by one lens."""
        try:
            diff = pair.compare(lens) if pair.compare else self.compare(pair, lens)
            return {"reason": NOT_KEPT} if diff is None else edges_alike(diff)
        except CircuitGraphError as error:
            return {"reason": str(error)}


def levels(pair: Pair, others: Sequence[Pair], asker: Asker) -> Levels:
    """How alike two variants are, beside other pairs."""
    parts = (part for one in (pair, *others) for part in asker.parts(one))
    total = (1 + len(others)) * (1 + len(asker.lenses))
    rows = [row for part in asker.reporter.each(parts, total, "levels", "step") for row in part]
    ids = sorted({run.id for one in (pair, *others) for both in one.runs.values() for run in both})
    own = sorted({run.id for both in pair.runs.values() for run in both})
    summary = {"a": pair.a, "b": pair.b, "runs": ids, "own": own}
    return Levels(pd.DataFrame(rows, columns=list(PAIR_COLUMNS)), summary)


def seeds_of(catalogue: RunCatalogue, a: str, b: str) -> list[tuple[str, str]]:
    """Of each of the two, the pair with another seed of its recipe, where there is one."""
    variants, found = catalogue.variants(), []
    for name in (a, b):
        recipe = variants[name].recipe if name in variants else ""
        same = [n for n, v in variants.items() if recipe and v.recipe == recipe]
        others = sorted((n for n in same if n not in (a, b)), key=natural_key)
        found += [(name, other) for other in others[:1]]
    return found


def edges_alike(diff: Diff) -> dict[str, Any]:
    """Likeness of all edges of a diff: a cosine, or of unsigned changes 1 − their mean."""
    table = diff.table
    numbers = [table[name].to_numpy(np.float64) for name in ("weight_a", "weight_b", "delta")]
    rows = np.flatnonzero(np.isfinite(np.stack(numbers)).all(0))
    matched = diff.asks.lined_up(diff.runs_a, diff.runs_b)
    if not len(rows):
        alike = NOTHING
    elif diff.signed:
        changes = diff.asks.tests(matched, diff.scope).per_prompt(rows)
        a, b = numbers[0][rows], numbers[1][rows]
        alike = cosine_of_edges(a, b, changes, matched.scenarios, diff.seed)
    else:
        tested = rows[(table["verdict"] != "not_testable").to_numpy()[rows]]
        apart = np.asarray(diff.lens_details.by_prompt["delta"])[:, tested].mean(1)
        alike = one_minus(apart, matched.scenarios) if len(tested) else NOTHING
    enough = not diff.insufficient
    return {
        "alike": alike,
        "claims": diff.summary["n_claims"] if enough else None,
        "testable": diff.summary["n_testable"] if enough else None,
        "n": matched.n,
        "reason": "" if enough else "evidence is insufficient for claims",
    }


def _behaviour(pair: Pair) -> Iterator[dict[str, Any]]:
    """1 − |P_B − P_A| of the answer among the two, and the share of equal answers."""
    runs = pair.runs.get("effect")
    if runs is None or not all("decisions" in run.arrays for run in runs):
        why = "no effect runs, so no decisions"
        yield from ({"level": BEHAVIOUR, "measure": m, "reason": why} for m in (DECIDES, ANSWERS))
        return
    matched = match_runs([runs[0]], [runs[1]], "effect")
    first, second = (np.asarray(run.arrays["decisions"], np.float64) for run in runs)
    apart = np.abs(special.expit(second) - special.expit(first))
    other = ((second > 0) != (first > 0)).astype(np.float64)
    for measure, distances in ((DECIDES, apart), (ANSWERS, other)):
        alike = one_minus(matched.collapsed(distances), matched.scenarios)
        yield {"level": BEHAVIOUR, "measure": measure, "alike": alike, "n": matched.n}


def _bare(number: float) -> Alike:
    """Weights are what they are: no interval."""
    return Alike(number, np.nan, np.nan)


def _row(
    pair: Pair,
    level: str,
    measure: str,
    alike: Alike = NOTHING,
    claims: int | None = None,
    testable: int | None = None,
    n: int = 0,
    reason: str = "",
) -> dict[str, Any]:
    return {
        "role": pair.role, "a": pair.a, "b": pair.b, "level": level, "measure": measure,
        **alike._asdict(), "claims": np.nan if claims is None else claims,
        "testable": np.nan if testable is None else testable, "n": n, "reason": reason,
    }  # fmt: skip
