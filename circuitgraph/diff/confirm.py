"""Screen, then confirm: claims of an approximate estimator must hold for exact effects too.

A screen tests one estimator over all edges on both sides. Its claims, and the strongest edges
of both sides, are then measured exactly on both sides and the test is repeated with those
numbers. What is claimed both times is a claim. No edge is ever exact on one side and estimated
on the other.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from circuitgraph.base.components import Edge
from circuitgraph.diff.outcome import NOT_DETECTED, Decided, Outcome, compare_sides
from circuitgraph.diff.record import Diff
from circuitgraph.lenses.base import Lens, Models, Options
from circuitgraph.runs.record import Run, read_confirmed

STRONGEST = 20
"""Edges of each side that are measured exactly beside the claims."""


@dataclass(frozen=True)
class Confirmation:
    """Claims of a screen after the exact measurement.

    Attributes
    ----------
    screen : Outcome
    edges : int
        Columns measured exactly, ascending.
    confirmed : int
        Claims of the screen that exact effects confirm.
    """

    screen: Outcome
    edges: np.ndarray
    confirmed: np.ndarray

    @property
    def names(self) -> tuple[Edge, ...]:
        """The edges measured exactly."""
        return tuple(self.screen.matched.edges[i] for i in self.edges)

    @property
    def refused(self) -> np.ndarray:
        """Claims of the screen that exact effects do not confirm."""
        return np.setdiff1d(self.screen.decided.claims, self.confirmed)


def compare_exactly(
    a: Sequence[Run],
    b: Sequence[Run],
    options: Options,
    models: Models | None,
    strongest: int = STRONGEST,
) -> tuple[Outcome, Confirmation | None]:
    """Test two sides; estimates are a screen, tested again with exact effects, where models are.

    Exact are its claims and the ``strongest`` edges of each side.
    """
    outcome = compare_sides(a, b, options, models)
    if models is None or not options.lens.screened(a):
        return outcome, None
    edges = np.union1d(outcome.decided.claims, _strongest(outcome, strongest))
    if not len(edges) or outcome.evidence == "insufficient":
        return outcome, Confirmation(outcome, edges[:0], edges[:0])
    matched = outcome.matched
    exact_a, exact_b = (
        [_with_exact(run, matched.edges, edges, options.lens, models) for run in side]
        for side in (matched.runs_a, matched.runs_b)
    )
    second = compare_sides(exact_a, exact_b, replace(options, margin=outcome.margin))
    both = np.intersect1d(outcome.decided.claims, second.decided.claims)
    stored = {name: getattr(matched, name) for name in ("runs_a", "runs_b", "named", "equals")}
    final = replace(
        second,
        measured=replace(second.measured, matched=replace(second.matched, **stored)),
        decided=_only(second.decided, both),
    )
    return final, Confirmation(outcome, edges, both)


def _strongest(outcome: Outcome, count: int) -> np.ndarray:
    found = [np.empty(0, int)]
    for weights in (outcome.tests.weight_a, outcome.tests.weight_b):
        size = np.where(outcome.tests.reason == 0, np.abs(weights), -1.0)
        best = np.argsort(-size, kind="stable")[:count]
        found.append(best[size[best] > 0])
    return np.unique(np.concatenate(found))


def _with_exact(run: Run, order: Sequence, edges: np.ndarray, lens: Lens, models: Models) -> Run:
    """The run with exact effects in some columns; ``edges`` counts in the order compared."""
    column = {edge: i for i, edge in enumerate(run.edges)}
    here = sorted(column[order[i]] for i in edges if order[i] in column)
    return with_columns(run, here, lens.exact(run, here, models))


def with_columns(run: Run, columns: Sequence[int], values: np.ndarray) -> Run:
    """The run with other effects [n × k] in some columns, in memory only."""
    effects = run.effects.copy()
    effects[:, columns] = values
    return replace(run, path=None, _arrays={**run.arrays, "effects": effects})


def as_compared(diff: Diff) -> tuple[list[Run], list[Run]]:
    """The runs of both sides with the numbers of a diff, exact ones where it has them."""
    a, b = (
        [_confirmed(run, diff.confirmed) for run in side] for side in (diff.runs_a, diff.runs_b)
    )
    return a, b


def _confirmed(run: Run, edges: Sequence[Edge]) -> Run:
    known = read_confirmed(run)
    wanted = set(edges)
    columns = [i for i, edge in enumerate(run.edges) if edge in wanted and i in known]
    if not columns:
        return run
    return with_columns(run, columns, np.stack([known[i] for i in columns], 1))


def _only(decided: Decided, claims: np.ndarray) -> Decided:
    kept = np.isin(decided.claims, claims)
    verdict = decided.verdict.copy()
    verdict[decided.claims[~kept]] = NOT_DETECTED
    low_a, high_a, low_b, high_b = (end[kept] for end in decided.own)
    return replace(decided, verdict=verdict, own=(low_a, high_a, low_b, high_b))


def confirmation_summary(confirmation: Confirmation) -> dict[str, Any]:
    """Plain JSON types: estimator, edges measured exactly, claims before and after, refused."""
    screen = confirmation.screen
    names = [column.take(confirmation.refused) for column in screen.tests.names]
    return {
        "estimator": screen.matched.runs_a[0].method.estimator,
        "edges": len(confirmation.edges),
        "claims": len(screen.decided.claims),
        "confirmed": len(confirmation.confirmed),
        "refused": [list(map(str, row)) for row in zip(*names, strict=True)],
    }
