"""Mixtures of experts: a router gives each position its weights of a few MLPs of many.

    m(x) = Σ_e w_e(x) · E_e(x),  w = softmax(x·R), kept for the largest k of them alone

(Shazeer et al. 2017, arXiv:1701.06538). Beside heads every expert is a component: it adds
w_e · E_e to the stream where it is chosen, and nothing elsewhere.

Gradients are those of the weights and experts chosen, for the choice itself has none.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from circuitgraph.engine.model import Experts

Activation = Callable[[Tensor], Tensor]


@dataclass(frozen=True)
class Routes:
    """Experts that the router chose for M positions [M, k], and their weights [M, k]."""

    weights: Tensor
    chosen: Tensor

    @property
    def used(self) -> list[int]:
        """Experts chosen at some position, ascending."""
        numbers: list[int] = self.chosen.unique().tolist()
        return numbers

    def where(self, number: int) -> tuple[Tensor, Tensor]:
        """Positions at which an expert is chosen [m], and its weights there [m, 1]."""
        rows, place = (self.chosen == number).nonzero(as_tuple=True)
        return rows, self.weights[rows, place, None]


def routed(experts: Experts, normed: Tensor) -> Routes:
    """The router's choice for normed inputs [M, d]."""
    return chosen_by(experts, normed @ experts.router)


def chosen_by(experts: Experts, scores: Tensor) -> Routes:
    """The same by the router's scores of all experts [M, E]."""
    weights, chosen = scores.softmax(-1).topk(experts.chosen, -1)
    if experts.renormed:
        weights = weights / weights.sum(-1, keepdim=True)
    return Routes(weights, chosen)


def expert(experts: Experts, activation: Activation, number: int, normed: Tensor) -> Tensor:
    """Output of one expert for normed inputs [..., d], without its weight."""
    return inner(experts, activation, number, normed) @ experts.down[number]


def inner(experts: Experts, activation: Activation, number: int, normed: Tensor) -> Tensor:
    """Inner activation of one expert, before its output matrix [..., f]."""
    return activation(normed @ experts.gate[number]) * (normed @ experts.up[number])


def weighed(experts: Experts, activation: Activation, routes: Routes, normed: Tensor) -> Tensor:
    """Weighted sums of experts' outputs at M clean positions, by the routes of copies of them.

    Parameters
    ----------
    routes
        Of N copies of the positions.
    normed : [M, d]
        What the experts read at each.

    Returns
    -------
    [N · M, d]
    """
    out = normed.new_zeros(len(routes.chosen), experts.down.shape[-1])
    for number in routes.used:
        rows, weights = routes.where(number)
        here, place = (rows % len(normed)).unique(return_inverse=True)
        output = expert(experts, activation, number, normed[here])
        out.index_add_(0, rows, output[place] * weights)
    return out


def mixed(experts: Experts, activation: Activation, normed: Tensor) -> Tensor:
    """Output of the whole mixture for normed inputs [..., d]; only chosen experts are run."""
    flat = normed.reshape(-1, normed.shape[-1])
    routes = routed(experts, flat)
    out = torch.zeros_like(flat)
    for _, rows, output in _each(experts, activation, routes, lambda number, rows: flat[rows]):
        out = out.index_add(0, rows, output)
    return out.view(normed.shape)


def apart(
    experts: Experts,
    activation: Activation,
    routes: Routes,
    read: Callable[[int, Tensor], Tensor],
) -> Tensor:
    """Contribution of every expert [E, M, d], 0 where the router did not choose it.

    ``read`` gives the normed input of an expert, by its number, at some of the positions [m].
    """
    size = experts.router.shape[-1], len(routes.chosen), experts.down.shape[-1]
    out = experts.down.new_zeros(size)
    for number, rows, output in _each(experts, activation, routes, read):
        out[number, rows] = output
    return out


def _each(
    experts: Experts,
    activation: Activation,
    routes: Routes,
    read: Callable[[int, Tensor], Tensor],
) -> Iterator[tuple[int, Tensor, Tensor]]:
    """Number, positions [m] and weighted output [m, d] of every expert chosen at some position."""
    for number in routes.used:
        rows, weights = routes.where(number)
        yield number, rows, expert(experts, activation, number, read(number, rows)) * weights
