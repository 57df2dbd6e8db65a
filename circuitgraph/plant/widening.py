"""Widen the residual stream and keep the function."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor
from torch.nn.functional import pad

from circuitgraph.engine.model import Attention, Block, Linear, Mlp, Model, Norm


def centred(model: Model) -> Model:
    """Centre output weights, so that LayerNorm's mean is 0 with further channels."""
    if not model.norm.centre:
        return model

    def centre(weight: Tensor) -> Tensor:
        return weight - weight.mean(-1, keepdim=True)

    blocks = tuple(
        Block(
            replace(block.attention, out=block.attention.out.outputs(centre)),
            replace(block.one_mlp, down=block.one_mlp.down.outputs(centre)),
        )
        for block in model.blocks
    )
    positions = None if model.positions is None else centre(model.positions)
    return replace(model, embed=centre(model.embed), positions=positions, blocks=blocks)


def widened(model: Model, width: int, growth: list[float]) -> Model:
    """Zero-padded weights, with norms that act on the old dimensions as before."""
    more = width - model.width
    scale = width**0.5 if model.embed_scale != 1 else 1.0
    shrunk = model.embed * (model.embed_scale / scale)
    blocks = tuple(
        _widened_block(block, more, growth[2 * i], growth[2 * i + 1])
        for i, block in enumerate(model.blocks)
    )
    return replace(
        model,
        width=width,
        embed=pad(shrunk, (0, more)),
        embed_scale=scale,
        positions=None if model.positions is None else pad(model.positions, (0, more)),
        blocks=blocks,
        norm=_wide_norm(model.norm, more, growth[-1]),
        unembed=pad(model.unembed, (0, more)),
    )


def _widened_block(block: Block, more: int, before: float, between: float) -> Block:
    attention, mlp = block.attention, block.one_mlp
    return Block(
        replace(
            attention,
            norm=_wide_norm(attention.norm, more, before),
            q=_wide_in(attention.q, more),
            k=_wide_in(attention.k, more),
            v=_wide_in(attention.v, more),
            out=_wide_out(attention.out, more),
        ),
        Mlp(
            _wide_norm(mlp.norm, more, between),
            None if mlp.gate is None else _wide_in(mlp.gate, more),
            _wide_in(mlp.up, more),
            _wide_out(mlp.down, more),
            None,
        ),
    )


def _wide_norm(norm: Norm, more: int, growth: float) -> Norm:
    weight = torch.cat([norm.weight, norm.weight.abs().mean().expand(more)]) * growth
    bias = None if norm.bias is None else pad(norm.bias, (0, more))
    return replace(norm, weight=weight, bias=bias)


def _wide_in(linear: Linear, more: int) -> Linear:
    return Linear(pad(linear.weight, (0, 0, 0, more)), linear.bias)


def _wide_out(linear: Linear, more: int) -> Linear:
    return linear.outputs(lambda x: pad(x, (0, more)))


def own_head_size(model: Model) -> Model:
    """Pad GPT-2's heads, whose size derives from the width, and keep their scores."""
    if model.family != "gpt2":
        return model
    size = model.width // model.heads
    blocks = tuple(
        replace(block, attention=_padded(block.attention, model, size)) for block in model.blocks
    )
    return replace(model, head_size=size, blocks=blocks)


def _padded(attention: Attention, model: Model, size: int) -> Attention:
    more = size - model.head_size
    grown = (size / model.head_size) ** 0.5

    def columns(x: Tensor) -> Tensor:
        return pad(x.unflatten(-1, (model.heads, -1)), (0, more)).flatten(-2)

    def linear(part: Linear, factor: float = 1.0) -> Linear:
        return part.outputs(lambda x: columns(x) * factor)

    out = Linear(columns(attention.out.weight.T).T.contiguous(), attention.out.bias)
    return replace(
        attention,
        q=linear(attention.q, grown),
        k=linear(attention.k),
        v=linear(attention.v),
        out=out,
        scale=attention.scale / grown,
    )
