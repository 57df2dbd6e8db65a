"""Rewrites: other weights that compute the same function."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor

from circuitgraph.base.errors import InputError, UsageError
from circuitgraph.engine.model import Block, Linear, Mlp, Model
from circuitgraph.lenses.wiring.heads import reordered, taken
from circuitgraph.plant.folders import Planted, read, require_free, table, write


def rewrite(model: str | Path, out: str | Path, *, kind: str = "all", seed: int = 0) -> Planted:
    """Write a model with other weights and the same function: a null pair.

    Parameters
    ----------
    kind
        ``value``: a rotation between each value and output matrix; ``query``: a rotation of queries
        and keys that commutes with rotary positions; ``neurons``: another order of neurons, and
        scales moved from ``up`` to ``down``; ``heads``: another order of heads, within what shares
        keys and of these, which relabels components; ``all``: the first three.

    Raises
    ------
    UsageError
        An unknown kind, or a folder that is not free.
    InputError
        A model that has no such rewrite.
    """
    if kind not in KINDS:
        raise UsageError(f"rewrite {kind!r}: choose one of {', '.join(KINDS)}")
    require_free(Path(out))
    source = read(model)
    if "query" in STEPS[kind] and source.model.blocks[0].attention.q_norm is not None:
        raise InputError(
            f"{model}: norms of queries and keys hold them fast; rewrite values, neurons or heads"
        )
    rewritten = rewritten_model(source.model, kind, torch.Generator().manual_seed(seed))
    return Planted(source.folder, write(source, rewritten, Path(out)), table(()), table(()))


def rewritten_model(model: Model, kind: str, random: torch.Generator) -> Model:
    """The same in memory."""
    blocks = model.blocks
    for name in STEPS[kind]:
        blocks = tuple(REWRITES[name](model, block, random) for block in blocks)
    return replace(model, blocks=blocks)


def rotation(size: int, random: torch.Generator, dtype: torch.dtype) -> Tensor:
    """A random orthogonal matrix (Haar) [size, size]."""
    drawn = torch.randn(size, size, generator=random, dtype=dtype)
    q, r = torch.linalg.qr(drawn)
    return q * r.diagonal().sign()


def rotary_rotation(size: int, random: torch.Generator, dtype: torch.dtype) -> Tensor:
    """Rotation of each pair (i, i + size/2), which commutes with rotary positions."""
    angle = torch.rand(size // 2, generator=random, dtype=dtype) * 2 * torch.pi
    cos, sin = angle.cos().diag(), angle.sin().diag()
    return torch.cat([torch.cat([cos, sin], 1), torch.cat([-sin, cos], 1)])


def _turned(linear: Linear, turns: Tensor) -> Linear:
    """Turn the outputs of every head: weight [in × heads·size], turns [heads, size, size]."""

    def turn(x: Tensor) -> Tensor:
        parts = x.unflatten(-1, turns.shape[:2])
        return torch.einsum("...he,hef->...hf", parts, turns).flatten(-2)

    return linear.outputs(turn)


def _turned_back(linear: Linear, turns: Tensor) -> Linear:
    """Undo turns in a matrix that reads heads: weight [heads·size × out]."""
    parts = linear.weight.unflatten(0, turns.shape[:2])
    return Linear(torch.einsum("hef,hed->hfd", turns, parts).flatten(0, 1), linear.bias)


def _value(model: Model, block: Block, random: torch.Generator) -> Block:
    attention = block.attention
    turns = torch.stack(
        [rotation(model.head_size, random, model.dtype) for _ in range(model.kv_heads)]
    )
    out = _turned_back(attention.out, turns.repeat_interleave(model.group, 0))
    return replace(block, attention=replace(attention, v=_turned(attention.v, turns), out=out))


def _query(model: Model, block: Block, random: torch.Generator) -> Block:
    attention = block.attention
    draw = rotation if attention.rotary is None else rotary_rotation
    turns = torch.stack([draw(model.head_size, random, model.dtype) for _ in range(model.kv_heads)])
    q = _turned(attention.q, turns.repeat_interleave(model.group, 0))
    return replace(block, attention=replace(attention, q=q, k=_turned(attention.k, turns)))


def _neurons(model: Model, block: Block, random: torch.Generator) -> Block:
    mlp = block.one_mlp
    count = mlp.up.weight.shape[1]
    order = torch.randperm(count, generator=random)
    up, down = taken(mlp.up, order), Linear(mlp.down.weight[order], mlp.down.bias)
    if mlp.gate is None:  # what is bent by the activation cannot be scaled
        return replace(block, mlp=replace(mlp, up=up, down=down))
    scale = torch.exp(torch.randn(count, generator=random, dtype=model.dtype) / 2)
    up = up.outputs(lambda x: x * scale)
    down = Linear(down.weight / scale[:, None], down.bias)
    return replace(block, mlp=Mlp(mlp.norm, taken(mlp.gate, order), up, down, mlp.post))


def _heads(model: Model, block: Block, random: torch.Generator) -> Block:
    groups = torch.randperm(model.kv_heads, generator=random)
    within = [torch.randperm(model.group, generator=random) for _ in range(model.kv_heads)]
    heads = torch.cat([g * model.group + w for g, w in zip(groups, within, strict=True)])
    return reordered(model, block, heads.tolist())


REWRITES: dict[str, Callable[[Model, Block, torch.Generator], Block]] = {
    "value": _value,
    "query": _query,
    "neurons": _neurons,
    "heads": _heads,
}
STEPS = {name: (name,) for name in REWRITES} | {"all": ("value", "query", "neurons")}
KINDS = tuple(STEPS)
