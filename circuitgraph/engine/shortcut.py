"""The MLP of a receiver's own block, for a change of few dimensions.

A patched head changes its e outputs, and the MLP of its block reads mid + Δz·W_O. With the
norm's scale taken out, its first matrices U are linear:

    norm(mid + Δz·W_O)·U = scale · (mid̃·U + Δz·(W̃_O·U)) + b·U

(the tilde: centred where the norm centres, times its gain; b: its bias). The clean part is the
same for every sender, and the change costs e rows of U instead of d.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from circuitgraph.engine.batches import gather
from circuitgraph.engine.forward import post
from circuitgraph.engine.model import Experts, Linear, Mlp, Model, Norm
from circuitgraph.engine.patch import Patch


@dataclass(frozen=True)
class First:
    """One first matrix of an MLP, of gate or up.

    ``clean`` [R, Q, f] is its product with the clean stream before the scale, ``step`` [H·e, f]
    that with each output of each head, ``constant`` [f] is added after the scale.
    """

    clean: Tensor
    step: Tensor
    constant: Tensor | None


@dataclass(frozen=True)
class Shortcut:
    """An MLP prepared for changes of heads of its own block."""

    model: Model
    mlp: Mlp
    gate: First | None
    up: First

    def __call__(self, change: Tensor, mid: Tensor, heads: slice) -> Tensor:
        """Contribution of the MLP [N, R, Q, d].

        Parameters
        ----------
        change : [N, R, Q, heads, e]
            Of the heads' z.
        mid : [N, R, Q, d]
            The stream with that change.
        """
        size = self.model.head_size
        rows = slice(heads.start * size, heads.stop * size)
        flat, scale = change.flatten(-2), self.mlp.norm.scale(mid)
        hidden = _read(self.up, flat, scale, rows)
        if self.gate is None:
            hidden = self.model.activation(hidden)
        else:
            hidden = self.model.activation(_read(self.gate, flat, scale, rows)).mul_(hidden)
        return post(self.mlp.down(hidden), self.mlp.post)


def _read(first: First, change: Tensor, scale: Tensor, rows: slice) -> Tensor:
    read = (change @ first.step[rows]).add_(first.clean).mul_(scale)
    return read if first.constant is None else read.add_(first.constant)


def make_shortcut(patch: Patch, layer: int, heads: slice) -> Shortcut | None:
    """The shortcut of one block, or None where it would save nothing.

    With a norm after attention (Gemma-2) a head's change is not of few dimensions; in parallel
    blocks the MLP does not read it; and experts are many first matrices.
    """
    model, block = patch.model, patch.model.blocks[layer]
    narrow = 2 * (heads.stop - heads.start) * model.head_size <= model.width
    mlp = block.mlp
    if isinstance(mlp, Experts) or block.attention.post is not None or model.parallel or not narrow:
        return None
    mid = gather(patch.clean.layers[layer].mid, patch.queries(layer))
    sides = (mid, block.attention.out.weight)
    clean, out = map(mlp.norm.linear, sides)
    gate = mlp.gate
    return Shortcut(
        model=model,
        mlp=mlp,
        gate=None if gate is None else _first(mlp.norm, gate, clean, out),
        up=_first(mlp.norm, mlp.up, clean, out),
    )


def _first(norm: Norm, linear: Linear, clean: Tensor, out: Tensor) -> First:
    parts = [] if norm.bias is None else [norm.bias @ linear.weight]
    parts += [] if linear.bias is None else [linear.bias]
    constant = torch.stack(parts).sum(0) if parts else None
    return First(clean @ linear.weight, out @ linear.weight, constant)
