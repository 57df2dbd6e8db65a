"""Size, rank and survival of an update by tensor; of whole models, whether it was rounded away.

A weight kept in few bits moves only where the update passes half a step, so a merged model can
differ from its base in a few single steps and hold next to nothing of what was trained. What the
update was can still be seen where the format is fine: in bfloat16 and float16 at the smallest
weights, in blocks of 4 bits at the largest of each, which is kept as it is. Updates drawn from
what is seen there are added to the base in the same format again, and what is left of these says
how much was left of the first.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

import torch
from torch import Tensor

from circuitgraph.models.basis import ALIKE
from circuitgraph.models.weights import squared
from circuitgraph.updates.changes import Change
from circuitgraph.updates.record import Touched
from circuitgraph.updates.rounding import (
    BLOCKS,
    FORMATS,
    Format,
    Left,
    grid_of,
    in_blocks,
    left_of,
    nf4_codes,
    rounded,
    survival,
)
from circuitgraph.updates.spectrum import Spectrum, effective_rank

SMALLEST = 0.01
"""Share of the values of a matrix, those nearest to 0, whose steps are finest."""
FEWEST = 16
"""Places where an update must be visible before its size is estimated."""


@dataclass(frozen=True, eq=False)
class Stored:
    """How one tensor of a model is stored, beside its base.

    Attributes
    ----------
    before, after : str
        The grid of the base's and of the model's; see ``rounding.grid_of``.
    values, moved : int
        Its numbers, and those that differ from the base's.
    rounding, change : float
        ‖R(W) − W‖², what the base changes by when it is put on the model's grid, and ‖ΔW‖².
    beyond : int
        Those that differ from the base's once that is put on the model's grid.
    estimate : Left or None
        What is left of an update of the size that shows; None where no size shows.
    codes : int or None
        Where both lie on the grid of NF4, the values whose 4-bit code changed: all others moved
        with the scale of their block alone.
    """

    before: str
    after: str
    values: int
    moved: int
    beyond: int
    rounding: float
    change: float
    estimate: Left | None
    codes: int | None = None


def stored(change: Change, generator: torch.Generator) -> Stored:
    """How one tensor is stored; ``generator`` draws the updates."""
    before, after = change.before.float(), change.after.float()
    moved = int((before != after).sum())
    grid = grid_of(before)
    if not moved:
        return Stored(grid, grid, before.numel(), 0, 0, 0.0, 0.0, None)
    into = _format(after, before)
    start = before if into is None else rounded(before, into)
    return Stored(
        before=grid,
        after=grid_of(after),
        values=before.numel(),
        moved=moved,
        beyond=int((start != after).sum()),
        rounding=float((start.double() - before.double()).pow(2).sum()),
        change=float(change.meant.pow(2).sum()),
        estimate=None if into is None else _estimate(before, after, start, into, generator),
        codes=_codes(before, after) if grid == into == "nf4" else None,
    )


def _codes(before: Tensor, after: Tensor) -> int:
    first, second = (nf4_codes(in_blocks(side, BLOCKS["nf4"])) for side in (before, after))
    return int((first != second).sum())


def _format(after: Tensor, before: Tensor) -> Format | None:
    """Format by which the model's weights were rounded, or None."""
    grid = grid_of(after)
    if grid == "4 bit":
        kept = rounded(after, "q4_0")
        return "q4_0" if bool((kept == after).all()) else None
    return grid if grid in FORMATS else None


def _estimate(
    before: Tensor, after: Tensor, start: Tensor, into: Format, generator: torch.Generator
) -> Left | None:
    seen = _visible(before, after, start, into)
    if len(seen) < FEWEST:
        return None
    if not bool(seen.any()):  # finer than the finest step: what moved is rounding
        size = float((after.double() - start.double()).pow(2).sum())
        return Left(0.0, size, size)
    chosen = torch.randint(len(seen), before.shape, generator=generator)
    drawn = seen.float()[chosen]
    return left_of(drawn, rounded(before + drawn, into) - start)


def _visible(before: Tensor, after: Tensor, start: Tensor, into: Format) -> Tensor:
    """The update at entries where rounding hides least of it."""
    if into in BLOCKS:
        olds, news = (in_blocks(side, BLOCKS[into]) for side in (before, after))
        place = olds.abs().argmax(1, keepdim=True)
        return (news - olds).gather(1, place).flatten()
    size = before.abs().flatten()
    count = min(len(size), max(4 * FEWEST, int(SMALLEST * len(size))))
    place = size.topk(count, largest=False).indices
    return (after - start).flatten()[place]


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
    def cosine(self) -> float:
        """Between the median matrix and the base's; of two in the middle the lower one."""
        return float(torch.tensor(self.cosines).median())

    @property
    def foreign(self) -> bool:
        """Whether the median matrix is dissimilar to the base's."""
        return bool(self.cosines) and self.cosine < ALIKE

    def note(self, change: Change, left: Mapping[str, Left], moved: int) -> None:
        """Add a tensor that the update touches."""
        shape = Spectrum.of(change.meant)
        self.spectra[change.name] = shape
        size, weight = squared(change.meant), squared(change.before)
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
        Of the updates drawn to estimate what is left.
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


def cosine(a: Tensor, b: Tensor) -> float:
    """Cosine of two tensors as vectors."""
    sizes = (squared(a) * squared(b)) ** 0.5
    return float((a.double() * b.double()).sum()) / max(sizes, 1e-300)
