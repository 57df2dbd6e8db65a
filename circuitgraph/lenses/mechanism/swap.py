"""One edge with its signal, its weights and what follows taken from two models of one build.

Three factors make an edge's effect: the signal u (the clean residual at the receiver and the
sender's inner activations, clean and corrupt), the edge e (the sender's write weights and the
receiver's read weights, acting on the sender's own contribution only) and what follows d
(everything else: the receiver's weights for other senders, its own output, siblings, later blocks).

With ctx = x^u − W^u z^u and y = W^e z^u, a receiver's first matrices give

    ((ctx · g^d) W^d + (y · g^e) W^e) / rms(ctx + y)

with the norm's gain g (LayerNorm centres both parts; its bias goes with d). Swapping the read
weights as a whole would count as the edge's what its receiver does to every sender's signal.

A value is the decision with the sender patched minus that without. The run without goes through
all positions from the receiver's block on (``Tail``); the one with it only through those behind
the first that is patched. Where the receiver has the input x^u itself and W^d alone, the run
without depends on no sender, and all senders of a receiver share it.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import NamedTuple

import torch
from torch import Tensor

from circuitgraph.engine.batches import Batch, gather
from circuitgraph.engine.decision import decide, mixed_decision
from circuitgraph.engine.exact import resume
from circuitgraph.engine.forward import (
    LayerTrace,
    Span,
    Trace,
    forward,
    norm_and_rotate,
    post,
    run_block,
)
from circuitgraph.engine.forward import mlp as add_mlp
from circuitgraph.engine.model import Linear, Model, Norm, for_rows
from circuitgraph.engine.patch import Patch, Window, window_attention
from circuitgraph.engine.receivers import ROUTER, Receiver
from circuitgraph.lenses.mechanism.mixture import with_expert, with_router
from circuitgraph.lenses.mechanism.sent import Replacements, Side


@dataclass(frozen=True)
class Swap:
    """Both models' runs of one batch.

    ``batch`` has the windows that patching can change; ``whole`` are patches with windows of every
    position, ``windows`` those behind each model's own clean run. ``replaced`` replaces a sender's
    contribution, by sender and by whose signal and edge [d]; None takes the corrupt run.
    """

    sides: tuple[Side, Side]
    batch: Batch
    whole: tuple[Patch, Patch]
    windows: tuple[Patch, Patch]
    replaced: Replacements | None


def make_swap(
    models: tuple[Model, Model], batch: Batch, replaced: Replacements | None = None
) -> Swap:
    """Run both models once, clean and corrupt."""
    everywhere = replace(batch, start=torch.zeros_like(batch.start))
    a, b = (
        Side(
            for_rows(m, batch.ends),
            forward(m, batch.clean, batch.ends),
            forward(m, batch.corrupt, batch.corrupt_ends),
        )
        for m in models
    )
    whole = (_over(a.model, everywhere, a.clean), _over(b.model, everywhere, b.clean))
    decided = (decide(s.model, gather(s.clean.final, batch.read), batch) for s in (a, b))
    windows = tuple(_over(s.model, batch, s.clean, d) for s, d in zip((a, b), decided, strict=True))
    return Swap((a, b), batch, whole, (windows[0], windows[1]), replaced)


def _over(model: Model, batch: Batch, clean: Trace, base: Tensor | None = None) -> Patch:
    """A patch that runs a model's blocks again on the windows of a batch, behind a clean run."""
    nothing = clean.embed.new_zeros(batch.n)
    return Patch(
        model=model,
        batch=batch,
        clean=clean,
        deltas=clean.embed.new_empty(0),
        base=nothing if base is None else base,
        total=nothing,
        changed=nothing,
        start=clean.embed,
        prefix=int(batch.start.max()),
    )


class ReceiverInput(NamedTuple):
    """Input of a receiver: the sender apart from all others, each [R, T or W, d]."""

    others: Tensor
    sender: Tensor

    def at_scored(self, patch: Patch, layer: int) -> ReceiverInput:
        """The input at the positions that block ``layer`` must still compute."""
        return ReceiverInput(*(patch.at_scored(x[None], layer)[0] for x in self))

    def at(self, batch: Batch) -> ReceiverInput:
        """The input at the windows of a batch."""
        return ReceiverInput(*(gather(x, batch.index) for x in self))


def entering(side: Side, receiver: Receiver) -> Tensor:
    """The clean residual stream at a receiver's input [R, T, d]."""
    if receiver.layer == side.model.layers:
        return side.clean.final
    layer = side.clean.layers[receiver.layer]
    return layer.read if receiver.heads is None else layer.pre


def needs_stage(model: Model, receiver: Receiver) -> bool:
    """Whether a receiver's block holds more than its input (heads, or a parallel model)."""
    return receiver.layer < model.layers and (receiver.heads is not None or model.parallel)


def stage(swap: Swap, receiver: Receiver, signal: int, after: int) -> LayerTrace:
    """The receiver's block of one model in the other's clean run.

    Where only the MLP is the receiver, the stream in front of it is the other model's own.
    """
    x = swap.sides[signal].clean.layers[receiver.layer]
    model = swap.sides[after].model
    if signal == after or not needs_stage(model, receiver):
        return x
    return run_block(model, model.blocks[receiver.layer], x.pre, Span.whole(swap.batch.clean))


@dataclass(frozen=True)
class Tail:
    """The run without the patch, from the receiver's block on.

    ``patch`` has the windows behind it, its own decision as ``base``; ``on`` is the receiver's
    block (see ``stage``); ``keys`` are keys and values of the receiver's own heads, None for those
    of ``on``.
    """

    patch: Patch
    on: LayerTrace
    keys: tuple[Tensor, Tensor] | None = None


def shared_tail(swap: Swap, receiver: Receiver, on: LayerTrace, signal: int, after: int) -> Tail:
    """The run in which a whole block, the receiver too, has the unchanged signal as input."""
    whole, layer = swap.whole[after], receiver.layer
    if signal == after:
        return Tail(swap.windows[after], on)
    if needs_stage(whole.model, receiver):
        x = on.mid + on.mlp
    else:
        x = on.mid + add_mlp(whole.model, whole.model.blocks[layer], on.read)
    return _run_on(swap, after, layer, on, whole.at_scored(x[None], layer)[0])


def own_tail(
    swap: Swap,
    receiver: Receiver,
    inputs: ReceiverInput,
    cell: tuple[int, int, int],
    on: LayerTrace,
) -> Tail:
    """The unpatched run with other weights of the receiver for one sender than for the others.

    ``inputs`` is the input without the patch, ``cell`` names the model of signal, edge and what
    follows, ``on`` is of ``stage``.
    """
    _, edge, after = cell
    whole = swap.whole[after]
    models = swap.sides[edge].model, whole.model
    if receiver.heads is None:
        x, keys = _through_mlp(whole, models, receiver, inputs, on), None
    else:
        x, keys = _through_attention(whole, models, receiver, inputs, on)
    return replace(_run_on(swap, after, receiver.layer, on, x), keys=keys)


def _run_on(swap: Swap, after: int, layer: int, on: LayerTrace, x: Tensor) -> Tail:
    """Go on from the stream that leaves block ``layer`` [R, T, d]."""
    whole, layers = swap.whole[after], [on]
    x = x[None]
    for later in range(layer + 1, whole.model.layers):
        trace = run_block(whole.model, whole.model.blocks[later], x, Window.of(whole, later))
        layers.append(_keys_alone(trace))
        x = trace.mid + trace.mlp
    clean = replace(whole.clean, layers=(*whole.clean.layers[:layer], *layers))
    base = decide(whole.model, x[0], swap.batch)
    return Tail(_over(whole.model, swap.batch, clean, base), on)


def _keys_alone(trace: LayerTrace) -> LayerTrace:
    """Keys and values of a block's run [1, R, T, …], all that windows need of it."""
    nothing = trace.pre.new_empty(0)
    others = dict.fromkeys(("pre", "mid", "read", "q", "z", "raw", "mlp"), nothing)
    return replace(trace, k=trace.k[0], v=trace.v[0], **others)


def value(
    swap: Swap, receiver: Receiver, inputs: ReceiverInput, cell: tuple[int, int, int], tail: Tail
) -> Tensor:
    """v(u, e, d): the effect [n] of an edge with each factor from the model that ``cell`` names.

    ``inputs`` is the receiver's input at the window, the sender patched; ``tail`` the run without.
    """
    _, edge, after = cell
    models, layer = (swap.sides[edge].model, swap.sides[after].model), receiver.layer
    if receiver.heads is None:
        x = _through_mlp(tail.patch, models, receiver, inputs, tail.on)
        return resume(tail.patch, layer + 1, x[None])[0]
    keys = tail.keys or _keys_of(tail.patch.model, receiver, tail.on)
    patch = _with_keys(tail.patch, layer, *keys)
    x, _ = _through_attention(patch, models, receiver, inputs, tail.on)
    return resume(tail.patch, layer + 1, x[None])[0]


def logit_value(
    swap: Swap, unpatched: ReceiverInput, patched: Tensor, cell: tuple[int, int, int]
) -> Tensor:
    """v(u, e, d) [n] of an edge into ``LOGITS``: nothing follows but the softmax.

    ``unpatched`` is the input at the window, ``patched`` [R, W, d] the sender's with the patch.
    """
    _, edge, after = cell
    window, last = swap.windows[after], swap.sides[after].model.layers - 1
    others = window.at_scored(unpatched.others[None], last)[0]
    sender = window.at_scored(torch.stack([unpatched.sender, patched]), last)
    models = swap.sides[edge].model, swap.sides[after].model
    decided = mixed_decision(*models, others, sender, swap.batch)
    return decided[1] - decided[0]


def _keys_of(model: Model, receiver: Receiver, on: LayerTrace) -> tuple[Tensor, Tensor]:
    assert receiver.heads is not None
    k, v = (x[..., model.parts(n, receiver.heads), :] for n, x in (("k", on.k), ("v", on.v)))
    return k, v


def _with_keys(patch: Patch, layer: int, k: Tensor, v: Tensor) -> Patch:
    """The same windows behind other keys and values in one block."""
    layers = list(patch.clean.layers)
    layers[layer] = replace(layers[layer], k=k, v=v)
    return replace(patch, clean=replace(patch.clean, layers=tuple(layers)))


def _through_mlp(
    patch: Patch,
    models: tuple[Model, Model],
    receiver: Receiver,
    inputs: ReceiverInput,
    on: LayerTrace,
) -> Tensor:
    """The stream that leaves the block [R, Q, d]."""
    layer = receiver.layer
    mid = patch.at_scored(patch.at_window(on.mid)[None], layer)[0]
    inputs = inputs.at_scored(patch, layer)
    if receiver.expert is not None:
        stream = patch.at_scored(patch.at_window(on.read)[None], layer)[0]
        return mid + _in_mixture(patch.model, models, receiver, inputs, stream)
    edge, own = (model.blocks[layer].one_mlp for model in models)
    norms = edge.norm, own.norm
    inner = read(norms, (edge.up, own.up), inputs)
    if own.gate is None or edge.gate is None:
        inner = patch.model.activation(inner)
    else:
        inner = patch.model.activation(read(norms, (edge.gate, own.gate), inputs)) * inner
    return mid + post(own.down(inner), own.post)


def _in_mixture(
    model: Model,
    models: tuple[Model, Model],
    receiver: Receiver,
    inputs: ReceiverInput,
    stream: Tensor,
) -> Tensor:
    """Output [R, Q, d] of a mixture whose router or one expert is the receiver.

    The others read ``stream`` [R, Q, d].
    """
    number, act = receiver.expert, model.activation
    edge, own = (m.blocks[receiver.layer].experts for m in models)
    norms = edge.norm, own.norm
    if number is None or number == ROUTER:
        scores = read(norms, (Linear(edge.router), Linear(own.router)), inputs)
        return with_router(own, act, scores, stream)
    gate, up = (
        read(norms, (Linear(by_edge[number]), Linear(by_own[number])), inputs)
        for by_edge, by_own in ((edge.gate, own.gate), (edge.up, own.up))
    )
    return with_expert(own, act, number, act(gate) * up, stream)


def _through_attention(
    patch: Patch,
    models: tuple[Model, Model],
    receiver: Receiver,
    inputs: ReceiverInput,
    on: LayerTrace,
) -> tuple[Tensor, tuple[Tensor, Tensor]]:
    """The stream that leaves the block [R, Q, d], and the receiver's keys and values."""

    def still(x: Tensor) -> Tensor:
        return patch.at_scored(patch.at_window(x)[None], layer)[0]

    layer, model = receiver.layer, patch.model
    own = model.blocks[layer].attention
    q, k, v = (_letter(patch, models, receiver, inputs, on, name) for name in "qkv")
    z = still(on.z)
    z[..., receiver.heads, :] = window_attention(patch, layer, q[None], k[None], v[None])[0]
    mid = still(on.pre) + post(own.out(z.flatten(-2)), own.post)
    beside = still(on.mlp) if model.parallel else add_mlp(model, model.blocks[layer], mid)
    return mid + beside, (k, v)


def _letter(
    patch: Patch,
    models: tuple[Model, Model],
    receiver: Receiver,
    inputs: ReceiverInput,
    on: LayerTrace,
    name: str,
) -> Tensor:
    """q, k or v of the receiver's heads [R, Q or W, heads, e]."""
    assert receiver.heads is not None
    layer, heads = receiver.layer, patch.model.parts(name, receiver.heads)
    if name not in receiver.letters:
        plain = patch.at_window(getattr(on, name)[..., heads, :])
        return patch.at_scored(plain[None], layer)[0] if name == "q" else plain
    index = patch.queries(layer) if name == "q" else patch.batch.index
    at = inputs.at_scored(patch, layer) if name == "q" else inputs
    edge, own = (model.blocks[layer].attention for model in models)
    size = patch.model.head_size
    columns = slice(heads.start * size, heads.stop * size)
    y = read((edge.norm, own.norm), (getattr(edge, name), getattr(own, name)), at, columns)
    return norm_and_rotate(patch.model, own, name, y.unflatten(-1, (-1, size)), index)


def read(
    norms: tuple[Norm, Norm],
    linears: tuple[Linear, Linear],
    inputs: ReceiverInput,
    columns: slice = slice(None),
) -> Tensor:
    """A receiver's first matrix applied to its input [R, T, k].

    ``norms``, ``linears`` are those of the edge and of what follows.
    """
    (edge, own), (by_edge, by_own) = norms, linears
    scale = own.scale(inputs.others + inputs.sender)
    others = own.linear(inputs.others) @ by_own.weight[:, columns]
    y = (others + edge.linear(inputs.sender) @ by_edge.weight[:, columns]) * scale
    if own.bias is not None:
        y = y + own.bias @ by_own.weight[:, columns]
    return y if by_own.bias is None else y + by_own.bias[columns]
