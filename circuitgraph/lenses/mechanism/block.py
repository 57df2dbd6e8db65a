"""What the edges into one block's attention, or into its MLP, share between two models."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from dataclasses import dataclass, field
from typing import Any

import torch

from circuitgraph.base.components import Component
from circuitgraph.engine.forward import LayerTrace
from circuitgraph.engine.receivers import Receiver
from circuitgraph.lenses.mechanism.same import equal
from circuitgraph.lenses.mechanism.sent import Held, Sent, inner, sent
from circuitgraph.lenses.mechanism.swap import Swap, Tail, entering, shared_tail, stage

SENDERS = 16
"""Senders whose inner activations are held at once."""


@dataclass(frozen=True)
class Lent:
    """Runs and activations that several values need, made when first asked for.

    All receivers asked for must be of one block and read through the same letters.

    Attributes:
        swap: both models on a batch.
        made: what was made so far, by what it is.
    """

    swap: Swap
    made: dict[Hashable, Any] = field(default_factory=dict)
    held: dict[tuple[Component, int], tuple[Held, Held]] = field(default_factory=dict)

    def beside(self, receiver: Receiver, signal: int, after: int) -> LayerTrace:
        """What stands beside the receivers in their block."""
        return self._once(("on", signal, after), lambda: stage(self.swap, receiver, signal, after))

    def tail(self, receiver: Receiver, signal: int, after: int) -> Tail:
        """The run in which nothing is patched and every receiver reads by one model's weights."""
        on = self.beside(receiver, signal, after)
        return self._once(
            ("tail", signal, after), lambda: shared_tail(self.swap, receiver, on, signal, after)
        )

    def sent(self, sender: Component, signal: int, edge: int) -> Sent:
        """What a sender adds by either model's weights in either's run."""
        swap = self.swap
        other = None if swap.instead is None else swap.instead[sender, signal, edge]
        return sent(swap.sides, swap.batch, sender, self._held(sender, signal), edge, other)

    def same_signal(self, sender: Component, receiver: Receiver) -> bool:
        """Whether both have the same before them in both models, bit for bit."""
        instead = self.swap.instead
        if instead is not None and not all(
            torch.equal(instead[sender, 0, e], instead[sender, 1, e]) for e in (0, 1)
        ):
            return False
        a, b = (entering(side, receiver) for side in self.swap.sides)
        return torch.equal(a, b) and equal(self._held(sender, 0), self._held(sender, 1))

    def _held(self, sender: Component, signal: int) -> tuple[Held, Held]:
        key = (sender, signal)
        if key not in self.held:
            if len(self.held) >= 2 * SENDERS:
                self.held.clear()
            self.held[key] = inner(self.swap.sides[signal], self.swap.batch, sender)
        return self.held[key]

    def _once(self, key: Hashable, make: Callable[[], Any]) -> Any:
        if key not in self.made:
            self.made[key] = make()
        return self.made[key]
