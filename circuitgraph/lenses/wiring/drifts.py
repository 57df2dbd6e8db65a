"""Copies of a model with random updates: how much any update changes each channel.

By function there is no closed form for how a channel changes with the weights: the small
difference of large channels, or one behind a sharp softmax, changes more than others under
any update. So updates are drawn and measured.
"""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from circuitgraph.engine.model import Block, Linear, Model

RANK = 8


def drifted(model: Model, size: float, seed: int) -> Model:
    """The model with a random update of rank 8 on every matrix, embeddings left out.

    Parameters
    ----------
    size : float
        ‖ΔW‖ / ‖W‖ of every matrix.
    seed : int
        Of the directions; the same for every size.
    """
    generator = torch.Generator().manual_seed(seed)
    blocks = tuple(_block(block, size, generator) for block in model.blocks)
    return replace(model, blocks=blocks, unembed=_moved(model.unembed, size, generator))


def _block(block: Block, size: float, generator: torch.Generator) -> Block:
    attention, mlp = block.attention, block.one_mlp
    q, k, v, out = (
        _linear(linear, size, generator)
        for linear in (attention.q, attention.k, attention.v, attention.out)
    )
    gate = None if mlp.gate is None else _linear(mlp.gate, size, generator)
    up, down = _linear(mlp.up, size, generator), _linear(mlp.down, size, generator)
    return replace(
        block,
        attention=replace(attention, q=q, k=k, v=v, out=out),
        mlp=replace(mlp, gate=gate, up=up, down=down),
    )


def _linear(linear: Linear, size: float, generator: torch.Generator) -> Linear:
    return replace(linear, weight=_moved(linear.weight, size, generator))


def _moved(weight: Tensor, size: float, generator: torch.Generator) -> Tensor:
    rank = min(RANK, *weight.shape)
    left, right = (
        torch.randn(side, rank, generator=generator, dtype=torch.float64) for side in weight.shape
    )
    update = (left @ right.T).to(weight)
    return weight + update * (size * weight.norm() / update.norm())
