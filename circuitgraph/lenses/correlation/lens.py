"""The correlation lens as diffs know it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

from circuitgraph.lenses.base import Lens
from circuitgraph.stats.evidence import CORRELATION_MARGIN, THRESHOLDS


@dataclass(frozen=True)
class Correlation(Lens):
    """Do two components still vary together across prompts of the same scenario?

    Attributes
    ----------
    rank : bool
        Correlate normal scores of ranks instead of activities.
    """

    name: ClassVar[str] = "correlation"
    run_kind: ClassVar[str] = "correlation"
    directed: ClassVar[bool] = False
    evidence: ClassVar[tuple[int, int]] = THRESHOLDS["correlation"]
    margin: ClassVar[float] = CORRELATION_MARGIN

    rank: bool = False

    @property
    def key(self) -> tuple[Any, ...]:
        """Its options as they enter the id of a diff, in the order ids were first made of."""
        return ("share", self.rank)
