"""Whether both sides of a diff are the same model, by weights or by measurements."""

from __future__ import annotations

from circuitgraph.diff.outcome import Outcome
from circuitgraph.lenses.base import Lens
from circuitgraph.lenses.match import Matched

ROUNDING = 1e-4
"""Share of the largest number by which the same weights may differ on other devices."""


def same_weights(matched: Matched) -> bool:
    """Whether all variants compared have equal merged weights (in tables: equal values)."""
    prints = {run.variant.fingerprint for run in matched.runs}
    return len(prints) == 1 and "" not in prints


def identical(outcome: Outcome, lens: Lens) -> str:
    """What is identical, in words; "" where something differs.

    Equal weights whose numbers differ by more than rounding had different inputs, and are not
    called identical.
    """
    matched = outcome.matched
    if same_weights(matched):
        what = "values" if matched.runs[0].method.granularity == "table" else "merged weights"
        alike = lens.alike(matched, outcome.tests, ROUNDING)
        return f"the variants are identical: same {what}" if alike else ""
    return lens.same_in_words() if lens.alike(matched, outcome.tests, 0.0) else ""
