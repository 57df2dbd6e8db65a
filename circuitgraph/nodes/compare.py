"""Tests, margins and verdicts for changes of component values between variants."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd

from circuitgraph.base.components import digest
from circuitgraph.base.errors import UsageError
from circuitgraph.base.frames import texts
from circuitgraph.diff.outcome import Decided, decide
from circuitgraph.diff.record import VERDICTS
from circuitgraph.lenses.edge_tests import (
    NOT_CHOSEN,
    NOT_FINITE,
    REASONS,
    TESTABLE,
    TOO_SMALL,
    EdgeTests,
    Groups,
    Intervals,
    flag,
    flag_numbers,
    not_chosen,
)
from circuitgraph.lenses.match import Matched
from circuitgraph.lenses.recipe import combine, own_intervals
from circuitgraph.nodes.record import Measure, Node, NodeValues
from circuitgraph.runs.record import Run, now
from circuitgraph.stats.evidence import THRESHOLDS, enough_replicates, graded
from circuitgraph.stats.margins import half_width
from circuitgraph.stats.scenarios import (
    FLOAT32_NOISE,
    balanced_mean,
    balanced_variance,
)

COLUMNS = (
    *("component", "measure", "category", "value_a", "value_b", "change", "low", "high"),
    *("p", "q", "verdict", "reason", "n", "n_scenarios", "n_effective"),
)
CHANGED = {"rewired": "changed"}
"""Verdicts of nodes whose name differs from that of edges."""
_ASKED = ("measure", "scope", "margin", "alpha", "fdr", "facts", "a", "b")
CLAIMS = ("changed", "sign_flip", "gained", "lost")
SMALLEST = 1e-5


@dataclass(frozen=True, eq=False)
class NodeDiff:
    """A measure of all components, compared between two variants or groups of variants.

    Attributes
    ----------
    table
        A row a node; columns ``component, measure, category, value_a, value_b, change, low,
        high, p, q, verdict, reason, n, n_scenarios, n_effective``.
    summary
        Plain JSON values: margin, evidence, counts, facts.
    runs
        Runs of side A and of side B.
    """

    table: pd.DataFrame
    summary: dict[str, Any] = field(default_factory=dict)
    runs: tuple[tuple[Run, ...], tuple[Run, ...]] = ((), ())

    @property
    def id(self) -> str:
        """Hash of the measure, the runs, the scope and the rates."""
        asked = {k: v for k, v in self.summary.items() if k in _ASKED}
        return digest("nodes", asked, [[run.id for run in side] for side in self.runs])

    @property
    def row(self) -> dict[str, Any]:
        """Properties of the ``Diff`` node in the graph; its lens is the measure."""
        s = self.summary
        return {
            "id": self.id, "name": f"{s['a']} → {s['b']} {s['measure']}", "a": s["a"], "b": s["b"],
            "lens": s["measure"], "scope": s["scope"], "alpha": s.get("alpha"),
            "margin": s.get("margin"), "n_edges": s["n_nodes"], "n_testable": s["n_testable"],
            "n_claims": s["n_claims"], "n_effective": int(self.table["n_effective"].iloc[0]),
            "evidence": s["evidence"], "created": now(),
        }  # fmt: skip

    def __repr__(self) -> str:
        s = self.summary
        return (
            f"NodeDiff({s['a']} → {s['b']}, {s['measure']}, {s['scope']} scope: {s['n_claims']} "
            f"of {s['n_testable']} claimed, evidence {s['evidence']})"
        )

    @property
    def claims(self) -> pd.DataFrame:
        """Rows with a claim."""
        return self.table[self.table["verdict"].isin(CLAIMS)]


@dataclass(frozen=True, eq=False)
class Sides:
    """Values of both sides on the same prompts.

    Attributes
    ----------
    a, b : tuples of float64 [n × nodes]
        One matrix per variant.
    scenarios : int [n]
        Codes without gaps.
    """

    nodes: tuple[Node, ...]
    a: tuple[np.ndarray, ...]
    b: tuple[np.ndarray, ...]
    scenarios: np.ndarray

    @classmethod
    def of(
        cls, measure: Measure, matched: Matched, a: Sequence[NodeValues], b: Sequence[NodeValues]
    ) -> Sides:
        """Values of matched runs; raises UsageError where their nodes differ."""
        nodes = a[0].nodes
        if any(found.nodes != nodes for found in (*a, *b)):
            raise UsageError(
                f"{measure.name}: the variants have other nodes; compare models of one architecture"
            )
        if measure.of_pair and matched.seen is not None:
            seen, scenarios = matched.seen, matched.scenarios
            matrices = [[seen.raw(found.values) for found in side] for side in (a, b)]
        else:
            of_run = matched.runs_a[0].scenarios
            matrices = [[found.observed(of_run)[0] for found in side] for side in (a, b)]
            scenarios = a[0].observed(of_run)[1]
        first, second = (tuple(np.asarray(x, np.float64) for x in side) for side in matrices)
        return cls(nodes, first, second, scenarios)

    @property
    def df(self) -> int:
        """Degrees of freedom: prompts − scenarios."""
        return len(self.scenarios) - int(self.scenarios.max()) - 1

    @property
    def size(self) -> float:
        """Mean over variants and prompts of the L2 norm of all values."""
        norms = [np.sqrt(np.nansum(x * x, axis=1)).mean() for x in (*self.a, *self.b)]
        return float(np.mean(norms))


def compare(
    measure: Measure,
    sides: Sides,
    scope: str,
    *,
    margin: float | None = None,
    alpha: float = 0.05,
    fdr: str = "bh",
) -> tuple[pd.DataFrame, dict[str, Any]]:
    """Test every node for a change beyond a margin.

    Parameters
    ----------
    measure
        Gives the default margin.
    sides
        Values of both.
    scope
        ``checkpoint`` or ``recipe``; see ``Workspace.diff``.
    margin
        In the units of the values.
    alpha, fdr
        Of the false discovery control over testable nodes.

    Returns
    -------
    table, summary
        See :class:`NodeDiff`; the summary lacks the names.
    """
    unit = sides.size if measure.scale == "norm" else 1.0
    default = measure.margin * unit
    tests = _tests(sides, scope, default)
    chosen = default if margin is None else margin
    evidence = _evidence(sides, scope)
    decided = decide(tests, chosen, alpha, fdr, enough=evidence != "insufficient")
    table = _table(measure, sides, tests, decided)
    claimed = table["verdict"].isin(CLAIMS)
    summary = {
        "measure": measure.name, "quantity": measure.quantity, "unit": measure.unit,
        "scope": scope, "margin": chosen, "alpha": alpha, "fdr": fdr, "evidence": evidence,
        "n": len(sides.scenarios), "n_nodes": len(table),
        "n_testable": int((table["verdict"] != "not_testable").sum()),
        "n_claims": int(claimed.sum()),
    }  # fmt: skip
    return table, summary


def _evidence(sides: Sides, scope: str) -> str:
    if scope == "recipe" and not enough_replicates(len(sides.a), len(sides.b)):
        return "insufficient"
    return graded(THRESHOLDS["effect"], sides.df)


def _tests(sides: Sides, scope: str, margin: float) -> EdgeTests:
    found, df = _groups(sides), sides.df
    reason = np.zeros(len(sides.nodes), np.int8)
    numbers = np.vstack([found.numbers_a, found.numbers_b])
    flag(reason, ~np.isfinite(numbers).all(0), NOT_FINITE)
    names = [node.component for node in sides.nodes]
    flag(reason, not_chosen(names, (*sides.a, *sides.b)), NOT_CHOSEN)
    flag(reason, _too_small((*sides.a, *sides.b)), TOO_SMALL)
    if scope == "recipe":
        both = combine(found, df, reason == TESTABLE, trend=True)
        mean_a, mean_b, se, dfs = both.mean_a, both.mean_b, both.se, both.df
    else:
        mean_a, mean_b = found.numbers_a[0], found.numbers_b[0]
        se, dfs = np.sqrt(found.variance), np.full(len(reason), float(df))
    delta = mean_b - mean_a
    quiet = FLOAT32_NOISE * np.max([np.abs(x).max(0) for x in (*sides.a, *sides.b)], axis=0)
    delta[np.abs(delta) <= quiet] = 0.0
    se[se <= quiet] = 0.0
    flag_numbers(reason, delta, se, df > 0)

    def own(rows: np.ndarray) -> Intervals:
        if scope == "recipe":
            return own_intervals(both, rows)
        half_a, half_b = (
            half_width(np.sqrt(v[rows]), df) for v in (found.variance_a, found.variance_b)
        )
        a, b = mean_a[rows], mean_b[rows]
        return a - half_a, a + half_a, b - half_b, b + half_b

    def per_prompt(rows: np.ndarray) -> np.ndarray:
        return np.mean(sides.b, axis=0)[:, rows] - np.mean(sides.a, axis=0)[:, rows]

    return EdgeTests(
        names=_names(sides.nodes), weight_a=mean_a, weight_b=mean_b, delta=delta, se=se, df=dfs,
        reason=reason, default_margin=margin, own=own, per_prompt=per_prompt,
    )  # fmt: skip


def _groups(sides: Sides) -> Groups:
    codes = sides.scenarios
    numbers = [np.stack([balanced_mean(x, codes) for x in side]) for side in (sides.a, sides.b)]
    mean_a, mean_b = (np.mean(side, axis=0) for side in (sides.a, sides.b))
    variances = [balanced_variance(x, codes) for x in (mean_b - mean_a, mean_a, mean_b)]
    return Groups(numbers[0], numbers[1], *variances)


def _too_small(arrays: Sequence[np.ndarray]) -> np.ndarray:
    """Nodes whose largest |value| is under 1e-5 of the variant's largest, in every variant."""
    small = np.ones(arrays[0].shape[1], bool)
    for array in arrays:
        peak = np.nan_to_num(np.abs(array)).max(0, initial=0.0)
        small &= peak < SMALLEST * peak.max(initial=0.0)
    return small


def _names(nodes: Sequence[Node]) -> tuple[pd.Categorical, pd.Categorical, pd.Categorical]:
    first, second = (texts([node[i] for node in nodes]) for i in range(2))
    return first, second, texts([""] * len(nodes))


def _table(measure: Measure, sides: Sides, tests: EdgeTests, decided: Decided) -> pd.DataFrame:
    words = np.array([CHANGED.get(word, word) for word in VERDICTS], dtype=object)
    size, scenarios = len(sides.nodes), int(sides.scenarios.max()) + 1
    columns = {
        "component": tests.names[0], "measure": measure.name, "category": tests.names[1],
        "value_a": tests.weight_a, "value_b": tests.weight_b, "change": tests.delta,
        "low": decided.low, "high": decided.high, "p": decided.p, "q": decided.q,
        "verdict": words[decided.verdict], "reason": np.array(REASONS, object)[decided.reason],
        "n": len(sides.scenarios), "n_scenarios": scenarios,
        "n_effective": len(sides.scenarios) - scenarios,
    }  # fmt: skip
    return pd.DataFrame(columns, index=range(size))[list(COLUMNS)]
