"""The answer: a table with one row per edge, and what a reader must know beside it."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Literal

import numpy as np
import pandas as pd

from circuitgraph.base.components import Edge, in_order, order_key
from circuitgraph.base.errors import UsageError
from circuitgraph.base.frames import write_frame
from circuitgraph.base.quoting import quoted, short
from circuitgraph.base.textfiles import expanded
from circuitgraph.lenses.base import Lens
from circuitgraph.lenses.edge_tests import LensDetails
from circuitgraph.lenses.mechanism.shapley import FACTORS, MIXED, UNKNOWN
from circuitgraph.lenses.registry import lens_named
from circuitgraph.runs.record import Run

CLAIMS = ("rewired", "sign_flip", "gained", "lost")
VERDICTS = (*CLAIMS, "unchanged", "not_detected", "not_testable")
MECHANISMS = ("", UNKNOWN, *FACTORS, MIXED)

NO_MECHANISM = "mechanism unknown: "
"""Begins the remark on a diff whose mechanism could not be measured."""
REFITTED = ("stability", "scenarios_left", "wordings_left", "seeds_left")
"""Columns of ``Diff.extras`` that take hundreds of refits; see ``diff.stability``."""

KEY = ["source", "target", "input"]
"""Columns that name an edge."""

COLUMNS = (
    "source",
    "target",
    "input",
    "lens",
    "scope",
    "weight_a",
    "weight_b",
    "delta",
    "low",
    "high",
    "p",
    "q",
    "verdict",
    "mechanism",
    "reason",
    "n",
    "n_scenarios",
    "n_effective",
)


SHARED_INPUTS = ("", "all", "in")
"""Inputs of receivers that read all they read together."""


class Refitted:
    """How often claims are made again: computed when first asked for, once for all copies.

    Args:
        refit: makes hundreds of refits; columns by name, a number a claim. It holds all
            that was compared, and is let go when it has answered.
    """

    def __init__(self, refit: Callable[[], Mapping[str, np.ndarray]]) -> None:
        self._refit = refit

    @cached_property
    def columns(self) -> Mapping[str, np.ndarray]:
        """The columns by name."""
        found = self._refit()
        del self._refit
        return found


@dataclass(frozen=True, eq=False)
class Diff:
    """Two variants, or two recipes, compared edge by edge.

    Attributes:
        id: hash over the runs compared and all options.
        name: ``A → B``.
        a, b: the sides as the user named them.
        runs_a, runs_b: the runs behind them.
        lens, own, scope, alpha, margin, fdr, seed: how it was compared; ``own`` are the lens'
            own options, ``margin`` is the one used, in the units of ``delta``.
        table: one row per edge, columns ``COLUMNS``; texts are categorical.
        details: claims only (at most 10,000, strongest first), indexed like ``table``:
            ``low_a, high_a, low_b, high_b`` (each side's own 95% interval),
            ``cancellation`` (|mean|/rms of the change over prompts: 1 when every prompt
            changes alike, near 0 when they cancel), ``wording`` (the change left
            when the worst wording is left out, as a share; NaN without wordings),
            the numbers of ``lens_details.by_edge``;
            ``screen_a, screen_b`` (what a screen said of edges measured exactly since),
            ``signal, edge, downstream, gain, same`` (effects whose mechanism is measured, see
            ``diff.mechanism``),
            ``block`` (claims whose changes go together over prompts share a number),
            and one column ``mean: SCENARIO`` a scenario.
        refitted: how often each of them is claimed again; see ``extras``.
        across: the across-scenario table (correlations, 20 scenarios or more) or None.
        summary: plain JSON types; counts, evidence, yardstick, decoys, behaviour,
            policies (how far apart decisions are), alone (each variant by itself), remarks.
        created: ISO time.
        confirmed: edges of screened runs whose numbers here are exact on both sides.
        lens_details: what else the lens measured, edge by edge and prompt by prompt.
    """

    id: str
    name: str
    a: str
    b: str
    runs_a: tuple[Run, ...]
    runs_b: tuple[Run, ...]
    lens: str
    own: Mapping[str, Any]
    scope: str
    alpha: float
    margin: float
    fdr: str
    seed: int
    table: pd.DataFrame
    details: pd.DataFrame
    refitted: Refitted
    across: pd.DataFrame | None
    summary: dict[str, Any]
    created: str
    confirmed: tuple[Edge, ...] = ()
    lens_details: LensDetails = field(default_factory=LensDetails)

    @cached_property
    def asks(self) -> Lens:
        """The lens with its own options."""
        return lens_named(self.lens, **self.own)

    @cached_property
    def extras(self) -> pd.DataFrame:
        """``details`` and, before their blocks, how often each claim is made again.

        ``stability`` (share of bootstrap samples of the prompts that claim the edge again),
        ``scenarios_left``, ``wordings_left``, ``seeds_left`` (share of fits without one
        scenario, wording, replicate that do; NaN where none can go). These take hundreds
        of refits, which the first to ask waits for.
        """
        again = pd.DataFrame(dict(self.refitted.columns), index=self.details.index)
        place = list(self.details).index("block")
        parts = [self.details.iloc[:, :place], again, self.details.iloc[:, place:]]
        return pd.concat(parts, axis=1)

    def __repr__(self) -> str:
        told = self.summary
        return (
            f"Diff({short(self.name)}, {self.lens} lens, {self.scope} scope: {told['n_claims']} of "
            f"{told['n_testable']} testable edges claimed, evidence {told['evidence']})"
        )

    @property
    def claims(self) -> pd.DataFrame:
        """Rows of the table that are claimed as changes."""
        return self.table[self.table["verdict"].isin(CLAIMS)]

    def graph(
        self, library: Literal["igraph", "networkx"] = "networkx", rows: str = "claims"
    ) -> Any:
        """The claims as a graph over all components, one edge a row.

        Args:
            library: whose graph.
            rows: ``claims``, or ``all`` rows of the table.

        Raises:
            UsageError: another library or choice of rows.
        """
        from circuitgraph.graph.columns import endpoints
        from circuitgraph.graph.convert import graph_of

        tables = {"claims": self.claims, "all": self.table}
        if rows not in tables:
            raise UsageError(f"rows: {quoted(rows, 40)} is unknown; choose claims or all")
        return graph_of(tables[rows], library, endpoints(self.table))

    def matrix(self, column: str = "delta") -> pd.DataFrame:
        """One number of every edge, senders as rows and receivers as columns; NaN where none is.

        Parameters
        ----------
        column : str
            A column of numbers of the table. Receivers of split inputs are told apart, such
            as ``L1H0.q``; correlations, which have no direction, stand both ways.
        """
        edges = self.table[["source", "target", "input", column]].astype({"source": str})
        if not self.asks.directed:
            other_way = {"source": "target", "target": "source"}
            edges = pd.concat([edges, edges.rename(columns=other_way)])
        ends = zip(edges["target"].astype(str), edges["input"].astype(str), strict=True)
        named = [(t if i in SHARED_INPUTS else f"{t}.{i}", t) for t, i in ends]
        edges["target"] = [name for name, _ in named]
        found = edges.pivot(index="source", columns="target", values=column)
        receivers = dict(named)
        order = sorted(receivers, key=lambda name: (order_key(receivers[name]), name))
        return found.reindex(index=in_order(found.index), columns=order)

    def to_csv(self, path: str | os.PathLike[str]) -> None:
        """Write the table as CSV, in one step; numbers in full.

        Raises
        ------
        InputError
            The file cannot be written.
        """
        write_frame(self.table, "csv", expanded(path))

    @property
    def insufficient(self) -> bool:
        """True when the evidence cannot tell: never to be read as "no rewiring"."""
        return self.summary["evidence"] == "insufficient"

    @property
    def signed(self) -> bool:
        """Whether a change has a sign."""
        return self.asks.signed(self.scope)
