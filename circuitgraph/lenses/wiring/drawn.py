"""``square`` summed over prompts under random updates, one place of the stream at a time."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from circuitgraph.lenses.wiring.null import Targets, few, random_forms
from circuitgraph.lenses.wiring.read_points import Place, Reads
from circuitgraph.lenses.wiring.senders import Said, Spot


def add_draws(
    drawn: np.ndarray,
    place: Place,
    reads: Reads,
    heard: Sequence[Said],
    spot: Spot,
    width: int,
    seed: int,
) -> None:
    """Add what random updates make of the edges from some groups into a place.

    Args:
        drawn: float32 [draws × edges], changed in place.
        heard: neighbouring groups of senders.
        width: dimensions in which an update may point.
        seed: of the draws.
    """
    if len(drawn):
        _by_reading(drawn, place, reads, heard, spot, width, seed)
        _by_writing(drawn, place, reads, heard, spot, width, seed)


def _by_reading(
    drawn: np.ndarray,
    place: Place,
    reads: Reads,
    heard: Sequence[Said],
    spot: Spot,
    width: int,
    seed: int,
) -> None:
    """Σ σ² vᵀ C v: every receiver's update meets what all senders say."""
    targets: Targets | None = None
    for i, changed in enumerate(reads.changed()):
        change = reads.of(i)[1]
        if not changed or change is None:
            continue
        strengths = few(torch.linalg.svdvals(change).square()).cpu()
        if targets is None:
            targets = Targets.of([spot.weighted(one.common).factor() for one in heard])
        start = heard[0].columns(place, i).start
        columns = slice(start, start + targets.count)
        stream = 0, place.receiver + i
        for rows, forms in random_forms(strengths, targets, width, len(drawn), seed, stream):
            drawn[rows, columns] += forms.cpu().numpy()


def _by_writing(
    drawn: np.ndarray,
    place: Place,
    reads: Reads,
    heard: Sequence[Said],
    spot: Spot,
    width: int,
    seed: int,
) -> None:
    """Σ m uᵀ M Mᵀ u: a sender's update meets all receivers whose read weights are the same."""
    same = [i for i, changed in enumerate(reads.changed()) if not changed]
    anew = [one for one in heard if one.change is not None]
    if not same or not anew:
        return
    targets = Targets.of([reads.of(i)[0].T[None] for i in same])
    for one in anew:
        assert one.change is not None
        every = torch.linalg.svdvals(spot.weighted(one.change).factor()).square().cpu()
        for s, values in enumerate(every):
            columns = [one.columns(place, i).start + s for i in same]
            stream = 1, one.first + s
            found = random_forms(few(values), targets, width, len(drawn), seed, stream)
            for rows, forms in found:
                drawn[rows, columns] += forms.cpu().numpy()
