"""How alike the two sides of a diff are: the same model, or similar weights.

An update that was rounded away in merging leaves two models without the trained difference;
thresholds without a test report rewiring between them all the same.
"""

from __future__ import annotations

import base64
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from circuitgraph.base.errors import short
from circuitgraph.diff.outcome import Outcome
from circuitgraph.lenses.base import Lens
from circuitgraph.lenses.match import Matched
from circuitgraph.runs.artefacts import get
from circuitgraph.runs.record import WEIGHTS, Run

ALIKE = 0.9
"""Share of equal values, or of equal codes, from which a changed tensor holds next to nothing."""
NOTABLE = 0.05
"""Share of a table's values that are equal bit for bit from which it is told."""


@dataclass(frozen=True)
class Likeness:
    """Tensors and sampled values of two models that are equal.

    Attributes
    ----------
    tensors, same : int
        Tensors of both, and those equal bit for bit.
    codes : int
        Of the others, those with equal 4-bit codes: only scales of blocks differ.
    sampled, equal : int
        Values sampled of the others, and those equal.
    """

    tensors: int
    same: int
    codes: int
    sampled: int
    equal: int

    @property
    def share(self) -> float:
        """Share of equal values in the tensors that differ; 0 where there are none."""
        return self.equal / self.sampled if self.sampled else 0.0

    @property
    def lost(self) -> bool:
        """Whether the difference looks like an update that was rounded away."""
        others = self.tensors - self.same
        return others > 0 and (self.codes >= ALIKE * others or self.share >= ALIKE)


def likeness(a: Run, b: Run) -> Likeness | None:
    """Similarity of the weights behind two runs; None where a run holds no sample."""
    first, second = (get(run.beside(WEIGHTS), dict, "ingest again") for run in (a, b))
    if not first or not second or first["tensors"].keys() != second["tensors"].keys():
        return None
    pairs = [(first["tensors"][name], second["tensors"][name]) for name in first["tensors"]]
    differ = np.array([x[0] != y[0] for x, y in pairs])
    codes = sum(x[0] != y[0] and x[1] == y[1] != "" for x, y in pairs)
    samples = [
        np.frombuffer(base64.b64decode(side["sample"]), "<f4").reshape(len(pairs), -1)[differ]
        for side in (first, second)
    ]
    equal = int((samples[0] == samples[1]).sum())
    return Likeness(len(pairs), int((~differ).sum()), codes, samples[0].size, equal)


def likeness_in_words(matched: Matched) -> Iterator[str]:
    """Remarks on two variants with nearly equal weights, or values."""
    if len(matched.runs) != 2:
        return
    [a], [b] = matched.runs_a, matched.runs_b
    if a.method.granularity == "table":
        yield from _equal_values(matched)
        return
    found = likeness(a, b)
    if found is None or found.same == found.tensors:
        return
    line = f"{found.same} of {found.tensors} weight tensors are bit-identical"
    if found.codes:
        line += f"; {found.codes} more differ in nothing but the scales of their 4-bit blocks"
    if found.share >= NOTABLE:
        line += f"; of those that differ {found.share:.0%} of the values are bit-identical"
    if found.lost:
        hint = f" (circuitgraph check {short(a.variant.base, 200)} {short(b.variant.base, 200)})"
        yield (
            f"warning: {line}: an update that was rounded away in merging looks like this; what is "
            f"left of it is no fine-tune{'' if a.variant.base == b.variant.base else hint}"
        )
    elif found.same or found.codes or found.share >= NOTABLE:
        yield line


def _equal_values(matched: Matched) -> Iterator[str]:
    a, b = matched.a[0], matched.b[0]
    equal = int((a == b).sum())
    if a.size and NOTABLE * a.size <= equal < a.size:
        yield (
            f"warning: {equal} of {a.size} values ({equal / a.size:.0%}) are bit-identical in both "
            "tables: two models that were trained apart share hardly any, so see that an update "
            "was not rounded away in merging"
        )


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
