"""Exact and receiver-exact effects of every edge by hooks, many edges as rows of one forward.

For an attention receiver, q, k and v of its layer read the change, inputs that are not patched
are restored, and then all heads but its own are restored. Heads of one layer do not read each
other, so this patches the receiver only.

One run, stopped after the receiver's block, serves every attention receiver of that block:
each reads the same change, and heads of one layer do not read each other.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor

from circuitgraph.base.components import Granularity, Inputs
from circuitgraph.engine.bridge.gradients import BridgeGradients, bridge_gradients
from circuitgraph.engine.bridge.patch import (
    BridgePatch,
    add_to_stream,
    patch_attention_input,
    patch_mlp_input,
    put,
    put_where,
)
from circuitgraph.engine.bridge.wrapped import (
    LETTERS,
    Bridge,
    Hook,
    decide_logits,
    hook_name,
    logits_of,
)
from circuitgraph.engine.patch import changed
from circuitgraph.engine.receivers import Receiver, ReceiverGroup, receiver_groups


def exact_group(patch: BridgePatch, group: ReceiverGroup) -> Tensor:
    """Effects [edges, n] of the receivers of one layer and letter, one after the other."""
    receiver = [i for i, senders in enumerate(group.senders) for _ in senders]
    sender = torch.cat(group.senders)
    found = [patch.base.new_empty(0, patch.batch.n)]
    for chunk in torch.arange(len(sender)).split(patch.at_once) if receiver else ():
        deltas = patch.deltas[sender[chunk]]
        hooks = reading_hooks(patch, [group.receivers[receiver[i]] for i in chunk.tolist()], deltas)
        rows = patch.batch.clean.repeat(len(chunk), 1)
        decided = decide_logits(logits_of(patch.bridge.hooked, rows, hooks), patch.batch)
        # Where a sender's contribution is unchanged, no rounding is left behind either.
        found.append((decided - patch.base) * changed(deltas, patch.batch))
    return torch.cat(found)


def reading_hooks(patch: BridgePatch, receivers: list[Receiver], deltas: Tensor) -> list[Hook]:
    """Hooks of one forward in which copy i of the batch has receiver i patched with delta i."""
    bridge, first = patch.bridge, receivers[0]
    flat = deltas.flatten(0, 1)
    if first.layer == bridge.layers:
        return add_to_stream(bridge.layers - 1, "post", flat)
    if first.heads is None:
        return patch_mlp_input(bridge, first.layer, flat)
    clean, copies = patch.clean.blocks[first.layer], len(receivers)
    still = torch.ones(copies, bridge.heads, dtype=torch.bool)
    for row, receiver in enumerate(receivers):
        still[row, receiver.heads] = False
    still = still.repeat_interleave(len(patch.batch.clean), 0)
    together = first.letters if bridge.mixed else ""
    return [
        *_attention_hooks(patch, first, deltas),
        *(
            _apart(bridge, first.layer, a, repeated(getattr(clean, a), copies), still)
            for a in together
        ),
        put_where(first.layer, "z", repeated(clean.z, copies), still[:, None, :, None]),
    ]


def _attention_hooks(patch: BridgePatch, receiver: Receiver, deltas: Tensor) -> list[Hook]:
    """The receiver's inputs of its whole layer read the change, the others are put back."""
    layer, clean = receiver.layer, patch.clean.blocks[receiver.layer]
    return [
        *patch_attention_input(patch.bridge, layer, deltas.flatten(0, 1)),
        *(
            put(layer, letter, repeated(getattr(clean, letter), len(deltas)))
            for letter in LETTERS
            if letter not in receiver.letters
        ),
    ]


def _apart(bridge: Bridge, layer: int, letter: str, clean: Tensor, still: Tensor) -> Hook:
    """Keep other heads' projections clean, so that a norm over all sees one head's change.

    ``clean`` is q, k or v [N · R, T, …], ``still`` the heads that are no receiver [N · R, H].
    """
    if letter != "q":
        still = still.unflatten(1, (bridge.kv_heads, -1)).all(-1)
    wide = still.repeat_interleave(clean[0, 0].numel() // still.shape[1], 1)
    return put_where(layer, letter, clean, wide.view(len(wide), 1, *clean.shape[2:]))


def repeated(x: Tensor, count: int) -> Tensor:
    """A tensor of a batch's rows, once a copy of the batch."""
    return x.repeat(count, *[1] * (x.dim() - 1))


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
    first, parts = group.receivers[0], []
    for deltas in patch.deltas[: first.senders].split(patch.at_once):
        hooks = _attention_hooks(patch, first, deltas)
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
