"""Path patching: the exact effect of every direct edge.

The effect of an edge is the change of the decision when its receiver reads the sender's
contribution from the corrupt run, everything else reads clean inputs, and all downstream
recomputes (Goldowsky-Dill et al. 2023, arXiv:2304.05969).

One full forward an edge is not needed: positions before the first difference keep their
clean keys and values; all receivers of a block share the normed input of a sender; blocks
before the receiver are never run; the MLP beside a head reads a change of few dimensions;
the last block runs for the scored positions only; and two rows of the unembedding decide.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor

from circuitgraph.base.components import Granularity, Inputs
from circuitgraph.engine.batches import gather
from circuitgraph.engine.decision import decide
from circuitgraph.engine.forward import mlp, run_block
from circuitgraph.engine.mixtures import Mixture
from circuitgraph.engine.patch import (
    Patch,
    Window,
    attention_change,
    logit_effects,
    mlp_change,
)
from circuitgraph.engine.receivers import Receiver, ReceiverGroup, receiver_groups
from circuitgraph.engine.shortcut import Shortcut, make_shortcut


@torch.no_grad()
def exact_columns(
    patch: Patch,
    granularity: Granularity = "head",
    inputs: Inputs = "joint",
    edges: Sequence[int] | None = None,
) -> Iterator[Tensor]:
    """Exact effects [senders, n], one receiver after the other.

    ``edges`` are indices into ``components.effect_edges``, ascending; None for all.
    """
    for group in receiver_groups(patch.model, granularity, inputs, edges):
        first = group.receivers[0]
        if first.heads is not None:
            yield from _attention_effects(patch, group)
        elif first.layer < patch.model.layers:
            yield from _mlp_effects(patch, group)
        else:
            yield logit_effects(patch, group.senders[0])


def _attention_effects(patch: Patch, group: ReceiverGroup) -> list[Tensor]:
    first = group.receivers[0]
    columns = [[patch.base.new_empty(0, patch.batch.n)] for _ in group.receivers]
    shortcut = make_shortcut(patch, first.layer, _heads(first))
    how = first.letters, first.is_alone(patch.model)
    for senders in patch.chunks(group.union):
        change = attention_change(patch, first.layer, patch.deltas[senders], *how)
        for column, receiver, wanted in zip(columns, group.receivers, group.senders, strict=True):
            here = torch.isin(senders, wanted)
            if here.any():
                part = change[here] if not here.all() else change
                own = part[..., receiver.heads, :]
                column.append(_through_attention(patch, receiver, own, shortcut))
    return [torch.cat(column) for column in columns]


def _heads(receiver: Receiver) -> slice:
    assert receiver.heads is not None
    return receiver.heads


def _through_attention(
    patch: Patch, receiver: Receiver, change: Tensor, shortcut: Shortcut | None
) -> Tensor:
    """Effects [N, n] of a change of a receiver's z [N, R, Q, heads, e]."""
    layer, part = receiver.layer, _heads(receiver)
    model, clean = patch.model, patch.clean.layers[layer]
    attention, size = model.blocks[layer].attention, model.head_size
    added = change.flatten(-2) @ attention.out.weight[part.start * size : part.stop * size]
    index = patch.queries(layer)
    if attention.post is None:
        mid = gather(clean.mid, index) + added
    else:
        mid = gather(clean.pre, index) + attention.post(gather(clean.raw, index) + added)
    if patch.model.parallel:  # the MLP reads what the attention read
        out = gather(clean.mlp, index)
    elif shortcut is None:
        out = mlp(model, model.blocks[layer], mid)
    else:
        out = shortcut(change, mid, part)
    return resume(patch, layer + 1, mid + out)


def _mlp_effects(patch: Patch, group: ReceiverGroup) -> Iterator[Tensor]:
    """Effects [senders, n] of edges into an MLP, or into a router and then every expert."""
    layer, clean = group.receivers[0].layer, patch.clean.layers[group.receivers[0].layer]
    mid = gather(clean.mid, patch.queries(layer))
    mixture = Mixture.of_clean_run(patch, layer)
    for receiver, senders in zip(group.receivers, group.senders, strict=True):
        effects = [patch.base.new_empty(0, patch.batch.n)]
        if mixture is None or receiver.expert is None:
            for chunk in patch.chunks(senders):
                out = mid + mlp_change(patch, layer, patch.deltas[chunk])
                effects.append(resume(patch, layer + 1, out))
        else:
            before = mid + gather(clean.mlp, patch.queries(layer))
            effects += _mixture_effects(patch, mixture, receiver, senders, before)
        yield torch.cat(effects)


def _mixture_effects(
    patch: Patch, mixture: Mixture, receiver: Receiver, senders: Tensor, before: Tensor
) -> Iterator[Tensor]:
    """Effects [senders, n] of edges into a router or one expert; 0 where it is never chosen."""
    assert receiver.expert is not None
    reached = patch.batch.by_prompt(mixture.reached(receiver.expert)).clamp_max(1)
    if not reached.any():
        yield reached.expand(len(senders), -1)
        return
    for chunk in patch.chunks(senders):
        deltas = patch.at_scored(patch.deltas[chunk], receiver.layer)
        out = before + mixture.change(receiver.expert, deltas)
        yield resume(patch, receiver.layer + 1, out) * reached


def resume(patch: Patch, layer: int, x: Tensor) -> Tensor:
    """Effects [N, n] of a residual [N, R, W, d] entering block ``layer``."""
    model = patch.model
    for current in range(layer, model.layers):
        trace = run_block(model, model.blocks[current], x, Window.of(patch, current))
        x = trace.mid + trace.mlp
    return decide(model, x, patch.batch) - patch.base
