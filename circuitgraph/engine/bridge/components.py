"""Total effect of replacing a component's contribution for all readers at once, through hooks."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from itertools import pairwise

import torch
from torch import Tensor

from circuitgraph.base.components import Granularity
from circuitgraph.engine.bridge.patch import BridgePatch, patch_mlp_input
from circuitgraph.engine.bridge.wrapped import Bridge, Hook, decide_logits, hook_name, logits_of
from circuitgraph.engine.patch import changed
from circuitgraph.engine.receivers import attention_components, first_components


@torch.no_grad()
def component_effects(patch: BridgePatch, granularity: Granularity) -> Tensor:
    """decision(one contribution replaced) − decision(clean), of ``EMBED`` and all components.

    Returns
    -------
    Tensor [1 + components, n]
        In nats, exact: everything downstream is recomputed.
    """
    bridge = patch.bridge
    own, firsts = (
        attention_components(bridge, granularity),
        first_components(bridge, granularity),
    )
    found = [_effects(patch, slice(0, 1), partial(add_to_stream, 0, "pre"))]
    for layer, (first, end) in enumerate(pairwise(firsts)):
        heads, rest = slice(first, first + own), slice(first + own, end)
        found.append(_effects(patch, heads, partial(add_attention, bridge, layer)))
        found.append(_effects(patch, rest, partial(add_to_stream, layer, "post")))
    return torch.cat(found)


def add_attention(bridge: Bridge, layer: int, delta: Tensor) -> list[Hook]:
    """What attention adds reaches its own layer's MLP, unless blocks are parallel, and the rest."""
    within = [] if bridge.parallel else patch_mlp_input(bridge, layer, delta)
    return [*within, *add_to_stream(layer, "post", delta)]


def add_to_stream(layer: int, place: str, delta: Tensor) -> list[Hook]:
    """Add delta [R, T, d] to the stream that enters (``pre``) or leaves (``post``) a block."""
    return [(hook_name(layer, place), lambda x, hook: x + delta)]


def _effects(patch: BridgePatch, senders: slice, hooks: Callable[[Tensor], list[Hook]]) -> Tensor:
    """Effects [senders, n]."""
    batch, parts = patch.batch, []
    for deltas in patch.deltas[senders].split(patch.at_once):
        rows = batch.clean.repeat(len(deltas), 1)
        with patch.bridge.rows(batch.ends):
            logits = logits_of(patch.bridge.hooked, rows, hooks(deltas.flatten(0, 1)))
        parts.append((decide_logits(logits, batch) - patch.base) * changed(deltas, batch))
    return torch.cat(parts)
