"""The graph to export, from runs or a diff, for every format; all of it or its strongest edges."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal

import numpy as np
import pandas as pd

from circuitgraph.base.components import in_order, parse
from circuitgraph.base.errors import UsageError, quoted
from circuitgraph.base.foreign import hook_name
from circuitgraph.export.drawing import positions
from circuitgraph.graph.convert import edge_kinds, endpoints, is_directed, node_table
from circuitgraph.runs.record import Run
from circuitgraph.runs.summaries import EDGE_UNITS, edge_table

if TYPE_CHECKING:
    from circuitgraph.diff.record import Diff


Rows = Literal["claims", "testable", "all"]
RESERVED = ("source", "target", "relation", "weight", "signed", "sign", "unit")


@dataclass(frozen=True)
class ExportGraph:
    """A graph to export.

    Attributes
    ----------
    name
        Of the variant or of the diff.
    directed
        True as soon as one edge is an effect: Gephi drops one of a directed and an
        undirected edge between the same nodes, so correlations are then written from
        the earlier component to the later.
    nodes
        ``name``, ``kind``, ``layer``, ``head``, ``hook`` (where TransformerLens reads what it
        writes), ``x``, ``y``.
    edges
        ``source``, ``target``; ``relation`` (what tells parallel edges apart, the
        ``kind`` of GEXF); ``weight`` = size of the signed value, above 0; ``signed``;
        ``sign`` (1 or -1); ``unit`` (of ``signed``, where known); then every other column
        of the table.
    dropped
        Edges left out because their value is 0 or undefined: Gephi cannot import a
        weight of 0.
    blocks
        Of a diff, components whose claimed edges change together, the strongest block first;
        a component stands in the first that it belongs to.
    """

    name: str
    directed: bool
    nodes: pd.DataFrame
    edges: pd.DataFrame
    dropped: int
    blocks: tuple[tuple[str, tuple[str, ...]], ...] = ()

    @classmethod
    def from_runs(cls, runs: Sequence[Run]) -> ExportGraph:
        """The graph of one variant: the edges of its correlation and effect runs.

        Raises
        ------
        UsageError
            No run, or runs of several variants: each is a file of its own.
        InputError
            Two runs hold the same edge measured the same way.
        """
        names = list(dict.fromkeys(run.variant.name for run in runs))
        if len(names) != 1:
            raise UsageError(
                f"one file holds one variant, not {len(names)} ({', '.join(names[:3])}); "
                "export them one by one, or export a diff"
            )
        nodes = [name for run in runs for name in run.components]
        table = pd.concat([edge_table(run) for run in runs], ignore_index=True)
        unit = table["kind"].map(EDGE_UNITS)
        return cls.from_table(names[0], table, "weight", nodes, unit)

    @classmethod
    def from_diff(cls, diff: Diff, rows: Rows = "claims") -> ExportGraph:
        """The graph of a diff: one edge per row, of weight |delta|, with its verdict.

        Parameters
        ----------
        diff
            Any lens.
        rows
            ``claims`` (default), ``testable`` (all but ``not_testable``) or ``all``.
            All components are nodes in every case.
        """
        table = {
            "claims": diff.claims,
            "testable": diff.table[diff.table["verdict"].astype(object) != "not_testable"],
            "all": diff.table,
        }[rows]
        unit = diff.summary["units"]["delta"]
        found = cls.from_table(diff.name, table, "delta", endpoints(diff.table), unit)
        return replace(found, blocks=_blocks(diff))

    @classmethod
    def from_table(
        cls,
        name: str,
        table: pd.DataFrame,
        value: str,
        nodes: Iterable[str] = (),
        unit: str | pd.Series = "",
    ) -> ExportGraph:
        """A graph from any table of edges.

        Parameters
        ----------
        name
            Title of the graph.
        table
            ``source``, ``target``, ``kind`` (or the columns of a diff), ``value`` and
            any other columns.
        value
            The signed column that becomes the weight.
        nodes
            Components to show even without edges.
        unit
            What the value is measured in, for all edges or one by one.

        Raises
        ------
        InputError
            The same edge twice.
        """
        names = in_order({*nodes, *endpoints(table)})
        places = np.array(positions(names), dtype=float).reshape(-1, 2)
        hooks = pd.Series([hook_name(parse(name)) for name in names], dtype=object)
        shown = node_table(names).assign(hook=hooks, x=places[:, 0], y=places[:, 1])
        signed = table[value].to_numpy(dtype=float)
        kept = np.isfinite(signed) & (signed != 0)
        edges = _edges(table, edge_kinds(table), value, unit)
        dropped = int((~kept).sum())
        return cls(name, is_directed(table), shown, edges[kept].reset_index(drop=True), dropped)

    @property
    def description(self) -> str:
        """One line for readers of the file."""
        left_out = f"; {self.dropped} edges of value 0 or undefined left out"
        return (
            f"{self.name}: {len(self.nodes)} components, {len(self.edges)} edges; "
            f"weight is the size of the signed value{left_out if self.dropped else ''}"
        )


def _blocks(diff: Diff) -> tuple[tuple[str, tuple[str, ...]], ...]:
    """Blocks of two claims or more, by their components."""
    if "block" not in diff.details:
        return ()
    taken: set[str] = set()
    found = []
    block = diff.details["block"].to_numpy(dtype=int)
    for number in range(int(block.max(initial=-1)) + 1):
        claims = diff.table.loc[diff.details.index[block == number]]
        names = [name for name in in_order({*endpoints(claims)}) if name not in taken]
        if len(claims) > 1 and len(names) > 1:
            taken.update(names)
            found.append((f"block {number}: {len(claims)} claims", tuple(names)))
    return tuple(found)


def _edges(
    table: pd.DataFrame, kinds: list[str], value: str, unit: str | pd.Series
) -> pd.DataFrame:
    signed = table[value].to_numpy(dtype=float)
    shown = pd.DataFrame(
        {
            "source": table["source"].astype(object).reset_index(drop=True),
            "target": table["target"].astype(object).reset_index(drop=True),
            "relation": pd.Series(kinds, dtype=object),
            "weight": np.abs(signed),
            "signed": signed,
            "sign": np.where(signed < 0, -1, 1),
        }
    )
    if not isinstance(unit, str):
        shown["unit"] = unit.to_numpy(dtype=object)
    elif unit:
        shown["unit"] = unit
    rest = table.drop(columns=["source", "target"] + ["weight"] * (value == "weight"))
    clash = [name for name in rest.columns if name in RESERVED]
    rest = rest.rename(columns={name: f"{name}_" for name in clash})
    return pd.concat([shown, rest.reset_index(drop=True)], axis=1)


def strongest(
    graph: ExportGraph, *, kind: str | None = None, top: int | None = None, least: float = 0.0
) -> ExportGraph:
    """The graph with some of its edges; all components stay.

    Parameters
    ----------
    graph : ExportGraph
    kind : str, optional
        Kind of edges of a variant: ``correlation`` or ``effect``.
    top : int, optional
        So many of the largest size.
    least : float
        Smallest size, in the unit of the edges.

    Raises
    ------
    UsageError
        The graph has no edges of that kind.
    """
    edges = graph.edges
    if kind is not None:
        if "kind" not in edges or kind not in set(edges["kind"]):
            raise UsageError(f"``kind``: {quoted(graph.name, 80)} has no edges of kind {kind}")
        edges = edges[edges["kind"] == kind]
    edges = edges[edges["weight"] >= least]
    if top is not None:
        order = edges["weight"].sort_values(ascending=False, kind="stable").index[:top]
        edges = edges.loc[sorted(order)]
    return replace(graph, edges=edges.reset_index(drop=True))
