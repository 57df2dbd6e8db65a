"""One variant of a workspace: its runs, its edges, its graph."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pandas as pd

from circuitgraph.base.errors import short
from circuitgraph.runs.catalogue import RunCatalogue
from circuitgraph.runs.record import Run, Variant


@dataclass(frozen=True)
class VariantRuns:
    """What was measured of one variant.

    Attributes
    ----------
    variant : Variant
        As it was ingested last.
    runs : tuple of Run
        Oldest first.
    """

    variant: Variant
    runs: tuple[Run, ...]

    @classmethod
    def of(cls, catalogue: RunCatalogue, name: str) -> VariantRuns:
        """The runs of a name.

        Raises
        ------
        UsageError
            No such variant.
        """
        runs = catalogue.of(name)
        return cls(runs[-1].variant, tuple(runs))

    @property
    def name(self) -> str:
        """What it is called."""
        return self.variant.name

    @property
    def kinds(self) -> list[str]:
        """Kinds of edges that were measured, sorted."""
        return sorted({run.kind for run in self.runs})

    def newest(self, kind: str) -> Run:
        """The newest run of one kind of edges; ``UsageError`` where there is none."""
        return RunCatalogue(self.runs).of(self.name, kind)[-1]

    def edges(self, kind: str | None = None) -> pd.DataFrame:
        """The edges of its newest run of one kind; of both kinds where None."""
        from circuitgraph.runs.summaries import edge_table

        tables = [edge_table(self.newest(one)) for one in ([kind] if kind else self.kinds)]
        return tables[0] if len(tables) == 1 else pd.concat(tables, ignore_index=True)

    def graph(self, kind: str | None = None, library: str = "networkx") -> Any:
        """The same edges as a graph of ``networkx`` or ``igraph``, weights signed."""
        from circuitgraph.graph.convert import graph_of

        return graph_of(self.edges(kind), library)

    def __repr__(self) -> str:
        return f"VariantRuns({short(self.name)}, {len(self.runs)} runs: {', '.join(self.kinds)})"
