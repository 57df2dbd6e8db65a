"""The result of a diff: a table with one row per edge, and its context."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Literal

import numpy as np
import pandas as pd

from circuitgraph.base.components import Edge, in_order, order_key
from circuitgraph.base.errors import UsageError, quoted, short
from circuitgraph.base.frames import write_frame
from circuitgraph.base.textfiles import expanded
from circuitgraph.graph.convert import SHARED_INPUTS, endpoints, graph_of
from circuitgraph.lenses.base import Lens
from circuitgraph.lenses.edge_tests import LensDetails
from circuitgraph.lenses.mechanism.split import FACTORS, MIXED, UNKNOWN
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


class Refitted:
    """Stability of claims, computed when first read, once for all copies.

    ``refit`` makes hundreds of refits; it holds all that was compared, and is dropped then.
    """

    def __init__(self, refit: Callable[[], Mapping[str, np.ndarray]]) -> None:
        self._refit = refit

    @cached_property
    def columns(self) -> Mapping[str, np.ndarray]:
        """A number a claim, by column."""
        found = self._refit()
        del self._refit
        return found


@dataclass(frozen=True, eq=False)
class Diff:
    """Two variants, or two recipes, compared edge by edge.

    Attributes
    ----------
    id : str
        Hash over the runs compared and all options.
    name : str
        ``A → B``; ``a``, ``b`` are the sides as the user named them.
    lens, own, scope, alpha, margin, fdr, seed
        How it was compared; ``own`` are the lens' own options, ``margin`` is the one used, in
        the units of ``delta``.
    table : DataFrame
        One row per edge, columns ``COLUMNS``; texts are categorical.
    details : DataFrame
        Claims only (at most 10,000, strongest first), indexed like ``table``: ``low_a, high_a,
        low_b, high_b`` (95% interval of each side), ``cancellation`` (|mean|/rms of the change
        over prompts: 1 when every prompt changes alike, near 0 when they cancel), ``wording``
        (share of the change left without the worst wording; NaN without wordings), the numbers
        of ``lens_details.by_edge``; ``screen_a, screen_b`` (estimates of edges measured exactly
        since), ``signal, edge, downstream, gain, same`` (see ``diff.mechanism``), ``block``
        (claims with correlated changes share a number), and one column ``mean: SCENARIO`` a
        scenario.
    refitted : Refitted
        Stability of claims; see ``extras``.
    across : DataFrame, optional
        The across-scenario table (correlations, 20 scenarios or more).
    summary : dict
        Plain JSON types: counts, evidence, yardstick (noise floor), decoys (null pairs),
        behaviour, policies (distance of decisions), alone (each variant by itself), remarks.
    created : str
        ISO time.
    confirmed : tuple of Edge
        Edges of approximate runs whose numbers here are exact on both sides.
    lens_details : LensDetails
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
        return lens_named(self.lens, self.own)

    @cached_property
    def extras(self) -> pd.DataFrame:
        """``details`` with the stability of each claim.

        ``stability`` (share of bootstrap samples of the prompts that claim the edge),
        ``scenarios_left``, ``wordings_left``, ``seeds_left`` (share of fits without one scenario,
        wording, replicate that do; NaN where none can be left out). Takes hundreds of refits when
        first read.
        """
        again = pd.DataFrame(dict(self.refitted.columns), index=self.details.index)
        place = list(self.details).index("block")
        parts = [self.details.iloc[:, :place], again, self.details.iloc[:, place:]]
        return pd.concat(parts, axis=1)

    def __repr__(self) -> str:
        found = self.summary
        return (
            f"Diff({short(self.name)}, {self.lens} lens, {self.scope} scope: "
            f"{found['n_claims']} of {found['n_testable']} testable edges claimed, "
            f"evidence {found['evidence']})"
        )

    @property
    def claims(self) -> pd.DataFrame:
        """Rows of the table that are claimed as changes."""
        return self.table[self.table["verdict"].isin(CLAIMS)]

    def graph(
        self, library: Literal["igraph", "networkx"] = "networkx", rows: str = "claims"
    ) -> Any:
        """The claims (or ``rows="all"``) as a graph over all components, one edge a row.

        Raises
        ------
        UsageError
            Another library or choice of rows.
        """
        tables = {"claims": self.claims, "all": self.table}
        if rows not in tables:
            raise UsageError(f"rows: {quoted(rows, 40)} is unknown; choose claims or all")
        return graph_of(tables[rows], library, endpoints(self.table))

    def matrix(self, column: str = "delta") -> pd.DataFrame:
        """One column of the table as a matrix, senders × receivers; NaN without an edge.

        Receivers of split inputs are rows such as ``L1H0.q``; correlations are symmetric.
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
        """Write the table as CSV, atomically, with all digits; ``InputError`` where that fails."""
        write_frame(self.table, "csv", expanded(path))

    @property
    def insufficient(self) -> bool:
        """Whether the evidence cannot tell; not to be read as "no rewiring"."""
        return self.summary["evidence"] == "insufficient"

    @property
    def signed(self) -> bool:
        """Whether a change has a sign."""
        return self.asks.signed(self.scope)
