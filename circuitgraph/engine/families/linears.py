"""The library's weight matrices as ours, split where it stores several in one; LayerNorms."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from circuitgraph.engine.model import Experts, Linear, Norm


def linear(module: Any) -> Linear:
    """A torch Linear (weight [outputs × inputs]) as ours (weight [inputs × outputs])."""
    bias = None if module.bias is None else module.bias.detach()
    return Linear(module.weight.detach().T, bias)


def scaled(read: Linear, factor: float) -> Linear:
    """The same with its output multiplied, so that a contribution is what joins the stream."""
    return read if factor == 1.0 else read.outputs(lambda x: x * factor)


def layer_norm(module: Any) -> Norm:
    """A torch LayerNorm as ours."""
    return Norm(module.weight.detach(), module.bias.detach(), module.eps, centre=True)


def split(read: Linear, sizes: Sequence[int]) -> list[Linear]:
    """Matrices that lie side by side in one, of so many outputs each."""
    weights = read.weight.split(list(sizes), 1)
    biases = [None] * len(sizes) if read.bias is None else read.bias.split(list(sizes))
    return [Linear(w, b) for w, b in zip(weights, biases, strict=True)]


def interleaved(read: Linear, heads: int) -> list[Linear]:
    """q, k and v where each head's three lie together (GPT-NeoX)."""
    weights = read.weight.unflatten(1, (heads, 3, -1)).unbind(2)
    biases = [None] * 3 if read.bias is None else read.bias.unflatten(0, (heads, 3, -1)).unbind(1)
    return [
        Linear(w.flatten(1), None if b is None else b.flatten())
        for w, b in zip(weights, biases, strict=True)
    ]


def experts(mlp: Any, norm: Norm) -> Experts:
    """A library's mixture of experts, its matrices seen from where they lie."""
    first, router = mlp.experts.gate_up_proj.detach(), mlp.gate
    gate, up = first.chunk(2, 1)
    return Experts(
        norm=norm,
        router=router.weight.detach().T,
        gate=gate.mT,
        up=up.mT,
        down=mlp.experts.down_proj.detach().mT,
        chosen=router.top_k,
        renormed=bool(getattr(router, "norm_topk_prob", True)),
    )


def named(*names: str) -> Callable[[Any, Any], list[Linear]]:
    """A reader of matrices by the names of their modules."""

    def read(module: Any, config: Any) -> list[Linear]:
        return [linear(getattr(module, name)) for name in names]

    return read
