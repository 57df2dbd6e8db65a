"""The effect lens as diffs know it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

from circuitgraph.lenses.base import Lens, require_choice
from circuitgraph.stats.evidence import THRESHOLDS

SCALES = ("share", "logit")


@dataclass(frozen=True)
class Effect(Lens):
    """Does patching an edge move the decision as much as it did?

    Attributes
    ----------
    scale : {"share", "logit"}
        Effects as shares of the norm of all the variant's edge effects (blind to gain), or in
        the decision's units.
    """

    name: ClassVar[str] = "effect"
    run_kind: ClassVar[str] = "effect"
    evidence: ClassVar[tuple[int, int]] = THRESHOLDS["effect"]
    margin: ClassVar[float] = 0.01

    scale: str = "share"

    def __post_init__(self) -> None:
        require_choice("scale", self.scale, SCALES)

    @property
    def key(self) -> tuple[Any, ...]:
        """Its options as they enter the id of a diff, in the order ids were first made of."""
        return (self.scale, False)
