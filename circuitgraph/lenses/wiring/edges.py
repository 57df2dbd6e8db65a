"""Channels of one read point: what its receivers read of a group of senders, in two models."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from circuitgraph.lenses.wiring.read_points import Reads
from circuitgraph.lenses.wiring.senders import Part, ReadPositions, SenderGroup

AT_ONCE = 1 << 22
"""Numbers that receivers make of senders at once."""


@dataclass(frozen=True)
class Squares:
    """Sums of squares over each prompt's positions: of the change, of A and of B."""

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


def edge_arrays(
    group: SenderGroup, reads: Reads, where: ReadPositions, width: int
) -> dict[str, Tensor]:
    """All arrays of ``record.Channels`` but the draws, [S, n, receivers] each.

    ``width``: dimensions in which a random update may point.
    """
    read, both = _channels(group, reads, where)
    common, written = _signals(group, where)
    changed = torch.tensor(reads.changed(), device=read.a.device)
    expected = written.change[..., None] * reads.squares(reads.mean) / width
    if reads.change is not None:
        read_expected = common[..., None] * reads.squares(reads.change) / width
        expected = torch.where(changed, read_expected, expected)
    return {
        "norm_a": both.a.sqrt(),
        "norm_b": both.b.sqrt(),
        "read": read.relative(),
        "write": written.relative()[..., None].expand_as(read.a),
        "delta": both.relative(),
        "square": torch.where(changed, read.change, both.change),
        "expected": expected,
    }


def _signals(group: SenderGroup, where: ReadPositions) -> tuple[Tensor, Squares]:
    """‖c‖² of the common signal, and squares of the write side, [S, n] each."""

    def total(x: Part, y: Part) -> Tensor:
        return where.by_prompt(x.times(y)[:, where.rows] * where.scale**2)

    mean, change = group.mean, group.change
    level = total(mean, mean)
    if change is None:
        return level, Squares.of(level, None, None)
    written = Squares.of(level, total(mean, change), total(change, change))
    return total(group.common, group.common), written


def _channels(group: SenderGroup, reads: Reads, where: ReadPositions) -> tuple[Squares, Squares]:
    """Squares of the read side on the common signal, and of both sides, [S, n, receivers]."""
    if group.change is None:
        both = _squares(_reading(group.common, reads), reads, where, group.count)
        return both, both
    both = _squares(_read_and_written(group.mean, group.change, reads), reads, where, group.count)
    if reads.change is None:
        return Squares.of(both.a, None, None), both
    return _squares(_reading(group.common, reads), reads, where, group.count), both


Sides = Callable[[ReadPositions], tuple[Tensor, Tensor | None]]
"""Mean and change [S, N', columns] at some positions; no change where it is exactly 0."""


def _reading(common: Part, reads: Reads) -> Sides:
    """One signal read with the weights of either model."""
    mean = _map(common, reads.mean)
    change = None if reads.change is None else _map(common, reads.change)
    return lambda where: (mean(where), None if change is None else change(where))


def _read_and_written(z: Part, change: Part, reads: Reads) -> Sides:
    """One inner activation, written and read with the weights of either model."""
    mean, written = _map(z, reads.mean), _map(change, reads.mean)
    if reads.change is None:
        return lambda where: (mean(where), written(where))
    read, twice = _map(z, reads.change), _map(change, reads.change)
    return lambda where: (mean(where) + twice(where) / 4, read(where) + written(where))


def _map(part: Part, columns: Tensor) -> Callable[[ReadPositions], Tensor]:
    through = part.through(columns)
    return lambda where: part.at(where.rows, where.scale).inner @ through


def _squares(sides: Sides, reads: Reads, where: ReadPositions, count: int) -> Squares:
    """Sums over each prompt's positions, a few positions at a time."""
    shape = count, len(where.weights), reads.owners.shape[1]
    level, cross, square = where.weights.new_zeros(3, *shape)
    step, anything = max(1, AT_ONCE // (count * len(reads.owners))), False
    for start in range(0, len(where.rows), step):
        part = slice(start, start + step)
        own = ReadPositions(where.rows[part], where.prompt[part], where.scale[part], where.weights)
        mean, change = sides(own)
        level += own.by_prompt(mean.square() @ reads.owners)
        if change is not None:
            anything = True
            cross += own.by_prompt((mean * change) @ reads.owners)
            square += own.by_prompt(change.square() @ reads.owners)
    return Squares.of(level, cross, square) if anything else Squares.of(level, None, None)
