"""Means of what interventions do, tested against nothing: asymmetries and non-additivity."""

from __future__ import annotations

import numpy as np
import pandas as pd

from circuitgraph.stats.margins import adjusted, half_width, treat_p
from circuitgraph.stats.scenarios import balanced_mean, balanced_variance, chunks

ASYMMETRY = tuple(f"asymmetry{end}" for end in ("", "_low", "_high", "_p", "_q"))
"""Columns that say whether an intervention does the same in both directions."""


def tested(values: np.ndarray, scenarios: np.ndarray, rounding: float, name: str) -> pd.DataFrame:
    """Mean over scenarios of what each intervention does prompt by prompt, against 0.

    Parameters
    ----------
    values : float [k × n]
        A row an intervention.
    scenarios : int [n]
        Codes 0 … S−1.
    rounding
        Means of at most this size are rounding and count as 0.
    name
        Of the mean; the other columns are ``name_low``, ``name_high`` (95%, t on n − S),
        ``name_p`` (two-sided) and ``name_q`` (Benjamini-Hochberg over the rows).
    """
    values = np.asarray(values, np.float64)
    mean, error = np.empty(len(values)), np.empty(len(values))
    for some in chunks(len(values)):
        mean[some] = balanced_mean(values[some].T, scenarios)
        error[some] = np.sqrt(balanced_variance(values[some].T, scenarios))
    quiet = np.abs(mean) <= rounding
    mean[quiet], error[quiet & (error <= rounding)] = 0.0, 0.0
    df = len(scenarios) - int(scenarios.max()) - 1
    p, half = treat_p(mean, error, df), half_width(error, max(df, 1))
    columns = {"": mean, "_low": mean - half, "_high": mean + half, "_p": p, "_q": adjusted(p)}
    return pd.DataFrame({f"{name}{end}": column for end, column in columns.items()})


def asymmetry(
    there: np.ndarray, back: np.ndarray, scenarios: np.ndarray, rounding: float
) -> pd.DataFrame:
    """What an intervention does one way minus what it does the other way.

    0 where parts of A move B as far toward A as those of B move A toward B. Where both ways move
    the decision the same way, whatever their source, the asymmetry is the sum of both effects.

    Parameters
    ----------
    there, back : float [k × n]
        Changes of the decision toward the source's.
    scenarios : int [n]
    rounding
        See :func:`tested`.

    Returns
    -------
    DataFrame
        Columns ``ASYMMETRY``.
    """
    return tested(np.asarray(there, np.float64) - back, scenarios, rounding, "asymmetry")


def interventions(changes: list[np.ndarray]) -> dict[str, int]:
    """How many single interventions were tried, and how many were distinct and any at all.

    What puts in what stands there already changes nothing, to the bit, and a set whose parts but
    one are such copies does to the bit what that one does: neither is counted again.

    Parameters
    ----------
    changes
        Of each way, changes of the decision [sets × n].
    """
    distinct = 0
    for found in changes:
        rows = {row.tobytes(): row for row in np.ascontiguousarray(found)}
        distinct += sum(int(np.count_nonzero(row)) for row in rows.values())
    return {"tried": int(sum(found.size for found in changes)), "interventions": distinct}
