"""Receiver-exact effects through hooks (see ``engine.receiver``).

One run, stopped after the receiver's block, serves every attention receiver of that block:
each reads the same change, and heads of one layer do not read each other.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor

from circuitgraph.base.components import Granularity, Inputs
from circuitgraph.engine.bridge.exact import exact_group, reading_hooks, repeated
from circuitgraph.engine.bridge.gradients import BridgeGradients, bridge_gradients
from circuitgraph.engine.bridge.patch import BridgePatch
from circuitgraph.engine.bridge.reading import patch_attention_input, put
from circuitgraph.engine.bridge.wrapped import LETTERS, Hook, hook_name
from circuitgraph.engine.patch import changed
from circuitgraph.engine.receivers import Receiver, ReceiverGroup, receiver_groups


def receiver_exact_columns(
    patch: BridgePatch, granularity: Granularity = "head", inputs: Inputs = "joint"
) -> Iterator[Tensor]:
    """Receiver-exact effects [senders, n] of one receiver after the other."""
    bridge = patch.bridge
    found = bridge_gradients(patch, patch.clean.blocks[0].pre)
    with torch.no_grad():
        for group in receiver_groups(bridge, granularity, inputs):
            first = group.receivers[0]
            if first.layer == bridge.layers:
                yield exact_group(patch, group)
            elif first.heads is None:
                yield _one(patch, first, "mlp", found.mlp[first.layer])
            elif bridge.mixed:  # what one head reads changes the others: each in runs of its own
                for receiver in group.receivers:
                    yield _one(patch, receiver, "z", found.z[first.layer])
            else:
                yield from _together(patch, group, found)


def _one(patch: BridgePatch, receiver: Receiver, place: str, gradient: Tensor) -> Tensor:
    """Effects [senders, n] of one receiver."""
    parts = []
    for deltas in patch.deltas[: receiver.senders].split(patch.at_once):
        hooks = reading_hooks(patch, [receiver] * len(deltas), deltas)
        change = _change(patch, receiver.layer, place, hooks, len(deltas))
        by_row = (change * gradient).flatten(2).sum(-1)
        parts.append(patch.batch.by_prompt(by_row) * changed(deltas, patch.batch))
    return torch.cat(parts)


def _together(patch: BridgePatch, group: ReceiverGroup, found: BridgeGradients) -> Sequence[Tensor]:
    """Effects [senders, n] of every attention receiver of one block and letter."""
    first, bridge = group.receivers[0], patch.bridge
    clean, parts = patch.clean.blocks[first.layer], []
    for deltas in patch.deltas[: first.senders].split(patch.at_once):
        hooks: list[Hook] = [
            *patch_attention_input(bridge, first.layer, deltas.flatten(0, 1)),
            *(
                put(first.layer, letter, repeated(getattr(clean, letter), len(deltas)))
                for letter in LETTERS
                if letter not in first.letters
            ),
        ]
        change = _change(patch, first.layer, "z", hooks, len(deltas))
        by_head = torch.einsum("srthe,rthe->hsr", change, found.z[first.layer])
        by_receiver = torch.stack([by_head[r.heads].sum(0) for r in group.receivers])
        parts.append(patch.batch.by_prompt(by_receiver) * changed(deltas, patch.batch))
    return list(torch.cat(parts, 1))


def _change(
    patch: BridgePatch, layer: int, place: str, hooks: Sequence[Hook], count: int
) -> Tensor:
    """Change of one block's activation under hooks, in copies of the batch [copies, R, T, …]."""
    seen: list[Tensor] = []
    clean: Tensor = getattr(patch.clean.blocks[layer], place)
    last = layer == patch.bridge.layers - 1
    patch.bridge.hooked.run_with_hooks(
        patch.batch.clean.repeat(count, 1),
        fwd_hooks=[*hooks, (hook_name(layer, place), lambda x, hook: seen.append(x))],
        stop_at_layer=None if last else layer + 1,
    )
    return seen[-1].unflatten(0, (count, -1)) - clean
