"""Exact effect of every edge by hooks: many edges as rows of one forward.

For an attention receiver, q, k and v of its layer read the change, inputs that are not patched
are restored, and then all heads but its own are restored. Heads of one layer do not read each
other, so this patches the receiver only.
"""

from __future__ import annotations

import torch
from torch import Tensor

from circuitgraph.engine.bridge.decisions import decide_logits
from circuitgraph.engine.bridge.patch import BridgePatch
from circuitgraph.engine.bridge.reading import (
    patch_attention_input,
    patch_final_input,
    patch_mlp_input,
    put,
    put_where,
)
from circuitgraph.engine.bridge.wrapped import LETTERS, Bridge, Hook, logits_of
from circuitgraph.engine.patch import changed
from circuitgraph.engine.receivers import Receiver, ReceiverGroup


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
        return patch_final_input(bridge, flat)
    if first.heads is None:
        return patch_mlp_input(bridge, first.layer, flat)
    clean, copies = patch.clean.blocks[first.layer], len(receivers)
    still = torch.ones(copies, bridge.heads, dtype=torch.bool)
    for row, receiver in enumerate(receivers):
        still[row, receiver.heads] = False
    still = still.repeat_interleave(len(patch.batch.clean), 0)
    restored = [letter for letter in LETTERS if letter not in first.letters]
    together = first.letters if bridge.mixed else ""
    return [
        *patch_attention_input(bridge, first.layer, flat),
        *(put(first.layer, a, repeated(getattr(clean, a), copies)) for a in restored),
        *(
            _apart(bridge, first.layer, a, repeated(getattr(clean, a), copies), still)
            for a in together
        ),
        put_where(first.layer, "z", repeated(clean.z, copies), still[:, None, :, None]),
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
