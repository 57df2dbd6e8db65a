"""Effects into a mixture of experts: its router, or one expert, reads a changed input.

The two are receivers of their own. An expert reads the change where the clean run chose it, and
keeps the weight it had there; the router reads it and chooses anew, by new weights, among
experts with unchanged inputs: those it did not choose before are run for it.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from circuitgraph.engine.batches import gather
from circuitgraph.engine.experts import Activation, Routes, expert, mixed, routed, weighed
from circuitgraph.engine.model import Experts
from circuitgraph.engine.patch import Patch
from circuitgraph.engine.receivers import ROUTER


@dataclass(frozen=True)
class Mixture:
    """A block's experts in one run, at M positions of its R rows.

    ``read`` [M, d] is the input of router and experts, ``routes`` the router's choice for it, and
    ``patched`` [M] where some sender's contribution may differ.
    """

    experts: Experts
    activation: Activation
    read: Tensor
    routes: Routes
    patched: Tensor
    rows: int

    @classmethod
    def of(cls, patch: Patch, layer: int, read: Tensor, patched: Tensor) -> Mixture | None:
        """For ``read`` [R, Q, d], ``patched`` [R, Q, 1] of a block; None without experts."""
        experts = patch.model.blocks[layer].mlp
        if not isinstance(experts, Experts):
            return None
        flat = read.flatten(0, 1)
        routes = routed(experts, experts.norm(flat))
        inside = patched.flatten() > 0
        return cls(experts, patch.model.activation, flat, routes, inside, len(read))

    @classmethod
    def of_clean_run(cls, patch: Patch, layer: int) -> Mixture | None:
        """For the clean run, at the positions that block ``layer`` must still compute."""
        read = gather(patch.clean.layers[layer].read, patch.queries(layer))
        return cls.of(patch, layer, read, patch.at_scored(patch.batch.patched[None], layer)[0])

    def places(self, number: int) -> tuple[Tensor, Tensor]:
        """Patched positions at which an expert is chosen [m], and its weights there [m, 1]."""
        rows, weights = self.routes.where(number)
        inside = self.patched[rows]
        return rows[inside], weights[inside]

    def reached(self, number: int) -> Tensor:
        """1 for rows in which a receiver has any patched input, else 0 [R]."""
        found = self.read.new_zeros(self.rows)
        if number == ROUTER:
            return found + 1
        found[self.places(number)[0] // (len(self.read) // self.rows)] = 1
        return found

    def change(self, number: int, deltas: Tensor) -> Tensor:
        """Change of the block's output when one receiver's input changes, both [N, R, Q, d]."""
        if number == ROUTER:
            return self._rerouted(deltas.flatten(1, 2)).view(deltas.shape)
        places, weights = self.places(number)
        before, out = self.read[places], torch.zeros_like(deltas)
        after = before + deltas.flatten(1, 2)[:, places]
        changed = (self._output(number, after) - self._output(number, before)) * weights
        out.flatten(1, 2)[:, places] = changed
        return out

    @cached_property
    def _clean(self) -> tuple[Tensor, Tensor]:
        """Normed input and output of the whole mixture [M, d]."""
        normed = self.experts.norm(self.read)
        return normed, mixed(self.experts, self.activation, normed)

    def _output(self, number: int, read: Tensor) -> Tensor:
        return expert(self.experts, self.activation, number, self.experts.norm(read))

    def _rerouted(self, deltas: Tensor) -> Tensor:
        """Change [N, M, d] by the router alone."""
        normed, clean = self._clean
        after = self.experts.norm(self.read + deltas).flatten(0, 1)
        out = weighed(self.experts, self.activation, routed(self.experts, after), normed)
        return (out.view(deltas.shape) - clean) * self.patched[:, None]

    def slope(self, number: int, gradient: Tensor) -> tuple[Tensor, Tensor]:
        """Gradient by one receiver's input, and its positions: [m, d], [m].

        ``gradient`` [M, d] is by the block's output.
        """
        places = self.patched.nonzero()[:, 0] if number == ROUTER else self.places(number)[0]
        with torch.enable_grad():
            x = self.read[places].detach().requires_grad_(True)
            if number == ROUTER:
                scored = self._weighed(x, places, gradient)
            else:
                scored = self._output(number, x) * self.places(number)[1] * gradient[places]
            (found,) = torch.autograd.grad(scored.sum(), x)
        return found, places

    def _weighed(self, x: Tensor, places: Tensor, gradient: Tensor) -> Tensor:
        """Each position's router weights times the gain of its experts [m, k]."""
        routes = routed(self.experts, self.experts.norm(x))
        with torch.no_grad():
            normed, gain = self.experts.norm(x), torch.zeros_like(routes.weights)
            for number in routes.used:
                rows, place = (routes.chosen == number).nonzero(as_tuple=True)
                output = expert(self.experts, self.activation, number, normed[rows])
                gain[rows, place] = (output * gradient[places][rows]).sum(-1)
        return routes.weights * gain
