"""A mixture of experts with what one of its receivers holds put in place.

The receiver is the router or one expert. All else of the block reads the clean stream by the
block's own weights.
"""

from __future__ import annotations

from torch import Tensor

from circuitgraph.engine.experts import (
    Activation,
    Routes,
    chosen_by,
    expert,
    inner,
    mixed,
    routed,
    weighed,
)
from circuitgraph.engine.model import Experts


def held_by_expert(experts: Experts, activation: Activation, number: int, stream: Tensor) -> Tensor:
    """What an expert holds before its last matrix, times its weight; 0 where it is not chosen.

    Parameters
    ----------
    stream : [..., d]
        What router and expert read.

    Returns
    -------
    [..., f]
    """
    normed = experts.norm(stream.flatten(0, -2))
    rows, weights = routed(experts, normed).where(number)
    held = normed.new_zeros(len(normed), experts.down.shape[1])
    held[rows] = inner(experts, activation, number, normed[rows]) * weights
    return held.view(*stream.shape[:-1], -1)


def with_expert(
    experts: Experts, activation: Activation, number: int, held: Tensor, stream: Tensor
) -> Tensor:
    """What the block adds [R, Q, d] where one expert holds other things than it would.

    Parameters
    ----------
    held : [R, Q, f]
        Before its last matrix, its weight left out.
    stream : [R, Q, d]
        What router and the others read.
    """
    normed = experts.norm(stream.flatten(0, -2))
    rows, weights = routed(experts, normed).where(number)
    out = mixed(experts, activation, normed)
    out[rows] -= expert(experts, activation, number, normed[rows]) * weights
    out[rows] += held.flatten(0, -2)[rows] @ experts.down[number] * weights
    return out.view(stream.shape)


def with_router(experts: Experts, activation: Activation, scores: Tensor, stream: Tensor) -> Tensor:
    """What the block adds [R, Q, d] where its router scores experts otherwise.

    Parameters
    ----------
    scores : [R, Q, E]
        Before the softmax.
    stream : [R, Q, d]
        What the experts read.
    """
    normed = experts.norm(stream.flatten(0, -2))
    routes: Routes = chosen_by(experts, scores.flatten(0, -2))
    return weighed(experts, activation, routes, normed).view(stream.shape)
