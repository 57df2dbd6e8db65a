"""Path patching: the exact effect of every direct edge.

The effect of an edge is the change of the decision when its receiver reads the sender's
contribution from the corrupt run, everything else reads clean inputs, and all downstream
recomputes (Goldowsky-Dill et al. 2023, arXiv:2304.05969).

One full forward an edge is not needed: positions before the first difference keep their
clean keys and values; all receivers of a block share the normed input of a sender; blocks
before the receiver are never run; the MLP beside a head reads a change of few dimensions;
the last block runs for the scored positions only; and two rows of the unembedding decide.

A patched head changes its e outputs, and the MLP of its block reads mid + Δz·W_O. With the
norm's scale taken out, its first matrices U are linear:

    norm(mid + Δz·W_O)·U = scale · (mid̃·U + Δz·(W̃_O·U)) + b·U

(the tilde: centred where the norm centres, times its gain; b: its bias). The clean part is the
same for every sender, and the change costs e rows of U instead of d.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from circuitgraph.base.components import Granularity, Inputs
from circuitgraph.engine.batches import gather
from circuitgraph.engine.decision import decide
from circuitgraph.engine.forward import mlp, post, run_block
from circuitgraph.engine.mixtures import Mixture
from circuitgraph.engine.model import Experts, Linear, Mlp, Model, Norm
from circuitgraph.engine.patch import (
    Patch,
    Window,
    attention_change,
    logit_effects,
    mlp_change,
)
from circuitgraph.engine.receivers import Receiver, ReceiverGroup, receiver_groups


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
