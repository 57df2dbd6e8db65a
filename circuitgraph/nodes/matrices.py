"""All weights of each component of a model, by kind."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor

from circuitgraph.base.components import (
    EMBED,
    LOGITS,
    attn_name,
    expert_name,
    head_name,
    kv_name,
    mlp_name,
    router_name,
)
from circuitgraph.base.errors import InputError
from circuitgraph.engine.bridge.engine import HookedModel
from circuitgraph.engine.model import Attention, Experts, Linear, Mlp, Model, Norm
from circuitgraph.engine.native import NativeModel
from circuitgraph.engine.norms import NoNorm

NORM, BIAS, POSITIONS = "norm", "bias", "positions"
Weights = tuple[tuple[str, str], Tensor]


def component_weights(model: NativeModel | HookedModel) -> dict[tuple[str, str], Tensor]:
    """All weights of each component as one matrix [d × columns], vectors apart.

    Heads: query and output; key/value groups: k and v; MLPs and experts: gate, up and down;
    routers. Keys are (component, category); the category is "" for matrices, ``norm`` for gains,
    ``bias`` for biases (those of all heads stand at the attention layer), ``positions`` for learnt
    positions of ``EMBED``.

    Raises
    ------
    InputError
        A family without a reader whose matrices hooks do not show.
    """
    if isinstance(model, HookedModel):
        try:
            return dict(_hooked(model))
        except (AttributeError, RuntimeError, ValueError) as error:
            raise InputError(
                f"weights: model type {model.family!r} has no reader, and hooks do not show the "
                "matrices of its components one by one"
            ) from error
    return dict(_native(model))


def _native(model: Model) -> Iterator[Weights]:
    yield (EMBED, ""), model.embed.T
    yield (LOGITS, ""), model.unembed.T
    if model.positions is not None:
        yield (EMBED, POSITIONS), model.positions.T
    yield from _vectors(LOGITS, [model.norm], [])
    for layer, block in enumerate(model.blocks):
        own, mlp = block.attention, block.mlp
        linears = [own.q, own.k, own.v, own.out]
        yield from _attention(model, layer, [linear.weight for linear in linears])
        yield from _vectors(attn_name(layer), _norms(own), linears)
        yield from _of_mlp(layer, mlp)


def _norms(part: Attention | Mlp) -> list[Norm]:
    more = [part.q_norm, part.k_norm] if isinstance(part, Attention) else []
    every = (part.norm, *more, part.post)
    return [norm for norm in every if norm is not None and not isinstance(norm, NoNorm)]


def _of_mlp(layer: int, mlp: Mlp | Experts) -> Iterator[Weights]:
    if isinstance(mlp, Experts):
        yield (router_name(layer), ""), mlp.router
        for number, (gate, up, down) in enumerate(zip(mlp.gate, mlp.up, mlp.down, strict=True)):
            yield (expert_name(layer, number), ""), torch.cat([gate, up, down.T], 1)
        yield from _vectors(mlp_name(layer), [mlp.norm], [])
        return
    linears = [linear for linear in (mlp.gate, mlp.up, mlp.down) if linear is not None]
    *read, down = (linear.weight for linear in linears)
    yield (mlp_name(layer), ""), torch.cat([*read, down.T], 1)
    yield from _vectors(mlp_name(layer), _norms(mlp), linears)


def _attention(
    model: NativeModel | HookedModel | Model, layer: int, matrices: list[Tensor]
) -> Iterator[Weights]:
    """By head and group, of q, k, v [d × columns] and the output matrix [columns × d]."""
    q, k, v, out = matrices
    size = q.shape[1] // model.heads
    for head in range(model.heads):
        own = slice(head * size, (head + 1) * size)
        yield (head_name(layer, head), ""), torch.cat([q[:, own], out[own].T], 1)
    groups = model.heads // model.group
    for group, both in enumerate(zip(k.chunk(groups, 1), v.chunk(groups, 1), strict=True)):
        yield (kv_name(layer, group), ""), torch.cat(both, 1)


def _vectors(name: str, norms: list[Norm], linears: list[Linear]) -> Iterator[Weights]:
    gains = [norm.weight.flatten() for norm in norms]
    biases = [part.bias for part in linears] + [norm.bias for norm in norms]
    yield from _columns(name, gains, biases)


def _columns(name: str, gains: list[Tensor], biases: list[Tensor | None]) -> Iterator[Weights]:
    there = [bias.flatten() for bias in biases if bias is not None]
    for kind, vectors in ((NORM, gains), (BIAS, there)):
        if vectors:
            yield (name, kind), torch.cat(vectors)[:, None]


@torch.no_grad()
def _hooked(model: HookedModel) -> Iterator[Weights]:
    top = model.hooked
    yield (EMBED, ""), top.embed.original_component.weight.T
    if model.read_out is not None:
        yield (LOGITS, ""), model.read_out.unembed.T
    else:
        yield (LOGITS, ""), top.unembed.original_component.weight.T
    if hasattr(top, "pos_embed") and hasattr(top.pos_embed.original_component, "weight"):
        yield (EMBED, POSITIONS), top.pos_embed.original_component.weight.T
    yield from _raw(LOGITS, [top.ln_final], [top.unembed])
    for layer, (block, wiring) in enumerate(zip(top.blocks, model.wiring, strict=True)):
        reads = [getattr(block.attn, letter) for letter in "qkv"]
        out = wiring.out.flatten(0, 1)
        yield from _attention(model, layer, [*map(_matrix, reads), out])
        parts = [getattr(block.mlp, name, None) for name in ("gate", "in", "out")]
        *read, down = (_matrix(part) for part in parts if part is not None)
        yield (mlp_name(layer), ""), torch.cat([*read, down.T], 1)
        own = _named(block.attn, "q_norm", "k_norm")
        first, second = _named(block, "ln1", "ln1_post"), _named(block, "ln2", "ln2_post")
        yield from _raw(attn_name(layer), [*first, *own], [*reads, block.attn.o])
        yield from _raw(mlp_name(layer), second, parts)


def _named(module: Any, *names: str) -> list[Any]:
    return [getattr(module, name) for name in names if getattr(module, name, None) is not None]


def _matrix(part: Any) -> Tensor:
    """What a linear module of the library multiplies by [inputs × outputs], however kept."""
    linear = part.original_component
    size = getattr(linear, "in_features", None) or linear.weight.shape[0]
    zero = torch.zeros(size)
    return torch.as_tensor(linear(torch.eye(size)) - linear(zero))


def _raw(name: str, norms: list[Any], linears: list[Any]) -> Iterator[Weights]:
    """Gains and biases as the library keeps them."""
    modules = [part.original_component for part in (*linears, *norms) if part is not None]
    gains = [norm.original_component.weight.flatten() for norm in norms if _weighs(norm)]
    yield from _columns(name, gains, [getattr(module, "bias", None) for module in modules])


def _weighs(norm: Any) -> bool:
    return getattr(norm.original_component, "weight", None) is not None
