"""Channels by weights: read times write weights of both models on common signals.

For A and B with read weights M and write weights W (rows are inputs) and z as in ``senders``:
M_B W_B − M_A W_A = W̄ ΔM + ΔW M̄ on the common inner activation, so that nearly equal
numbers are not subtracted, and equal models give exactly 0. Everything is a sum of squares
over a prompt's positions. One read point is processed at a time, for all prompts; what equal
weights make exactly 0 is never computed.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch

from circuitgraph.base.components import Granularity, Inputs
from circuitgraph.engine.batches import gather
from circuitgraph.engine.model import Model
from circuitgraph.lenses.wiring.edges import edge_arrays
from circuitgraph.lenses.wiring.null import Targets, few, random_forms
from circuitgraph.lenses.wiring.read_points import ReadPoint, Reads, read_points, read_weights
from circuitgraph.lenses.wiring.senders import (
    Part,
    Positions,
    ReadPositions,
    Runs,
    SenderGroup,
    joined,
    signals_in,
    writes_differ,
)
from circuitgraph.lenses.wiring.signals import senders


@dataclass(frozen=True)
class Draws:
    """Random updates of the edges from some senders into one read point.

    Attributes
    ----------
    drawn : float32 [draws × edges]
        Of all edges; added to in place.
    groups : sequence of SenderGroup
        Neighbouring groups of senders.
    width : int
        Dimensions in which an update may point.
    """

    drawn: np.ndarray
    point: ReadPoint
    reads: Reads
    groups: Sequence[SenderGroup]
    where: ReadPositions
    width: int
    seed: int

    def add(self) -> None:
        """Add what random updates make of these edges."""
        if len(self.drawn):
            self._of_read_weights()
            self._of_write_weights()

    def _of_read_weights(self) -> None:
        """Σ σ² vᵀ C v: one update of a receiver serves all its senders."""
        targets: Targets | None = None
        for i, changed in enumerate(self.reads.changed()):
            change = self.reads.of(i)[1]
            if not changed or change is None:
                continue
            strengths = few(torch.linalg.svdvals(change).square()).cpu()
            if targets is None:
                targets = Targets.of([self.where.weighted(g.common).factor() for g in self.groups])
            start = self.groups[0].columns(self.point, i).start
            columns = slice(start, start + targets.count)
            self._add(strengths, targets, (0, self.point.receiver + i), columns)

    def _of_write_weights(self) -> None:
        """Σ m uᵀ M Mᵀ u: one update of a sender serves all receivers with equal read weights."""
        same = [i for i, changed in enumerate(self.reads.changed()) if not changed]
        changes = [(group, group.change) for group in self.groups if group.change is not None]
        if not same or not changes:
            return
        targets = Targets.of([self.reads.of(i)[0].T[None] for i in same])
        for group, change in changes:
            every = torch.linalg.svdvals(self.where.weighted(change).factor()).square().cpu()
            for s, values in enumerate(every):
                columns = [group.columns(self.point, i).start + s for i in same]
                self._add(few(values), targets, (1, group.first + s), columns)

    def _add(
        self,
        strengths: torch.Tensor,
        targets: Targets,
        stream: tuple[int, int],
        columns: slice | list,
    ) -> None:
        found = random_forms(strengths, targets, self.width, len(self.drawn), self.seed, stream)
        for rows, forms in found:
            self.drawn[rows, columns] += forms.cpu().numpy()


ARRAYS = ("norm_a", "norm_b", "read", "write", "delta", "square", "expected")
ROOM = 1 << 30
"""Bytes of signals held at once; senders beyond it wait for another pass."""


@dataclass(frozen=True, eq=False)
class WeightChannels:
    """Two models and their read points; ``differ``: whether each group's write weights do."""

    models: tuple[Model, Model]
    granularity: Granularity
    points: tuple[ReadPoint, ...]
    differ: tuple[bool, ...]

    @classmethod
    def of(cls, a: Model, b: Model, granularity: Granularity, inputs: Inputs) -> WeightChannels:
        found = tuple(read_points(a, granularity, inputs))
        differ = tuple(writes_differ((a, b), group, granularity) for group in senders(a.layers))
        return cls((a, b), granularity, found, differ)

    @property
    def width(self) -> int:
        """Dimensions in which a random update may point: d, one less where norms centre."""
        return self.models[0].width - int(self.models[0].norm.centre)

    @property
    def edges(self) -> int:
        """Number of edges."""
        return sum(p.senders * len(p.receivers) for p in self.points)

    @property
    def counts(self) -> list[int]:
        """Senders of every group."""
        each = 1 if self.granularity == "layer" else self.models[0].heads
        return [each if kind == "attention" else 1 for kind, _ in senders(self.models[0].layers)]

    def blocks(self, positions: int, room: float = ROOM) -> list[range]:
        """Groups of senders whose signals at so many positions are held together."""
        model = self.models[0]
        found, held, first = [], 0.0, 0
        for group, (count, differ) in enumerate(zip(self.counts, self.differ, strict=True)):
            size = 8.0 * positions * max(model.width, count * model.head_size)
            size *= 4 if differ else 1
            if held and held + size > room:
                found.append(range(first, group))
                held, first = 0.0, group
            held += size
        return [*found, range(first, len(self.differ))]

    @torch.no_grad()
    def measure(
        self,
        runs: Runs,
        weights: np.ndarray,
        draws: int = 0,
        seed: int = 0,
        advance: Callable[[int], None] = lambda _: None,
        room: float = ROOM,
    ) -> dict[str, np.ndarray]:
        """The arrays of ``record.Channels`` by their names, draws among them.

        Parameters
        ----------
        runs : callable
            Both models' runs of all prompts.
        weights : float64 [n]
            Of the prompts.
        draws : int
            Random updates.
        advance : callable
            Called for every read point of each of ``blocks``.
        room : float
            Bytes that signals may take.
        """
        out = {name: np.zeros((len(weights), self.edges)) for name in ARRAYS}
        out["draws"] = np.zeros((draws, self.edges), np.float32)
        positions = self._positions(runs)
        each = torch.as_tensor(weights, dtype=torch.float64, device=positions.prompt.device)
        for block in self.blocks(len(positions.prompt), room):
            groups = self._groups(runs, block)
            for number, point in enumerate(self.points):
                readable = [one for one in groups if one.first < point.senders]
                if readable:
                    self._read_point(point, positions.at(number, each), readable, seed, out)
                advance(1)
        return out

    def _positions(self, runs: Runs) -> Positions:
        """Positions of signals, and the streams' scales there.

        The scale of a read point is the mean of both models' 1/rms over the root of the number of
        the prompt's positions, so that sums of squares are means over positions.
        """
        found = []
        for both, rows in runs():
            batch, inside = both.batch, both.inside
            scales = []
            for point in self.points:
                streams = [gather(point.stream(t), batch.index).double() for t in both.clean]
                norms = [point.norm(model) for model in self.models]
                left, right = (norm.scale(x) for norm, x in zip(norms, streams, strict=True))
                count = 1 if point is self.points[-1] else inside.double().sum(1)[:, None, None]
                scales.append(((left + right) / 2 / count**0.5)[..., 0][inside])
            prompt = torch.as_tensor(list(rows), device=inside.device)[:, None].expand_as(inside)
            last = batch.positions == batch.read[:, -1:]
            found.append((prompt[inside], last[inside], torch.stack(scales)))
        prompts, lasts, every = zip(*found, strict=True)
        return Positions(torch.cat(prompts), torch.cat(lasts), torch.cat(every, 1))

    def _groups(self, runs: Runs, block: Sequence[int]) -> list[SenderGroup]:
        """The sender groups of a block on all prompts."""
        kinds, counts = senders(self.models[0].layers), self.counts
        parts: dict[int, list[tuple[Part, Part, Part | None]]] = {group: [] for group in block}
        for both, _ in runs():
            for group in block:
                differ = self.differ[group]
                found = signals_in(self.models, both, kinds[group], self.granularity, differ)
                parts[group].append(found)
        return [joined(sum(counts[:group]), found) for group, found in parts.items()]

    def _read_point(
        self,
        point: ReadPoint,
        where: ReadPositions,
        readable: Sequence[SenderGroup],
        seed: int,
        out: dict[str, np.ndarray],
    ) -> None:
        reads = read_weights(*self.models, point)
        for one in readable:
            for name, value in edge_arrays(one, reads, where, self.width).items():
                for i in range(len(point.receivers)):
                    out[name][:, one.columns(point, i)] = value[..., i].T.cpu().numpy()
        Draws(out["draws"], point, reads, readable, where, self.width, seed).add()
