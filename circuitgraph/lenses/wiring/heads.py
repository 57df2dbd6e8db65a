"""Heads of two models matched by function: a rewrite may have changed their order."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import torch
from scipy.optimize import linear_sum_assignment
from torch import Tensor

from circuitgraph.engine.contributions import contributions
from circuitgraph.engine.model import Block, Linear, Model, Norm
from circuitgraph.engine.norms import JointNorm
from circuitgraph.lenses.wiring.signals import BatchRuns

CLEARLY = 0.25
"""Heads keep their names unless another order brings the squared distance under this part."""


@torch.no_grad()
def distances(models: tuple[Model, Model], runs: BatchRuns) -> np.ndarray:
    """Squared distance between the contributions of each head of A and of B on clean prompts.

    float64 [layers, H, H], summed over the prompts and positions of a batch.
    """
    inside = runs.batch.patched[None].double()
    a, b = (
        contributions(model, trace, runs.batch.index, "head") * inside
        for model, trace in zip(models, runs.clean, strict=True)
    )
    layers, heads = models[0].layers, models[0].heads
    x, y = (_by_layer(added, layers, heads) for added in (a, b))
    return torch.cdist(x, y).pow(2).cpu().numpy()


def _by_layer(added: Tensor, layers: int, heads: int) -> Tensor:
    return added[1:].unflatten(0, (layers, heads + 1))[:, :heads].flatten(2)


def matched(distance: np.ndarray, group: int) -> list[int]:
    """For every head of A the head of B closest to it, key groups kept whole.

    Parameters
    ----------
    distance : float64 [H × H]
        Of one layer, summed over prompts.
    group : int
        Query heads that share keys and values.
    """
    heads = len(distance)
    blocks = distance.reshape(heads // group, group, heads // group, group).swapaxes(1, 2)
    within = [[linear_sum_assignment(cell)[1] for cell in row] for row in blocks]
    cost = np.array(
        [
            [c[np.arange(group), w].sum() for c, w in zip(*pair, strict=True)]
            for pair in zip(blocks, within, strict=True)
        ]
    )
    chosen = linear_sum_assignment(cost)[1]
    best = cost[np.arange(len(cost)), chosen].sum()
    if best >= CLEARLY * np.trace(distance):
        return list(range(heads))
    return [int(g * group + h) for i, g in enumerate(chosen) for h in within[i][g]]


def aligned(model: Model, orders: Sequence[Sequence[int]]) -> Model:
    """The same function with the heads of every layer in another order."""
    blocks = zip(model.blocks, orders, strict=True)
    return replace(model, blocks=tuple(reordered(model, block, o) for block, o in blocks))


def reordered(model: Model, block: Block, order: Sequence[int]) -> Block:
    """The same function with a block's heads in another order that keeps its groups whole."""
    if list(order) == list(range(model.heads)):
        return block
    attention, size = block.attention, model.head_size
    groups = [order[h] // model.group for h in range(0, model.heads, model.group)]
    q, kv = (_columns(of, size) for of in (order, groups))
    out = attention.out
    return replace(
        block,
        attention=replace(
            attention,
            q=taken(attention.q, q),
            k=taken(attention.k, kv),
            v=taken(attention.v, kv),
            q_norm=_norm(attention.q_norm, order),
            k_norm=_norm(attention.k_norm, groups),
            out=Linear(out.weight[q], out.bias),
        ),
    )


def _norm(norm: Norm | None, order: Sequence[int]) -> Norm | None:
    """A norm over all heads at once has a gain for each; other norms treat all heads alike."""
    return replace(norm, weight=norm.weight[list(order)]) if isinstance(norm, JointNorm) else norm


def _columns(order: Sequence[int], size: int) -> Tensor:
    return torch.cat([torch.arange(h * size, (h + 1) * size) for h in order])


def taken(linear: Linear, columns: Tensor) -> Linear:
    bias = None if linear.bias is None else linear.bias[columns]
    return Linear(linear.weight[:, columns], bias)
