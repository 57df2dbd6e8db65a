"""The eight values of an edge's effect: signal, edge and what follows, each from A or from B.

See ``swap`` for the three factors. A factor that is the same in both models, bit
for bit, is never swapped: the values on either side of it are one number, and its share is
exactly 0. The two corners, where all is A's or all is B's, are the effects themselves.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Sequence
from dataclasses import dataclass, field
from functools import cache
from itertools import groupby, product
from typing import Any

import torch
from torch import Tensor

from circuitgraph.base.components import Component, Granularity, Inputs, parse
from circuitgraph.engine.batches import Batch, gather
from circuitgraph.engine.forward import LayerTrace, forward
from circuitgraph.engine.model import Model
from circuitgraph.engine.receivers import Receiver, component_names, receivers
from circuitgraph.lenses.mechanism.same import EdgeEnds, equal, read_weights, receiver_key
from circuitgraph.lenses.mechanism.sent import (
    Inner,
    Replacements,
    SenderOutput,
    contribution,
    inner_activation,
    inner_activations,
    sender_output,
)
from circuitgraph.lenses.mechanism.swap import (
    ReceiverInput,
    Swap,
    Tail,
    entering,
    logit_value,
    make_swap,
    own_tail,
    shared_tail,
    stage,
    value,
)

SENDERS = 16
"""Senders whose inner activations are held at once."""


@dataclass(frozen=True)
class BlockRuns:
    """Runs and activations that several values need, made on first use.

    All receivers must be of one block and have the same letters. ``made`` and ``inner`` keep
    what was made so far.
    """

    swap: Swap
    made: dict[Hashable, Any] = field(default_factory=dict)
    inner: dict[tuple[Component, int], tuple[Inner, Inner]] = field(default_factory=dict)

    def beside(self, receiver: Receiver, signal: int, after: int) -> LayerTrace:
        """The receivers' block in the run of the signal, by the weights of what follows."""
        return self._once(("on", signal, after), lambda: stage(self.swap, receiver, signal, after))

    def tail(self, receiver: Receiver, signal: int, after: int) -> Tail:
        """The unpatched run in which every receiver has one model's weights."""
        on = self.beside(receiver, signal, after)
        return self._once(
            ("tail", signal, after), lambda: shared_tail(self.swap, receiver, on, signal, after)
        )

    def output(self, sender: Component, signal: int, edge: int) -> SenderOutput:
        """A sender's contribution by either model's weights in either's run."""
        swap = self.swap
        other = None if swap.replaced is None else swap.replaced[sender, signal, edge]
        return sender_output(
            swap.sides, swap.batch, sender, self._inner(sender, signal), edge, other
        )

    def same_signal(self, sender: Component, receiver: Receiver) -> bool:
        """Whether the activations in front of both are equal in both models, bit for bit."""
        replaced = self.swap.replaced
        if replaced is not None and not all(
            torch.equal(replaced[sender, 0, e], replaced[sender, 1, e]) for e in (0, 1)
        ):
            return False
        a, b = (entering(side, receiver) for side in self.swap.sides)
        return torch.equal(a, b) and equal(self._inner(sender, 0), self._inner(sender, 1))

    def same_read(self, receiver: Receiver) -> bool:
        """Whether the receiver's weights are equal in both models, bit for bit."""

        def compare() -> bool:
            return equal(*(read_weights(side.model, receiver) for side in self.swap.sides))

        return bool(self._once(("read", *receiver_key(receiver)), compare))

    def _inner(self, sender: Component, signal: int) -> tuple[Inner, Inner]:
        key = (sender, signal)
        if key not in self.inner:
            if len(self.inner) >= 2 * SENDERS:
                self.inner.clear()
            self.inner[key] = inner_activations(self.swap.sides[signal], self.swap.batch, sender)
        return self.inner[key]

    def _once(self, key: Hashable, make: Callable[[], Any]) -> Any:
        if key not in self.made:
            self.made[key] = make()
        return self.made[key]


Cell = tuple[int, int, int]
CELLS: tuple[Cell, ...] = tuple((u, e, d) for u, e, d in product((0, 1), repeat=3))
"""Who gives the signal, the edge and what follows: 0 for A, 1 for B."""


@dataclass(frozen=True)
class Mixed:
    """The eight values [2, 2, 2, n, k] by signal, edge and what follows, for n prompts and k edges.

    ``same`` bool [3, k]: which of the three factors are equal bit for bit.
    """

    values: Tensor
    same: Tensor


def edge_ends(model: Model, granularity: Granularity, inputs: Inputs) -> list[EdgeEnds]:
    """Sender and receiver of every edge in the order of ``components.effect_edges``."""
    senders = [parse(name) for name in component_names(model, granularity)]
    every = receivers(model, granularity, inputs)
    return [
        EdgeEnds(sender, receiver) for receiver in every for sender in senders[: receiver.senders]
    ]


@torch.no_grad()
def mixed_effects(
    models: tuple[Model, Model],
    batch: Batch,
    edges: Sequence[EdgeEnds],
    weights: Tensor,
    corners: Tensor | None = None,
    replaced: Replacements | None = None,
    cells: Sequence[Cell] = CELLS,
    advance: Callable[[int], None] = lambda _: None,
) -> Mixed:
    """All eight values of some edges on one batch; only those are run that differ.

    Parameters
    ----------
    models : pair of Model
        A and B, of one build.
    batch : Batch
        With corrupt prompts, or made with ``whole=True`` where ``replaced`` is given.
    edges : sequence of EdgeEnds
        The k edges.
    weights : bool [2, k]
        From ``same_weights``.
    corners : [2, n, k], optional
        Effects of A and of B; None runs them as well.
    replaced : mapping, optional
        From ``mean_outputs``, or zeros: mean or zero ablation.
    cells : sequence
        Which of the eight; the others are NaN.
    advance : callable
        Called for every edge that is done.
    """
    swap = make_swap(models, batch, replaced)
    values = torch.full((2, 2, 2, batch.n, len(edges)), float("nan"), dtype=torch.float64)
    same = torch.cat([torch.zeros(1, len(edges), dtype=torch.bool), weights])
    order = sorted(range(len(edges)), key=lambda i: (receiver_key(edges[i].receiver)[:2], i))
    for _, group in groupby(order, key=lambda i: receiver_key(edges[i].receiver)[:2]):
        runs = BlockRuns(swap)
        for column in group:
            ends = edges[column]
            same[0, column] = runs.same_signal(ends.sender, ends.receiver)
            known = None if corners is None else corners[:, :, column]
            measured = _measured(runs, ends, tuple(same[:, column].tolist()), known)
            for cell in cells:
                values[cell][:, column] = measured(cell).cpu()
            advance(1)
    return Mixed(values, same)


def _measured(
    runs: BlockRuns, ends: EdgeEnds, same: tuple[bool, ...], corners: Tensor | None
) -> Callable[[Cell], Tensor]:
    """A function from a cell to its value; cells that differ by equal factors share one."""
    known: dict[Cell, Tensor] = {}
    if corners is not None:
        known[_canonical((1, 1, 1), same)] = corners[1].double()
        known[_canonical((0, 0, 0), same)] = corners[0].double()

    @cache
    def output(signal: int, edge: int) -> SenderOutput:
        return runs.output(ends.sender, signal, edge)

    def measure(cell: Cell) -> Tensor:
        name = _canonical(cell, same)
        if name not in known:
            known[name] = _value(runs, ends.receiver, output, name).double()
        return known[name]

    return measure


def _value(
    runs: BlockRuns, receiver: Receiver, output: Callable[[int, int], SenderOutput], cell: Cell
) -> Tensor:
    """One value [n]; ``output`` gives the sender's by a signal and an edge's weights."""
    swap, (u, e, d) = runs.swap, cell
    own, made = output(u, u).clean, output(u, e)
    changes = made.change(swap.batch)
    x = entering(swap.sides[u], receiver)
    if receiver.layer == swap.sides[d].model.layers:
        unpatched = ReceiverInput(x - own, made.clean).at(swap.batch)
        found = logit_value(swap, unpatched, made.patched, cell)
    elif (e == d or runs.same_read(receiver)) and torch.equal(own, made.clean):
        inputs = ReceiverInput(gather(x, swap.batch.index), changes)
        found = value(swap, receiver, inputs, cell, runs.tail(receiver, u, d))
    else:
        unpatched = ReceiverInput(x - own, made.clean)
        tail = own_tail(swap, receiver, unpatched, cell, runs.beside(receiver, u, d))
        inputs = unpatched.at(swap.batch)._replace(sender=made.patched)
        found = value(swap, receiver, inputs, cell, tail)
    # Where the sender says nothing new, no rounding is left behind either.
    return found * swap.batch.by_prompt((changes != 0).any(-1).any(-1).float()).clamp_max(1)


def _canonical(cell: Cell, same: Sequence[bool]) -> Cell:
    u, e, d = (0 if equal else side for side, equal in zip(cell, same, strict=True))
    return u, e, d


@torch.no_grad()
def mean_outputs(
    models: tuple[Model, Model], prompts: Sequence[Sequence[int]], senders: Iterable[Component]
) -> Replacements:
    """Each sender's mean contribution, by either signal and either's weights, for mean ablation.

    Over the positions of each prompt, then over prompts with equal weight.
    """
    total: dict[tuple[Component, int, int], Tensor] = {}
    chosen = list(dict.fromkeys(senders))
    for ids in prompts:
        tokens = torch.tensor([ids], device=models[0].device)
        for u, model in enumerate(models):
            trace = forward(model, tokens)
            for sender, e in product(chosen, (0, 1)):
                added = contribution(
                    models[e], sender, *inner_activation(model, trace, tokens, sender)
                )
                part = added[0].double().mean(0) / len(prompts)
                total[sender, u, e] = total.get((sender, u, e), 0) + part
    return {key: value.to(models[0].dtype) for key, value in total.items()}
