"""Signs of effects from each scenario's total, where prompts have no direction."""

from __future__ import annotations

import numpy as np

from circuitgraph.lenses.match import Matched
from circuitgraph.runs.signs import Rows, conditions_of, notes


def totals_remarks(matched: Matched) -> tuple[list[str], bool]:
    """Remarks on the totals that give the signs, and whether effects cancel there."""
    if any(run.imported for run in matched.runs):
        return [], False
    run = next((r for r in matched.runs if not r.variant.adapter), matched.runs[0])
    totals = run.totals if run.signs is None else np.array(run.signs.totals)
    rows = Rows.of_run(run)
    others = [rows.turned(other.totals) for other in matched.runs]
    return notes(*conditions_of(run), rows.turned(totals), others)
