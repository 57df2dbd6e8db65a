"""How much evidence is too little: one threshold a name, for prompt files and diffs alike."""

from __future__ import annotations

THRESHOLDS = {"correlation": (20, 50), "effect": (5, 20), "wiring": (5, 20)}
"""n_effective below which evidence is insufficient, and below which it is low."""
CORRELATION_MARGIN = 0.1
"""Change of a correlation that counts as none, unless another is asked for."""
MOVES = 0.1
"""Change of the decision, in nats, below which corruption does nothing worth patching."""
LITTLE_MASS = 0.5
"""Probability of both answers together below which a model mostly says something else."""


def evidence(lens: str, n_effective: int) -> str:
    """``insufficient`` (cannot tell), ``low`` or ``ok``, by prompts beyond scenarios."""
    insufficient, low = THRESHOLDS[lens]
    return "insufficient" if n_effective < insufficient else "low" if n_effective < low else "ok"
