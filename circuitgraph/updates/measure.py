"""Size, rank and survival of an update by tensor."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

import torch
from torch import Tensor

from circuitgraph.models.basis import ALIKE
from circuitgraph.updates.changes import Change
from circuitgraph.updates.merged import Stored, stored
from circuitgraph.updates.record import Touched
from circuitgraph.updates.spectrum import Spectrum, effective_rank
from circuitgraph.updates.survival import Left, left_of, survival

FLOAT32 = "fp32"


@dataclass
class Sums:
    """Sums over all tensors of an update.

    Attributes
    ----------
    touched : list of Touched
        Tensors that differ.
    spectra : dict
        Spectrum of each, by name.
    left : dict
        By format, over all tensors.
    update, weight : float
        ‖ΔW‖² and ‖W‖² over the tensors touched.
    stored : dict
        How each tensor of a whole model is stored, by name.
    cosines : list of float
        Between the matrices of a whole model and its base.
    """

    touched: list[Touched] = field(default_factory=list)
    spectra: dict[str, Spectrum] = field(default_factory=dict)
    left: dict[str, Left] = field(default_factory=dict)
    update: float = 0.0
    weight: float = 0.0
    stored: dict[str, Stored] = field(default_factory=dict)
    cosines: list[float] = field(default_factory=list)

    @property
    def change(self) -> float:
        """‖ΔW‖ / ‖W‖ over the tensors touched."""
        return (self.update / self.weight) ** 0.5 if self.weight else 0.0

    @property
    def foreign(self) -> bool:
        """Whether the median matrix is dissimilar to the base's."""
        return bool(self.cosines) and float(torch.tensor(self.cosines).median()) < ALIKE

    def note(self, change: Change, left: Mapping[str, Left], moved: int) -> None:
        """Add a tensor that the update touches."""
        shape = Spectrum.of(change.meant)
        self.spectra[change.name] = shape
        size, weight = _squared(change.meant), _squared(change.before)
        self.update, self.weight = self.update + size, self.weight + weight
        for name, own in left.items():
            self.left[name] = self.left.get(name, Left()) + own
        self.touched.append(
            Touched(
                tensor=change.name,
                module=change.module,
                layer=change.layer,
                values=change.before.numel(),
                moved=moved,
                update=size**0.5,
                weight=weight**0.5,
                rank=effective_rank(shape.values),
                left={name: own.share for name, own in left.items()},
                error={name: own.error for name, own in left.items()},
            )
        )


@torch.no_grad()
def of_adapter(changes: Iterable[Change]) -> Sums:
    """Measure an adapter's update, and what is left of it in each format."""
    sums = Sums()
    for change in changes:
        if not bool(change.meant.any()):
            continue
        kept = left_of(change.meant, change.after.double() - change.before.double())
        moved = int((change.after != change.before).sum())
        sums.note(change, {FLOAT32: kept, **survival(change)}, moved)
    return sums


@torch.no_grad()
def of_model(changes: Iterable[Change], meant: Mapping[str, Tensor], seed: int = 0) -> Sums:
    """Measure the difference of a whole model from its base.

    Parameters
    ----------
    changes
        Every tensor of both.
    meant
        ΔW of the adapter that was merged, by tensor, where it is at hand.
    seed : int
        Of the updates drawn to estimate what is left; see ``merged``.
    """
    sums, generator = Sums(), torch.Generator().manual_seed(seed)
    for change in changes:
        found = stored(change, generator)
        sums.stored[change.name] = found
        if change.before.dim() > 1:
            sums.cosines.append(cosine(change.before, change.after) if found.moved else 1.0)
        left: dict[str, Left] = {}
        if change.name in meant:
            left["adapter"] = left_of(meant[change.name], change.meant)
        if found.estimate is not None:
            left["estimate"] = found.estimate
        if found.moved or left:
            sums.note(change, left, found.moved)
    return sums


def _squared(tensor: Tensor) -> float:
    return float(torch.linalg.vector_norm(tensor, dtype=torch.float64)) ** 2


def cosine(a: Tensor, b: Tensor) -> float:
    """Cosine of two tensors as vectors."""
    sizes = (_squared(a) * _squared(b)) ** 0.5
    return float((a.double() * b.double()).sum()) / max(sizes, 1e-300)
