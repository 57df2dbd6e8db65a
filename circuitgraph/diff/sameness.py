"""Whether both sides of a diff are one and the same model, by weights or by what was measured."""

from __future__ import annotations

import numpy as np

from circuitgraph.diff.outcome import Outcome
from circuitgraph.lenses.match import Matched

ROUNDING = 1e-4
"""Share of the largest number by which the same weights may differ on other devices."""

_MEASURED = {"correlation": "all activities are identical", "effect": "all effects are identical"}


def same_weights(matched: Matched) -> bool:
    """Whether all variants compared have equal merged weights (in tables: equal values)."""
    prints = {run.variant.fingerprint for run in matched.runs}
    return len(prints) == 1 and "" not in prints


def identical(outcome: Outcome, lens: str) -> str:
    """What is identical, in words; "" where something differs.

    Equal weights whose numbers differ by more than rounding were asked different things:
    nothing is called identical then.
    """
    matched = outcome.matched
    if same_weights(matched):
        what = "values" if matched.runs[0].method.granularity == "table" else "merged weights"
        alike = _unchanged(outcome) if lens == "wiring" else _equal(matched, ROUNDING)
        return f"the variants are identical: same {what}" if alike else ""
    if lens == "wiring":
        return "all channels are identical" if _unchanged(outcome) else ""
    return _MEASURED[lens] if _equal(matched, 0.0) else ""


def _equal(matched: Matched, share: float) -> bool:
    """Whether all runs hold the same numbers, up to a share of the largest."""
    first, *others = (*matched.a, *matched.b)
    reach = share * float(np.max(np.abs(first[np.isfinite(first)]), initial=0.0))
    return bool(first.size) and all(
        np.allclose(first, other, rtol=0.0, atol=reach, equal_nan=True) for other in others
    )


def _unchanged(outcome: Outcome) -> bool:
    """Norms of a channel can agree while it turned round: its change is what counts."""
    delta = outcome.tests.delta[outcome.tests.reason == 0]
    return bool(len(delta)) and not delta.any()
