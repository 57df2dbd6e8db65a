"""Why a claim changed, in a sentence."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pandas as pd

_SHARES = {
    "signal": "are due to the signal that enters",
    "edge": "to the edge itself",
    "downstream": "to what follows it",
}


def mechanism_in_words(row: Mapping[str, Any], extra: Any, *, normed: bool) -> list[str]:
    """Why a claim changed, in one line; none where a row has no mechanism.

    Parameters
    ----------
    row, extra : mapping
        Of a diff's table and of its details.
    normed : bool
        Whether effects are shares, so that a change of their norm (gain) adds to the change.
    """
    if not row["mechanism"]:
        return []
    line = f"Mechanism: {row['mechanism']}."
    if pd.isna(extra.get("signal")):
        return [
            f"{line} An effect can change because the signal that enters, the edge itself, or "
            "what reads its result changed."
        ]
    same = extra["same"].split(", ")
    each = [
        f"{extra[name]:+.3f} {words}{' (bit for bit the same)' if name in same else ''}"
        for name, words in _SHARES.items()
    ]
    total = sum(extra[name] for name in _SHARES)
    line = f"{line} Of the change of {total:+.3f} in the decision's units, {', '.join(each)}."
    if normed:
        line += (
            f" The change of the norm of all edge effects (gain) makes {extra['gain']:+.3f} of the "
            f"{row['delta']:+.3f} by which the share changed."
        )
    return [line]
