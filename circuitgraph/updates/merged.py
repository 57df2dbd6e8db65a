"""Updates of whole models: present, or lost by rounding.

A weight kept in few bits moves only where the update passes half a step, so a merged model can
differ from its base in a few single steps and hold next to nothing of what was trained. What the
update was can still be seen where the format is fine: in bfloat16 and float16 at the smallest
weights, in blocks of 4 bits at the largest of each, which is kept as it is. Updates drawn from
what is seen there are added to the base in the same format again, and what is left of these says
how much was left of the first.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from circuitgraph.updates.changes import Change
from circuitgraph.updates.rounding import (
    BLOCKS,
    FORMATS,
    Format,
    grid_of,
    in_blocks,
    nf4_codes,
    rounded,
)
from circuitgraph.updates.survival import Left, left_of

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
