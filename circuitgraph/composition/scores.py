"""Composition scores by name, measured once a variant and kept beside a run."""

from __future__ import annotations

import pandas as pd

from circuitgraph.base.progress import Reporter
from circuitgraph.composition.kept import has_composition, keep_composition, read_composition
from circuitgraph.runs.catalogue import RunCatalogue
from circuitgraph.runs.record import Run


def composition(
    catalogue: RunCatalogue, name: str, other: str | None, *, shared_basis: bool, reporter: Reporter
) -> pd.DataFrame:
    """Scores of a variant, or of two with the relative change of their virtual weights.

    Kept beside the newest run of each variant that has heads.
    """
    first = _keeper(catalogue, name)
    if other is None:
        if has_composition(first):
            return read_composition(first)
        from circuitgraph.composition.measure import compose

        table = compose(first, reporter)
        keep_composition(first, table)
        return table
    second = _keeper(catalogue, other)
    from circuitgraph.composition.measure import compose_pair

    table = compose_pair(first, second, shared_basis, reporter)
    for run, side in ((first, "a"), (second, "b")):
        keep_composition(run, table.rename(columns={f"weight_{side}": "weight"}))
    return table


def _keeper(catalogue: RunCatalogue, name: str) -> Run:
    """The run that keeps the scores, else the newest that could."""
    from circuitgraph.composition.measure import require_composable

    runs = catalogue.of(name)
    kept = [run for run in runs if has_composition(run)]
    able = [run for run in runs if run.method.granularity == "head"]
    run = (kept or able or runs)[-1]
    require_composable(run)
    return run
