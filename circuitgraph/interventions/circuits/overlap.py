"""The circuits of two effect runs beside each other: one model on two prompt sets, or two models.

A circuit is the run's strongest edges by mean aligned effect, as in ``faithfulness``.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from circuitgraph.base.errors import UsageError, quoted
from circuitgraph.interventions.circuits.ranking import edge_counts, top_edges
from circuitgraph.runs.catalogue import RunCatalogue
from circuitgraph.runs.comparable import incomparable
from circuitgraph.runs.record import Run
from circuitgraph.runs.summaries import edge_table
from circuitgraph.stats.overlap import overlap

SHARED_SIZES = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05)
"""Shares of all edges at which circuits are laid on each other."""
COLUMNS = (
    *("share", "edges", "shared", "expected", "p", "expected_within", "p_within"),
    *("run_a", "run_b"),
)


def overlaps(
    catalogue: RunCatalogue,
    a: str,
    b: str | None,
    run: str | None,
    sizes: Sequence[float] = SHARED_SIZES,
) -> pd.DataFrame:
    """One row a size, columns ``COLUMNS``; see ``stats.overlap.Overlap``.

    Parameters
    ----------
    catalogue : RunCatalogue
    a, b : str
        Variants; without ``b`` the newest run of ``a`` and the newest on other prompts.
    run : str, optional
        ``A_ID:B_ID`` instead of the newest ones.
    sizes : sequence of float
        Shares of all edges, each above 0 and at most 1.

    Raises
    ------
    UsageError
        Unknown names, no second run, or runs of different edges.
    """
    if run is not None:
        [first], [second] = catalogue.chosen(run, a, b or a)
    else:
        first = catalogue.one(a, "effect")
        second = catalogue.one(b, "effect") if b else _other_prompts(catalogue, first)
    _require_same_edges(first, second)
    counts = edge_counts(sizes, len(first.edges))
    tops = [_strongest(each, counts) for each in (first, second)]
    names = [(edge.target, edge.input) for edge in first.edges]
    known = {name: i for i, name in enumerate(dict.fromkeys(names))}
    groups = [known[name] for name in names]
    rows = []
    for share, count, one, other in zip(sizes, counts, *tops, strict=True):
        found = overlap(one, other, groups)
        rows.append({"share": share, "edges": int(count), **vars(found)})
    table = pd.DataFrame(rows).assign(run_a=first.id, run_b=second.id)
    return table[list(COLUMNS)]


def _strongest(run: Run, counts: np.ndarray) -> np.ndarray:
    """The circuits of every size, bool [sizes × edges]."""
    effects = edge_table(run, confirmed=False)["weight"].to_numpy(float)
    return top_edges(np.abs(effects), counts)


def _other_prompts(catalogue: RunCatalogue, run: Run) -> Run:
    name = run.variant.name
    others = [
        each
        for each in catalogue.of(name, "effect")
        if each.prompts_fingerprint != run.prompts_fingerprint and each.edges == run.edges
    ]
    if not others:
        raise UsageError(
            f"variant {quoted(name)} has effects on one prompt set only; ingest it on another, or "
            "name a second variant"
        )
    return others[-1]


def _require_same_edges(a: Run, b: Run) -> None:
    for run in (a, b):
        if run.kind != "effect":
            raise UsageError(f"run {run.id[:12]} holds no effects; circuits are made of effects")
    if a.edges != b.edges:
        raise incomparable(a.variant, b.variant, "their runs hold different edges")
    if a.id == b.id:
        raise UsageError("a run shares all edges with itself; name two")
