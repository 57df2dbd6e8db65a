"""The eight values of an edge's effect: signal, edge and what follows, each from A or from B.

See ``engine.swapping`` for the three factors. A factor that is the same in both models, bit
for bit, is never swapped: the values on either side of it are one number, and its share is
exactly 0. The two corners, where all is A's or all is B's, are the effects themselves.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, fields, is_dataclass
from itertools import product
from typing import Any

import torch
from torch import Tensor

from circuitgraph.base.components import Component, Granularity, Inputs, parse
from circuitgraph.engine.batches import Batch
from circuitgraph.engine.forward import forward
from circuitgraph.engine.model import Model, Norm
from circuitgraph.engine.receivers import Receiver, component_names, receivers
from circuitgraph.lenses.mechanism.swap import (
    Heard,
    Instead,
    Swap,
    entering,
    held,
    inner,
    make_swap,
    needs_stage,
    said,
    stage,
    value,
    written,
)

Cell = tuple[int, int, int]
CELLS: tuple[Cell, ...] = tuple((u, e, d) for u, e, d in product((0, 1), repeat=3))
"""Who gives the signal, the edge and what follows: 0 for A, 1 for B."""


@dataclass(frozen=True)
class Place:
    """An edge: who writes, and who reads."""

    sender: Component
    receiver: Receiver


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
    stages = _stages(swap, edges)
    order = sorted(range(len(edges)), key=lambda i: _sender_key(edges[i].sender))
    values = torch.full((2, 2, 2, batch.n, len(edges)), float("nan"), dtype=torch.float64)
    same = torch.cat([torch.zeros(1, len(edges), dtype=torch.bool), weights])
    spoken: dict[tuple[Component, int, int], Tensor] = {}
    same_inner = False
    for column in order:
        place = edges[column]
        if not any(key[0] == place.sender for key in spoken):
            spoken = {
                (place.sender, u, e): said(swap, place.sender, u, e)
                for u, e in product((0, 1), repeat=2)
            }
            same_inner = _same_inner(swap, place.sender)
        entered = (entering(side, place.receiver) for side in swap.sides)
        same[0, column] = same_inner and torch.equal(*entered)
        known = None if corners is None else corners[:, :, column]
        flags = tuple(same[:, column].tolist())
        measured = _measured(swap, place, flags, spoken, stages, known)
        for cell, found in zip(cells, map(measured, cells), strict=True):
            values[cell][:, column] = found
        advance(1)
    return Mixed(values, same)


def _sender_key(sender: Component) -> tuple[int, int]:
    return (
        -1 if sender.layer is None else sender.layer,
        -1 if sender.head is None else sender.head,
    )


def _stages(swap: Swap, edges: Sequence[Place]) -> dict:
    model = swap.sides[0].model
    layers = {p.receiver.layer for p in edges if needs_stage(model, p.receiver)}
    return {(n, u, d): stage(swap, n, u, d) for n in layers for u, d in product((0, 1), repeat=2)}


def _measured(
    swap: Swap,
    place: Place,
    same: tuple[bool, ...],
    spoken: dict,
    stages: dict,
    corners: Tensor | None,
) -> Callable[[Cell], Tensor]:
    """The value of any cell; cells that differ by what is the same share one."""
    known: dict[Cell, Tensor] = {}
    if corners is not None:
        known[_canonical((1, 1, 1), same)] = corners[1].double()
        known[_canonical((0, 0, 0), same)] = corners[0].double()

    def measure(cell: Cell) -> Tensor:
        name = _canonical(cell, same)
        if name not in known:
            u, e, d = name
            own, other = spoken[place.sender, u, u], spoken[place.sender, u, e]
            heard = Heard(entering(swap.sides[u], place.receiver) - own[0], other)
            on = stages.get((place.receiver.layer, u, d))
            known[name] = value(swap, place.receiver, heard, name, on).double()
        return known[name]

    return measure


def _canonical(cell: Cell, same: Sequence[bool]) -> Cell:
    u, e, d = (0 if equal else side for side, equal in zip(cell, same, strict=True))
    return u, e, d


def _same_inner(swap: Swap, sender: Component) -> bool:
    """Whether a sender holds, and leaves unsaid, the same in both models bit for bit."""
    a, b = swap.sides
    if swap.instead is not None and not all(
        torch.equal(swap.instead[sender, 0, e], swap.instead[sender, 1, e]) for e in (0, 1)
    ):
        return False
    return equal(inner(swap, a, sender), inner(swap, b, sender))


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


def same_weights(models: tuple[Model, Model], edges: Sequence[Place]) -> Tensor:
    """Whether an edge's own weights, and all that follow it, are equal bit for bit: bool [2, k]."""
    a, b = models
    tails = [equal(_end(a), _end(b))]
    for left, right in zip(reversed(a.blocks), reversed(b.blocks), strict=True):
        tails.append(tails[-1] and equal(left, right))
    tails.reverse()
    written = {s: equal(_writing(a, s), _writing(b, s)) for s in {p.sender for p in edges}}
    readers = {_reader(p.receiver): p.receiver for p in edges}
    read = {key: equal(_reading(a, r), _reading(b, r)) for key, r in readers.items()}
    after = {key: _same_after(models, r, tails) for key, r in readers.items()}
    keys = [_reader(p.receiver) for p in edges]
    own = [written[p.sender] and read[key] for p, key in zip(edges, keys, strict=True)]
    return torch.tensor([own, [after[key] for key in keys]])


def _reader(receiver: Receiver) -> tuple:
    """Tells receivers apart; a slice of heads is no key."""
    heads = receiver.heads
    part = receiver.expert if heads is None else (heads.start, heads.stop)
    return receiver.layer, receiver.letters, part


def _same_after(models: tuple[Model, Model], receiver: Receiver, tails: Sequence[bool]) -> bool:
    a, b = models
    layer = receiver.layer
    if layer == a.layers or needs_stage(a, receiver):
        return tails[layer]
    return equal(a.blocks[layer].mlp, b.blocks[layer].mlp) and tails[layer + 1]


def _end(model: Model) -> tuple:
    return model.norm, model.unembed, model.rotary, model.attention_cap, model.logit_cap


def _writing(model: Model, sender: Component) -> tuple:
    if sender.layer is None:
        return model.embed, model.embed_scale, model.positions
    block = model.blocks[sender.layer]
    if sender.kind == "mlp":
        return block.one_mlp.down, block.one_mlp.post
    if sender.head is None:
        return block.attention.out, block.attention.post
    size = model.head_size
    rows = slice(sender.head * size, (sender.head + 1) * size)
    return block.attention.out.weight[rows], block.attention.post


def _reading(model: Model, receiver: Receiver) -> tuple:
    if receiver.layer == model.layers:
        return _gain(model.norm), model.unembed
    block = model.blocks[receiver.layer]
    if receiver.heads is None:
        gate = block.one_mlp.gate
        return (
            _gain(block.one_mlp.norm),
            block.one_mlp.up.weight,
            None if gate is None else gate.weight,
        )
    read = [model.read_weights(receiver.layer, n, receiver.heads) for n in receiver.letters]
    return (_gain(block.attention.norm), *read)


def _gain(norm: Norm) -> tuple:
    return norm.weight, norm.centre


def equal(a: Any, b: Any) -> bool:
    """Whether two records hold the same bits."""
    if isinstance(a, Tensor) and isinstance(b, Tensor):
        return torch.equal(a, b)
    if isinstance(a, tuple) and isinstance(b, tuple):
        return len(a) == len(b) and all(map(equal, a, b))
    if is_dataclass(a) and not isinstance(a, type):
        names = [field.name for field in fields(a)]
        return type(a) is type(b) and all(equal(getattr(a, n), getattr(b, n)) for n in names)
    return bool(a == b)
