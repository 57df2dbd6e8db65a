"""``square`` summed over prompts under random updates, at one point of the residual stream."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch

from circuitgraph.lenses.wiring.null import Targets, few, random_forms
from circuitgraph.lenses.wiring.read_points import ReadPoint, Reads
from circuitgraph.lenses.wiring.senders import ReadPositions, SenderGroup


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
