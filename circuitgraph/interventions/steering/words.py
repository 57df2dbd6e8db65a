"""Parse names of components and strengths."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from circuitgraph.base.errors import UsageError

MAX_STRENGTHS = 101


def names_in(at: str | Sequence[str]) -> list[str]:
    """Names of components from a text with commas or a list."""
    parts = at.split(",") if isinstance(at, str) else list(at)
    return list(dict.fromkeys(name.strip() for name in parts if name.strip()))


def strengths_in(given: str | float | Sequence[float]) -> list[float]:
    """Strengths from ``FROM:TO:N``, a number, or several.

    Raises
    ------
    UsageError
        A text that is neither, or too many.
    """
    if isinstance(given, int | float):
        return [float(given)]
    if not isinstance(given, str):
        return [float(x) for x in given]
    try:
        parts = [part.strip() for part in given.split(":")]
        if len(parts) == 1:
            return [float(parts[0])]
        low, high, count = float(parts[0]), float(parts[1]), int(parts[2])
        if not 2 <= count <= MAX_STRENGTHS or len(parts) != 3:
            raise ValueError
    except (ValueError, IndexError) as error:
        raise UsageError(
            f"``strength={given!r}``: write FROM:TO:N, such as -2:2:9, or one number"
        ) from error
    return [float(x) for x in np.linspace(low, high, count)]
