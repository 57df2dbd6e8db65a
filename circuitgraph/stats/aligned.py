"""Effects made comparable: signs that do not cancel, sizes that ignore mere gain."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from circuitgraph.runs import Run
from circuitgraph.stats.scenarios import chunks


def directions(runs: Sequence[Run]) -> tuple[np.ndarray, str]:
    """+1 where corrupting a prompt should raise the decision, −1 where it should lower it.

    The prompt's own ``direction`` where it has one; elsewhere the sign of the total
    effect of its scenario, summed over the runs compared, so that both sides of a
    comparison use the same signs.

    Parameters
    ----------
    runs : effect runs on the same prompts

    Returns
    -------
    signs : float64 [n]
    origin : ``given``, or ``from totals`` when any prompt had none.
    """
    prompts, codes = runs[0].prompts, runs[0].scenarios
    given = np.array([p.direction or 0 for p in prompts], np.float64)
    if given.all():
        return np.sign(given), "given"
    totals = np.sum([np.asarray(run.totals, np.float64) for run in runs], axis=0)
    by_scenario = np.bincount(codes, weights=totals)
    derived = np.where(by_scenario < 0, -1.0, 1.0)[codes]
    return np.where(given != 0, np.sign(given), derived), "from totals"


def overall_norm(effects: np.ndarray) -> float:
    """Mean over prompts of the L2 norm of all edge effects: a variant's gain.

    Edges that are not finite for some prompt are left out. NaN when all effects are 0.
    """
    squares = np.zeros(len(effects))
    for part in chunks(effects.shape[1]):
        values = np.asarray(effects[:, part], np.float64)
        values = values[:, np.isfinite(values).all(0)]
        squares += np.einsum("ij,ij->i", values, values)
    norm = float(np.sqrt(squares).mean())
    return norm if norm > 0 else float("nan")
