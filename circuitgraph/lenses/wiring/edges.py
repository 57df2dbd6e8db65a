"""What all receivers of one place read of a group of senders, in two models and between them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from circuitgraph.lenses.wiring.read_points import Reads
from circuitgraph.lenses.wiring.senders import Part, Said, Spot

AT_ONCE = 1 << 22
"""Numbers that receivers make of senders at once."""


@dataclass(frozen=True)
class Squares:
    """Sums of squares over each prompt's positions.

    Attributes:
        change: of what differs.
        a, b: of what either model makes.
    """

    change: Tensor
    a: Tensor
    b: Tensor

    @classmethod
    def of(cls, level: Tensor, cross: Tensor | None, change: Tensor | None) -> Squares:
        """From squares of mean and change and their product; None where nothing differs."""
        if cross is None or change is None:
            return cls(torch.zeros_like(level), level, level)
        change, level = change.clamp_min(0), level + change.clamp_min(0) / 4
        return cls(change, (level - cross).clamp_min(0), (level + cross).clamp_min(0))

    def relative(self) -> Tensor:
        """‖change‖ / (‖A‖ + ‖B‖); 0 where there is nothing."""
        change, a, b = (x.sqrt() for x in (self.change, self.a, self.b))
        return torch.where(change > 0, change / (a + b), 0.0).clamp_max(1.0)


def edge_arrays(said: Said, reads: Reads, spot: Spot, width: int) -> dict[str, Tensor]:
    """All arrays of ``record.Channels`` but the draws, [S, n, receivers] each.

    Args:
        width: dimensions in which a random update may point.
    """
    read, both = _channels(said, reads, spot)
    loud, written = _signals(said, spot)
    changed = torch.tensor(reads.changed(), device=read.a.device)
    expected = written.change[..., None] * reads.squares(reads.mean) / width
    if reads.change is not None:
        heard = loud[..., None] * reads.squares(reads.change) / width
        expected = torch.where(changed, heard, expected)
    return {
        "norm_a": both.a.sqrt(),
        "norm_b": both.b.sqrt(),
        "read": read.relative(),
        "write": written.relative()[..., None].expand_as(read.a),
        "delta": both.relative(),
        "square": torch.where(changed, read.change, both.change),
        "expected": expected,
    }


def _signals(said: Said, spot: Spot) -> tuple[Tensor, Squares]:
    """‖c‖², and the write side's squares, [S, n] each."""

    def total(x: Part, y: Part) -> Tensor:
        return spot.by_prompt(x.times(y)[:, spot.rows] * spot.scale**2)

    mean, change = said.mean, said.change
    level = total(mean, mean)
    if change is None:
        return level, Squares.of(level, None, None)
    written = Squares.of(level, total(mean, change), total(change, change))
    return total(said.common, said.common), written


def _channels(said: Said, reads: Reads, spot: Spot) -> tuple[Squares, Squares]:
    """Squares of the read side on the common signal, and of both sides, [S, n, receivers]."""
    if said.change is None:
        both = _squares(_reading(said.common, reads), reads, spot, said.count)
        return both, both
    both = _squares(_read_and_written(said.mean, said.change, reads), reads, spot, said.count)
    if reads.change is None:
        return Squares.of(both.a, None, None), both
    return _squares(_reading(said.common, reads), reads, spot, said.count), both


Sides = Callable[[Spot], tuple[Tensor, Tensor | None]]
"""Mean and change [S, N', columns] at some positions; no change where it is exactly 0."""


def _reading(common: Part, reads: Reads) -> Sides:
    """One signal, read with the weights of either model."""
    mean = _map(common, reads.mean)
    change = None if reads.change is None else _map(common, reads.change)
    return lambda spot: (mean(spot), None if change is None else change(spot))


def _read_and_written(z: Part, anew: Part, reads: Reads) -> Sides:
    """One inner activation, written and read with the weights of either model."""
    mean, written = _map(z, reads.mean), _map(anew, reads.mean)
    if reads.change is None:
        return lambda spot: (mean(spot), written(spot))
    read, twice = _map(z, reads.change), _map(anew, reads.change)
    return lambda spot: (mean(spot) + twice(spot) / 4, read(spot) + written(spot))


def _map(part: Part, columns: Tensor) -> Callable[[Spot], Tensor]:
    through = part.through(columns)
    return lambda spot: part.at(spot.rows, spot.scale).inner @ through


def _squares(sides: Sides, reads: Reads, spot: Spot, count: int) -> Squares:
    """Sums over each prompt's positions, a few positions at a time."""
    shape = count, len(spot.weights), reads.owners.shape[1]
    level, cross, square = spot.weights.new_zeros(3, *shape)
    step, anything = max(1, AT_ONCE // (count * len(reads.owners))), False
    for start in range(0, len(spot.rows), step):
        part = slice(start, start + step)
        own = Spot(spot.rows[part], spot.prompt[part], spot.scale[part], spot.weights)
        mean, change = sides(own)
        level += own.by_prompt(mean.square() @ reads.owners)
        if change is not None:
            anything = True
            cross += own.by_prompt((mean * change) @ reads.owners)
            square += own.by_prompt(change.square() @ reads.owners)
    return Squares.of(level, cross, square) if anything else Squares.of(level, None, None)
