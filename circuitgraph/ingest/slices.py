"""Slices of a batch's edges of similar cost, for several workers.

A slice consists of whole chunks of senders into the receivers of a layer, at the chunk
boundaries of an undivided batch, so that every matrix product is of the same rows: on equal
processors with as many threads the bits are those of the undivided batch.
"""

from __future__ import annotations

from collections.abc import Sequence

from circuitgraph.base.components import Granularity, Inputs
from circuitgraph.engine.batches import Batch
from circuitgraph.engine.patch import CHUNK_ROWS, chunk_size
from circuitgraph.engine.receivers import Sizes, receivers

Units = dict[tuple[int, int], tuple[float, list[int]]]
"""(layer, chunk of senders) to what it costs and its edges."""


def edge_slices(
    model: Sizes,
    batch: Batch,
    granularity: Granularity,
    inputs: Inputs,
    count: int,
    chunk_rows: int = CHUNK_ROWS,
) -> list[tuple[int, ...]]:
    """Indices into ``components.effect_edges`` of at most ``count`` slices, costliest first.

    Together every edge once. Fewer than ``count`` where there are fewer chunks.
    """
    units = _units(model, granularity, inputs, chunk_size(batch, chunk_rows))
    slices: list[list[int]] = [[] for _ in range(min(count, len(units)))]
    loads = [0.0] * len(slices)
    for key in sorted(units, key=lambda k: (-units[k][0], k)):
        cost, edges = units[key]
        lightest = loads.index(min(loads))
        slices[lightest] += edges
        loads[lightest] += cost
    order = sorted(range(len(slices)), key=lambda k: -loads[k])
    return [tuple(sorted(slices[k])) for k in order]


def _units(model: Sizes, granularity: Granularity, inputs: Inputs, size: int) -> Units:
    units: Units = {}
    first = 0
    for receiver in receivers(model, granularity, inputs):
        is_last = receiver.layer == model.layers
        # LOGITS reads all its senders at once, and nothing is downstream of it.
        step = receiver.senders if is_last else size
        blocks = 0.0 if is_last else model.layers - receiver.layer - 0.5
        for chunk, start in enumerate(range(0, receiver.senders, step)):
            edges = range(first + start, first + min(start + step, receiver.senders))
            cost, known = units.get((receiver.layer, chunk), (0.0, []))
            units[receiver.layer, chunk] = (cost + blocks * len(edges), [*known, *edges])
        first += receiver.senders
    return units


def halves(batches: Sequence[int], workers: int) -> tuple[Sequence[int], Sequence[int]]:
    """Batches to be computed whole, and the rest, too few to keep every worker busy."""
    whole = len(batches) - len(batches) % workers
    return batches[:whole], batches[whole:]
