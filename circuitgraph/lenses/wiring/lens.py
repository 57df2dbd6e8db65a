"""The wiring lens as diffs know it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

from circuitgraph.base.errors import UsageError
from circuitgraph.lenses.base import Lens, require_choice
from circuitgraph.stats.evidence import THRESHOLDS

FORMS = ("weights", "functional")


@dataclass(frozen=True)
class Wiring(Lens):
    """Does a receiver still read the same when its sender writes the same?

    Attributes
    ----------
    form : {"weights", "functional"}
        Channels by their weights, on signals that both models share, or by what their
        receivers put out.
    shared_basis : bool
        The user's word that the weights of both models share a basis; by weights only.
    """

    name: ClassVar[str] = "wiring"
    needs_models: ClassVar[bool] = True
    evidence: ClassVar[tuple[int, int]] = THRESHOLDS["wiring"]
    margin: ClassVar[float] = 0.02
    max_margin: ClassVar[float] = 1.0

    form: str = "weights"
    shared_basis: bool = False

    def __post_init__(self) -> None:
        require_choice("form", self.form, FORMS)
        if self.shared_basis and self.form != "weights":
            raise UsageError("shared_basis: applies to wiring by weights only; leave it out")

    @property
    def key(self) -> tuple[Any, ...]:
        """Its options as they enter the id of a diff, in the order ids were first made of."""
        return ("share", self.form, self.shared_basis, False)

    def signed(self, scope: str) -> bool:
        """Two models' channels have no sign between them; groups differ by more or by less."""
        return scope == "recipe"
