"""Attention patterns of a hooked model, held against the outputs of its heads."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from circuitgraph.base.errors import InputError
from circuitgraph.engine.bridge.checks import TOLERANCE, apart
from circuitgraph.engine.bridge.wrapped import (
    Bridge,
    Hook,
    hook_name,
    logits_of,
)

PATTERN = "attn.hook_pattern"


@torch.no_grad()
def bridge_patterns(
    bridge: Bridge, tokens: Tensor, ends: Tensor, last: Tensor
) -> Iterator[tuple[Tensor, Tensor]]:
    """As ``nodes.attention.patterns``: weights [n, H, T] and values [n, T, H, e] of every layer.

    Raises
    ------
    InputError
        The bridge shows no pattern, or one that times the values is not what its heads put out
        (attention with sinks, or outputs that are gated).
    """
    kept: dict[str, Tensor] = {}

    def keep(name: str) -> Hook:
        return (name, lambda x, hook: kept.update({name: x.detach().clone()}))

    layers = range(bridge.layers)
    names = [[f"blocks.{i}.{PATTERN}", hook_name(i, "v"), hook_name(i, "z")] for i in layers]
    with bridge.rows(ends):
        logits_of(bridge.hooked, tokens, [keep(name) for layer in names for name in layer])
    rows = torch.arange(len(last))
    for layer, own in enumerate(names):
        if own[0] not in kept:
            raise _unread(bridge, f"the bridge shows no attention pattern of layer {layer}")
        whole, v, z = (kept[name] for name in own)
        v = v.flatten(2).unflatten(2, (bridge.kv_heads, -1)).repeat_interleave(bridge.group, 2)
        weights = whole[rows, :, last]
        read = torch.einsum("nht,nthe->nhe", weights, v)
        want = z.flatten(2).unflatten(2, (bridge.heads, -1))[rows, last]
        if not apart(read, want) <= TOLERANCE or not _sums_to_one(weights):
            raise _unread(bridge, f"heads of layer {layer} put out more than pattern times values")
        yield weights, v


def _sums_to_one(weights: Tensor) -> bool:
    return float((weights.sum(-1) - 1).abs().max()) <= TOLERANCE


def _unread(bridge: Bridge, why: str) -> InputError:
    return InputError(f"attention: model type {bridge.family!r} has no reader, and {why}")
