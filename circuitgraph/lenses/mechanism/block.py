"""Runs and activations shared by the edges into one block's attention, or into its MLP."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from dataclasses import dataclass, field
from typing import Any

import torch

from circuitgraph.base.components import Component
from circuitgraph.engine.forward import LayerTrace
from circuitgraph.engine.receivers import Receiver
from circuitgraph.lenses.mechanism.same import equal, read_weights, receiver_key
from circuitgraph.lenses.mechanism.sent import Inner, SenderOutput, inner_activations, sender_output
from circuitgraph.lenses.mechanism.swap import Swap, Tail, entering, shared_tail, stage

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
