"""Greedy search for the smallest sufficient set of components."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import pandas as pd

from circuitgraph.interventions.patching.gap import Gap
from circuitgraph.interventions.patching.record import By

MAX_SIZE = 10
"""Largest number of components in a set."""


def greedy_sets(
    changes: Callable[[np.ndarray], np.ndarray],
    gap: Gap,
    names: Sequence[str],
    enough: float,
    by: By = "share",
) -> pd.DataFrame:
    """Add the component that helps most, until the set does enough.

    No set of fewer components found this way does; another search might find one, for
    components that do nothing alone may do much together.

    Parameters
    ----------
    changes
        From sets [N, components] to changes of the decision [N, n].
    gap
        What there is to recover.
    names
        Of the components.
    enough
        Share to be reached.
    by
        ``share`` counts the share of the gap that is recovered; ``flips`` the share of the prompts
        decided differently whose decision flips to the source's, less those that flip away (ties:
        by ``share``).

    Returns
    -------
    One row a step: ``step``, ``component``, the measured columns of the whole set, ``by``,
    ``enough``, ``reached``. It ends with the first set that does enough, after ten steps, or where
    no component adds anything; empty where there is nothing to recover.
    """
    held = np.zeros(len(names), bool)
    rows: list[pd.DataFrame] = []
    reached = (0.0, 0.0)
    while _worth(gap, by) and len(rows) < min(MAX_SIZE, len(names)) and reached[0] < enough:
        free = np.flatnonzero(~held)
        tried = held | (np.arange(len(names)) == free[:, None])
        found = gap.measured(changes(tried))
        scores = _scores(found, gap, by)
        best = max(range(len(free)), key=scores.__getitem__)
        if scores[best] <= reached:
            break
        reached, held = scores[best], tried[best]
        row = found.iloc[[best]].assign(
            step=len(rows) + 1,
            component=names[free[best]],
            by=by,
            enough=enough,
            reached=reached[0] >= enough,
        )
        rows.append(row)
    return pd.concat(rows, ignore_index=True) if rows else pd.DataFrame()


def _worth(gap: Gap, by: By) -> bool:
    return bool(gap.disagree.any()) if by == "flips" else gap.size > 0


def _scores(found: pd.DataFrame, gap: Gap, by: By) -> list[tuple[float, float]]:
    share = found["share"].fillna(0.0)
    if by == "share":
        return list(zip(share, share, strict=True))
    net = (found["flips_to_source"] - found["flips_away"]) / gap.disagree.sum()
    return list(zip(net, share, strict=True))
