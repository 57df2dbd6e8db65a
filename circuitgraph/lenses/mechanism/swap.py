"""One edge with its signal, its weights and what follows taken from two models of one build.

Three factors make an edge's effect: the signal u (the clean residual at the receiver and the
sender's inner activations, clean and corrupt), the edge e (the sender's write weights and the
receiver's read weights, acting on the sender's own contribution only) and what follows d
(everything else: how the receiver reads the others, its own output, siblings, later blocks).

With ctx = x^u − W^u z^u and y = W^e z^u, a receiver's first matrices give

    ((ctx · g^d) W^d + (y · g^e) W^e) / rms(ctx + y)

with the norm's gain g (LayerNorm centres both parts; its bias goes with d). Swapping the read
weights as a whole would blame an edge for what its receiver does to everybody's signal.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from circuitgraph.base.components import Component
from circuitgraph.engine.batches import Batch, gather
from circuitgraph.engine.decision import mixed_decision
from circuitgraph.engine.exact import resume
from circuitgraph.engine.forward import (
    LayerTrace,
    Span,
    Trace,
    embed,
    forward,
    hidden,
    norm_and_rotate,
    post,
    run_block,
)
from circuitgraph.engine.forward import mlp as add_mlp
from circuitgraph.engine.model import Linear, Model, Norm, for_rows
from circuitgraph.engine.patch import Patch, window_attention
from circuitgraph.engine.receivers import Receiver

Instead = Mapping[tuple[Component, int, int], Tensor]
"""What a sender says by one model's signal (0 for A, 1 for B) and another's weights [d]."""


@dataclass(frozen=True)
class Side:
    """One model's clean and corrupt run of a batch."""

    model: Model
    clean: Trace
    corrupt: Trace


@dataclass(frozen=True)
class Swap:
    """Both models on one batch, ready to lend each other their factors.

    Attributes:
        sides: of A and of B.
        batch: with windows that hold every position.
        patches: of both models, over the whole of each row.
        spoken: where a sender says something else, bool [R, T, 1].
        instead: what it says there, by sender and by whose signal and edge [d]; None takes the
            corrupt run.
    """

    sides: tuple[Side, Side]
    batch: Batch
    patches: tuple[Patch, Patch]
    spoken: Tensor
    instead: Instead | None


def make_swap(models: tuple[Model, Model], batch: Batch, instead: Instead | None = None) -> Swap:
    """Run both models once, clean and corrupt."""
    everywhere = replace(batch, start=torch.zeros_like(batch.start))
    late = everywhere.positions >= batch.start[:, None]
    sides = tuple(
        Side(
            for_rows(m, batch.ends),
            forward(m, batch.clean, batch.ends),
            forward(m, batch.corrupt, batch.corrupt_ends),
        )
        for m in models
    )
    return Swap(
        sides=(sides[0], sides[1]),
        batch=everywhere,
        patches=(_whole(sides[0], everywhere), _whole(sides[1], everywhere)),
        spoken=(everywhere.patched > 0) & late[..., None],
        instead=instead,
    )


def _whole(side: Side, batch: Batch) -> Patch:
    """What runs a model's later blocks; nothing of the clean run stands in for a position."""
    nothing = side.clean.final.new_zeros(batch.n)
    return Patch(
        model=side.model,
        batch=batch,
        clean=side.clean,
        deltas=side.clean.final.new_empty(0),
        base=nothing,
        total=nothing,
        changed=nothing,
        start=side.clean.embed,
        prefix=0,
    )


@dataclass(frozen=True)
class Heard:
    """What a receiver reads: the sender apart from all others.

    Attributes:
        others: [R, T, d].
        sender: clean, and with the corrupt run's where that is spoken: [2, R, T, d].
    """

    others: Tensor
    sender: Tensor

    def at_scored(self, patch: Patch, layer: int) -> Heard:
        """The same where block ``layer`` must still compute."""
        return Heard(
            patch.at_scored(self.others[None], layer)[0], patch.at_scored(self.sender, layer)
        )


def said(swap: Swap, sender: Component, signal: int, edge: int) -> Tensor:
    """What a sender adds by one model's weights in the other's run: [2, R, T, d], see ``Heard``."""
    side, writer = swap.sides[signal], swap.sides[edge].model
    runs = inner(swap, side, sender)
    clean = written(writer, sender, *runs[0])
    if swap.instead is not None:
        other = swap.instead[sender, signal, edge]
    else:
        other = written(writer, sender, *runs[1])
        other = gather(other, swap.batch.partners.clamp_min(0))
    return torch.stack([clean, torch.where(swap.spoken, other, clean)])


def inner(swap: Swap, side: Side, sender: Component) -> tuple[tuple[Tensor, Tensor | None], ...]:
    """What a sender holds before it writes, clean and corrupt; see ``held``."""
    runs = ((side.clean, swap.batch.clean), (side.corrupt, swap.batch.corrupt))
    return tuple(held(side.model, trace, tokens, sender) for trace, tokens in runs)


def held(
    model: Model, trace: Trace, tokens: Tensor, sender: Component
) -> tuple[Tensor, Tensor | None]:
    """What a sender holds before it writes, and the scale of its post-norm.

    Tokens; a head's or a layer's z; the MLP's hidden vector. Only a head needs the scale, which
    its whole layer decides.
    """
    if sender.layer is None:
        return tokens, None
    seen, block = trace.layers[sender.layer], model.blocks[sender.layer]
    if sender.kind == "mlp":
        return hidden(model, block, seen.read), None
    if sender.head is None:
        return seen.z.flatten(-2), None
    norm = block.attention.post
    return seen.z[..., sender.head, :], None if norm is None else norm.scale(seen.raw)


def written(writer: Model, sender: Component, held: Tensor, scale: Tensor | None) -> Tensor:
    """A contribution [R, T, d]; a head's post-norm keeps the scale of the run that is read."""
    if sender.layer is None:
        return embed(writer, held)
    block = writer.blocks[sender.layer]
    if sender.kind == "mlp":
        return post(block.one_mlp.down(held), block.one_mlp.post)
    attention = block.attention
    if sender.head is None:
        return post(attention.out(held), attention.post)
    size = writer.head_size
    added = held @ attention.out.weight[sender.head * size : (sender.head + 1) * size]
    if attention.post is None or scale is None:
        return added
    return attention.post.linear(added, scale)


def entering(side: Side, receiver: Receiver) -> Tensor:
    """The clean residual a receiver reads [R, T, d]."""
    if receiver.layer == side.model.layers:
        return side.clean.final
    layer = side.clean.layers[receiver.layer]
    return layer.read if receiver.heads is None else layer.pre


def stage(swap: Swap, layer: int, signal: int, after: int) -> LayerTrace:
    """One model's block on the other's clean residual."""
    x = swap.sides[signal].clean.layers[layer]
    if signal == after:
        return x
    model = swap.sides[after].model
    return run_block(model, model.blocks[layer], x.pre, Span.whole(swap.batch.clean))


def needs_stage(model: Model, receiver: Receiver) -> bool:
    """Whether what stands beside a receiver in its block is more than the residual it reads."""
    return receiver.layer < model.layers and (receiver.heads is not None or model.parallel)


def value(
    swap: Swap,
    receiver: Receiver,
    heard: Heard,
    cell: tuple[int, int, int],
    on: LayerTrace | None,
) -> Tensor:
    """v(u, e, d): the effect of the edge with each factor from the model named, [n].

    Args:
        heard: the sender and the others, by whose signal and edge.
        cell: who gives signal, edge and what follows.
        on: of ``stage``, where ``needs_stage``.
    """
    signal, edge, after = cell
    patch, layer = swap.patches[after], receiver.layer
    models = swap.sides[edge].model, swap.sides[after].model
    if layer == patch.model.layers:
        at_end = heard.at_scored(patch, layer - 1)
        decided = mixed_decision(*models, at_end.others, at_end.sender, swap.batch)
    else:
        if receiver.heads is None:
            mid = entering(swap.sides[signal], receiver)
            if patch.model.parallel:  # attention beside it is part of what follows
                assert on is not None
                mid = on.mid
            x = _through_mlp(patch, models, layer, heard, mid)
        else:
            assert on is not None
            x = _through_attention(patch, models, receiver, heard, on)
        decided = resume(patch, layer + 1, x)
    return decided[1] - decided[0]


def _through_mlp(
    patch: Patch, models: tuple[Model, Model], layer: int, heard: Heard, mid: Tensor
) -> Tensor:
    heard = heard.at_scored(patch, layer)
    edge, own = (model.blocks[layer].one_mlp for model in models)
    norms = edge.norm, own.norm
    inner = read(norms, (edge.up, own.up), heard)
    if own.gate is None or edge.gate is None:
        inner = patch.model.activation(inner)
    else:
        inner = patch.model.activation(read(norms, (edge.gate, own.gate), heard)) * inner
    return patch.at_scored(mid[None], layer) + post(own.down(inner), own.post)


def _through_attention(
    patch: Patch, models: tuple[Model, Model], receiver: Receiver, heard: Heard, on: LayerTrace
) -> Tensor:
    layer, model = receiver.layer, patch.model
    own = model.blocks[layer].attention
    q, k, v = (_letter(patch, models, receiver, heard, on, name) for name in "qkv")
    z = patch.at_scored(on.z.expand(2, *on.z.shape), layer).clone()
    z[..., receiver.heads, :] = window_attention(patch, layer, q, k, v)
    mid = patch.at_scored(on.pre[None], layer) + post(own.out(z.flatten(-2)), own.post)
    if model.parallel:
        return mid + patch.at_scored(on.mlp[None], layer)
    return mid + add_mlp(model, model.blocks[layer], mid)


def _letter(
    patch: Patch,
    models: tuple[Model, Model],
    receiver: Receiver,
    heard: Heard,
    on: LayerTrace,
    name: str,
) -> Tensor:
    """q, k or v of the receiver's heads [2, R, Q or T, heads, e]."""
    assert receiver.heads is not None
    layer, heads = receiver.layer, patch.model.parts(name, receiver.heads)
    if name not in receiver.letters:
        plain = getattr(on, name)[..., heads, :]
        plain = plain.expand(2, *plain.shape)
        return patch.at_scored(plain, layer) if name == "q" else plain
    index = patch.queries(layer) if name == "q" else patch.batch.index
    at = heard.at_scored(patch, layer) if name == "q" else heard
    edge, own = (model.blocks[layer].attention for model in models)
    size = patch.model.head_size
    columns = slice(heads.start * size, heads.stop * size)
    y = read((edge.norm, own.norm), (getattr(edge, name), getattr(own, name)), at, columns)
    return norm_and_rotate(patch.model, own, name, y.unflatten(-1, (-1, size)), index)


def read(
    norms: tuple[Norm, Norm],
    linears: tuple[Linear, Linear],
    heard: Heard,
    columns: slice = slice(None),
) -> Tensor:
    """A first matrix of a receiver, of what it reads [2, R, T, k].

    Args:
        norms, linears: of the edge, and of what follows.
    """
    (edge, own), (by_edge, by_own) = norms, linears
    scale = own.scale(heard.others + heard.sender)
    others = own.linear(heard.others) @ by_own.weight[:, columns]
    y = (others + edge.linear(heard.sender) @ by_edge.weight[:, columns]) * scale
    if own.bias is not None:
        y = y + own.bias @ by_own.weight[:, columns]
    return y if by_own.bias is None else y + by_own.bias[columns]
