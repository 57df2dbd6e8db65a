"""Survival of an update after rounding to formats of few bits.

The base is first put on the format's grid, as it would be stored, then the update is added and
the sum is put on the grid again: ΔW_left = R(R(W) + ΔW) − R(W). Of an update far below half a
step nearly nothing is left, although every number of the adapter was right.
"""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from circuitgraph.updates.changes import Change
from circuitgraph.updates.rounding import BLOCKS, FORMATS, rounded

ENDS = ("embed_tokens", "lm_head", "wte", "wpe", "embed_in", "embed_out")
"""Modules that quantisation leaves in 16 bits."""


@dataclass(frozen=True)
class Left:
    """Survival of an update, as additive sums over tensors.

    Attributes
    ----------
    along : float
        ⟨ΔW_left, ΔW⟩.
    apart : float
        ‖ΔW_left − ΔW‖².
    meant : float
        ‖ΔW‖².
    """

    along: float = 0.0
    apart: float = 0.0
    meant: float = 0.0

    def __add__(self, other: Left) -> Left:
        """Sum over tensors."""
        return Left(self.along + other.along, self.apart + other.apart, self.meant + other.meant)

    @property
    def share(self) -> float:
        """⟨ΔW_left, ΔW⟩ / ‖ΔW‖²: 1 where all is left, 0 where nothing is; NaN of no update."""
        return self.along / self.meant if self.meant else float("nan")

    @property
    def error(self) -> float:
        """‖ΔW_left − ΔW‖ / ‖ΔW‖: 0 where all is left and nothing came with it."""
        return (self.apart / self.meant) ** 0.5 if self.meant else float("nan")


def left_of(meant: Tensor, left: Tensor) -> Left:
    """The sums of one tensor."""
    meant, left = meant.double(), left.double()
    return Left(
        float((left * meant).sum()),
        float((left - meant).pow(2).sum()),
        float(meant.pow(2).sum()),
    )


def survival(change: Change) -> dict[str, Left]:
    """Survival of one tensor's update in each format.

    Vectors and embeddings are kept in bfloat16 where matrices are put into 4 bits.
    """
    found: dict[str, Left] = {}
    for name in FORMATS:
        kind = name if name not in BLOCKS or _is_quantised(change) else "bf16"
        start = rounded(change.before, kind)
        end = rounded((start.double() + change.meant).float(), kind)
        found[name] = left_of(change.meant, end.double() - start.double())
    return found


def _is_quantised(change: Change) -> bool:
    return change.before.dim() == 2 and change.module not in ENDS
