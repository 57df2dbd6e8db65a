"""Sets of components, and a model with their weights from another model of the same build."""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from dataclasses import replace

from torch import Tensor

from circuitgraph.base.components import EMBED, LOGITS, Component, attn_name, mlp_name, parse
from circuitgraph.base.errors import UsageError, quoted
from circuitgraph.engine.bridge.engine import HookedModel
from circuitgraph.engine.model import Attention, Block, Experts, Linear
from circuitgraph.engine.native import NativeModel


def sets_of(
    components: Sequence[str], layers: str | tuple[int, int] | None, each: bool, depth: int
) -> list[list[str]]:
    """Sets of components to transplant together.

    Parameters
    ----------
    components
        One text per set, names with commas.
    layers
        ``"11-23"`` or (11, 23): another set of whole blocks.
    each
        Add every attention layer, MLP, embedding and unembedding alone; the default without sets.
    depth
        Number of layers.

    Raises
    ------
    UsageError
        Malformed layers.
    """
    sets = [[name.strip() for name in text.split(",") if name.strip()] for text in components]
    if layers is not None:
        first, last = _bounds(layers, depth)
        sets.append([f(k) for k in range(first, last + 1) for f in (attn_name, mlp_name)])
    if each or not sets:
        inner = [[f(k)] for k in range(depth) for f in (attn_name, mlp_name)]
        sets += [[EMBED], *inner, [LOGITS]]
    return sets


def _bounds(layers: str | tuple[int, int], depth: int) -> tuple[int, int]:
    if isinstance(layers, str):
        found = re.fullmatch(r"\s*(\d+)(?:\s*[-:]\s*(\d+))?\s*", layers, re.ASCII)
        bounds = None if found is None else (int(found[1]), int(found[2] or found[1]))
    else:
        bounds = layers
    if bounds is None or not 0 <= bounds[0] <= bounds[1] < depth:
        raise UsageError(f"``layers={layers!r}``: the layers are 0-{depth - 1}; write FIRST-LAST")
    return bounds


def with_parts(into: NativeModel, source: NativeModel, components: Collection[str]) -> NativeModel:
    """``into`` with the weights of some components of ``source``; neither is changed.

    Parameters
    ----------
    into, source
        Of one build.
    components
        ``L5H3``: query and output weights of the head. ``L5KV1``: k and v of a group.
        ``L5_ATTN``: attention with its norms. ``L5_MLP``: the MLP with its norms, or the whole
        mixture. ``L5E17``: one expert. ``L5_ROUTER``: the router.
        ``EMBED``: token and position embeddings. ``LOGITS``: final norm and unembedding.

    Raises
    ------
    UsageError
        A component that these models do not have.
    """
    blocks, rest = list(into.blocks), into
    for name in components:
        part = parse(name)
        require_part(part, into)
        if name == EMBED:
            rest = replace(rest, embed=source.embed, positions=source.positions)
        elif name == LOGITS:
            rest = replace(rest, norm=source.norm, unembed=source.unembed)
        else:
            layer = part.layer or 0
            blocks[layer] = _block(into, blocks[layer], source.blocks[layer], part)
    return replace(rest, blocks=tuple(blocks))


def require_part(part: Component, model: NativeModel | HookedModel) -> None:
    """Refuse (UsageError) a component that a model does not have."""
    limits = {"head": model.heads, "kv": model.kv_heads}
    known = part.kind in ("embed", "logits", "head", "kv", "attn", "mlp", "expert", "router")
    if known and part.layer is not None:
        experts = model.experts[part.layer] if part.layer < len(model.experts) else 0
        limits |= {"expert": experts, "router": min(experts, 1)}
        known = part.layer < model.layers and (part.head or 0) < limits.get(part.kind, 1)
    if not known:
        raise UsageError(
            f"``components``: {quoted(part.name, 40)} is no part of these models; name "
            "L5H3, L5KV1, L5_ATTN, L5_MLP, EMBED or LOGITS (of a mixture also L5E17, L5_ROUTER)"
        )


def _block(model: NativeModel, block: Block, source: Block, part: Component) -> Block:
    if part.kind == "mlp":
        return replace(block, mlp=source.mlp)
    if part.kind == "attn":
        return replace(block, attention=source.attention)
    if isinstance(block.mlp, Experts) and isinstance(source.mlp, Experts):
        if part.kind == "router":
            return replace(block, mlp=replace(block.mlp, router=source.mlp.router))
        if part.kind == "expert":
            return replace(block, mlp=_with_expert(block.mlp, source.mlp, part.head or 0))
    index = part.head or 0
    own = slice(index * model.head_size, (index + 1) * model.head_size)
    a: Attention = block.attention
    b: Attention = source.attention
    if part.kind == "head":
        weight = a.out.weight.clone()
        weight[own] = b.out.weight[own]
        a = replace(a, q=_columns(a.q, b.q, own), out=Linear(weight, a.out.bias))
    else:
        a = replace(a, k=_columns(a.k, b.k, own), v=_columns(a.v, b.v, own))
    return replace(block, attention=a)


def _with_expert(into: Experts, source: Experts, number: int) -> Experts:
    def exchanged(a: Tensor, b: Tensor) -> Tensor:
        mixed = a.clone()
        mixed[number] = b[number]
        return mixed

    gate, up = exchanged(into.gate, source.gate), exchanged(into.up, source.up)
    return replace(into, gate=gate, up=up, down=exchanged(into.down, source.down))


def _columns(into: Linear, source: Linear, own: slice) -> Linear:
    weight = into.weight.clone()
    weight[:, own] = source.weight[:, own]
    bias: Tensor | None = into.bias
    if bias is not None and source.bias is not None:
        bias = bias.clone()
        bias[own] = source.bias[own]
    return Linear(weight, bias)
