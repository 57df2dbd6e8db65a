"""The eight values of an edge's effect: signal, edge and what follows, each from A or from B.

See ``swap`` for the three factors. A factor that is the same in both models, bit
for bit, is never swapped: the values on either side of it are one number, and its share is
exactly 0. The two corners, where all is A's or all is B's, are the effects themselves.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import groupby, product

import torch
from torch import Tensor

from circuitgraph.base.components import Component, Granularity, Inputs, parse
from circuitgraph.engine.batches import Batch, gather
from circuitgraph.engine.forward import forward
from circuitgraph.engine.model import Model
from circuitgraph.engine.receivers import component_names, receivers
from circuitgraph.lenses.mechanism.block import Lent
from circuitgraph.lenses.mechanism.same import Place, equal, reader, reading
from circuitgraph.lenses.mechanism.sent import Instead, held, written
from circuitgraph.lenses.mechanism.swap import (
    Heard,
    entering,
    logit_value,
    make_swap,
    own_tail,
    value,
)

Cell = tuple[int, int, int]
CELLS: tuple[Cell, ...] = tuple((u, e, d) for u, e, d in product((0, 1), repeat=3))
"""Who gives the signal, the edge and what follows: 0 for A, 1 for B."""


@dataclass(frozen=True)
class Mixed:
    """What swapping gave for k edges and n prompts.

    Attributes:
        values: float64 [2, 2, 2, n, k] by signal, edge and what follows.
        same: which of the three are equal bit for bit, bool [3, k].
    """

    values: Tensor
    same: Tensor


def places(model: Model, granularity: Granularity, inputs: Inputs) -> list[Place]:
    """Sender and receiver of every edge in the order of ``components.effect_edges``."""
    senders = [parse(name) for name in component_names(model, granularity)]
    every = receivers(model, granularity, inputs)
    return [Place(sender, receiver) for receiver in every for sender in senders[: receiver.senders]]


@torch.no_grad()
def mixed_effects(
    models: tuple[Model, Model],
    batch: Batch,
    edges: Sequence[Place],
    weights: Tensor,
    corners: Tensor | None = None,
    instead: Instead | None = None,
    cells: Sequence[Cell] = CELLS,
    advance: Callable[[int], None] = lambda _: None,
) -> Mixed:
    """All eight values of some edges on one batch; only those are run that differ.

    Args:
        models: of A and of B, of one build.
        batch: with corrupt prompts, or made with ``whole=True`` where ``instead`` is given.
        edges: places.
        weights: from ``same_weights``.
        corners: effects of A and of B [2, n, k]; None runs them as well.
        instead: from ``mean_said``, or nothing at all: mean or zero ablation.
        cells: which of the eight; the others are NaN.
        advance: told of every edge that is done.
    """
    swap = make_swap(models, batch, instead)
    values = torch.full((2, 2, 2, batch.n, len(edges)), float("nan"), dtype=torch.float64)
    same = torch.cat([torch.zeros(1, len(edges), dtype=torch.bool), weights])
    order = sorted(range(len(edges)), key=lambda i: (reader(edges[i].receiver)[:2], i))
    for _, group in groupby(order, key=lambda i: reader(edges[i].receiver)[:2]):
        lent = Lent(swap)
        for column in group:
            place = edges[column]
            same[0, column] = lent.same_signal(place.sender, place.receiver)
            known = None if corners is None else corners[:, :, column]
            measured = _measured(lent, place, tuple(same[:, column].tolist()), known)
            for cell in cells:
                values[cell][:, column] = measured(cell).cpu()
            advance(1)
    return Mixed(values, same)


def _measured(
    lent: Lent, place: Place, same: tuple[bool, ...], corners: Tensor | None
) -> Callable[[Cell], Tensor]:
    """The value of any cell; cells that differ by what is the same share one."""
    known: dict[Cell, Tensor] = {}
    if corners is not None:
        known[_canonical((1, 1, 1), same)] = corners[1].double()
        known[_canonical((0, 0, 0), same)] = corners[0].double()
    read = [reading(side.model, place.receiver) for side in lent.swap.sides]
    alike = equal(*read)

    def measure(cell: Cell) -> Tensor:
        name = _canonical(cell, same)
        if name not in known:
            known[name] = _value(lent, place, name, alike).double()
        return known[name]

    return measure


def _value(lent: Lent, place: Place, cell: Cell, alike: bool) -> Tensor:
    """One value [n]; ``alike``: both models read with the same weights."""
    swap, receiver, (u, e, d) = lent.swap, place.receiver, cell
    own = lent.sent(place.sender, u, u).clean
    said = lent.sent(place.sender, u, e)
    changes = said.change(swap.batch)
    x = entering(swap.sides[u], receiver)
    if receiver.layer == swap.sides[d].model.layers:
        unpatched = Heard(x - own, said.clean).at(swap.batch)
        found = logit_value(swap, unpatched, said.patched, cell)
    elif (e == d or alike) and torch.equal(own, said.clean):
        heard = Heard(gather(x, swap.batch.index), changes)
        found = value(swap, receiver, heard, cell, lent.tail(receiver, u, d))
    else:
        unpatched = Heard(x - own, said.clean)
        tail = own_tail(swap, receiver, unpatched, cell, lent.beside(receiver, u, d))
        heard = unpatched.at(swap.batch)._replace(sender=said.patched)
        found = value(swap, receiver, heard, cell, tail)
    # Where the sender says nothing new, no rounding is left behind either.
    return found * swap.batch.by_prompt((changes != 0).any(-1).any(-1).float()).clamp_max(1)


def _canonical(cell: Cell, same: Sequence[bool]) -> Cell:
    u, e, d = (0 if equal else side for side, equal in zip(cell, same, strict=True))
    return u, e, d


@torch.no_grad()
def mean_said(
    models: tuple[Model, Model], prompts: Sequence[Sequence[int]], senders: Iterable[Component]
) -> Instead:
    """What each sender adds on average, by either signal and either's weights.

    Over the positions of each prompt, then over prompts with equal weight: what mean ablation
    puts in a sender's place.
    """
    total: dict[tuple[Component, int, int], Tensor] = {}
    chosen = list(dict.fromkeys(senders))
    for ids in prompts:
        tokens = torch.tensor([ids], device=models[0].device)
        for u, model in enumerate(models):
            trace = forward(model, tokens)
            for sender, e in product(chosen, (0, 1)):
                added = written(models[e], sender, *held(model, trace, tokens, sender))
                part = added[0].double().mean(0) / len(prompts)
                total[sender, u, e] = total.get((sender, u, e), 0) + part
    return {key: value.to(models[0].dtype) for key, value in total.items()}
