"""Copies of a model that drifted at random: what any update does to every channel.

By function no closed form says how much a channel changes when weights move: a channel
that is the small difference of large ones, or that attention turns into a step, changes
more than others under any update. So the model itself is moved, a few times.
"""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from circuitgraph.engine.model import Block, Linear, Model

SIZE = 0.02
"""‖ΔW‖ / ‖W‖ of every matrix: small enough that changes are in proportion to it."""

RANK = 8


def drifted(model: Model, seed: int) -> Model:
    """The model with a random update of rank 8 and relative size 2% on every matrix.

    Embeddings stay, as they do in fine-tuning by adapters; the unembedding moves.
    """
    generator = torch.Generator().manual_seed(seed)
    blocks = tuple(_block(block, generator) for block in model.blocks)
    return replace(model, blocks=blocks, unembed=_moved(model.unembed, generator))


def _block(block: Block, generator: torch.Generator) -> Block:
    attention, mlp = block.attention, block.mlp
    q, k, v, out = (
        _linear(linear, generator)
        for linear in (attention.q, attention.k, attention.v, attention.out)
    )
    gate = None if mlp.gate is None else _linear(mlp.gate, generator)
    up, down = _linear(mlp.up, generator), _linear(mlp.down, generator)
    return replace(
        block,
        attention=replace(attention, q=q, k=k, v=v, out=out),
        mlp=replace(mlp, gate=gate, up=up, down=down),
    )


def _linear(linear: Linear, generator: torch.Generator) -> Linear:
    return replace(linear, weight=_moved(linear.weight, generator))


def _moved(weight: Tensor, generator: torch.Generator) -> Tensor:
    rank = min(RANK, *weight.shape)
    left, right = (
        torch.randn(size, rank, generator=generator, dtype=torch.float64) for size in weight.shape
    )
    update = (left @ right.T).to(weight.dtype)
    return weight + update * (SIZE * weight.norm() / update.norm())
