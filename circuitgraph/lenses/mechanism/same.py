"""Which factors of an edge are equal in two models, bit for bit."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields, is_dataclass
from typing import Any

import torch
from torch import Tensor

from circuitgraph.base.components import Component
from circuitgraph.engine.model import Model, Norm
from circuitgraph.engine.receivers import ROUTER, Receiver
from circuitgraph.lenses.mechanism.swap import needs_stage


@dataclass(frozen=True)
class EdgeEnds:
    """Sender and receiver of an edge."""

    sender: Component
    receiver: Receiver


def same_weights(models: tuple[Model, Model], edges: Sequence[EdgeEnds]) -> Tensor:
    """Whether edges' own weights, and all weights after them, are equal bits: bool [2, k]."""
    a, b = models
    tails = [equal(_end(a), _end(b))]
    for left, right in zip(reversed(a.blocks), reversed(b.blocks), strict=True):
        tails.append(tails[-1] and equal(left, right))
    tails.reverse()
    write = {
        s: equal(_write_weights(a, s), _write_weights(b, s)) for s in {p.sender for p in edges}
    }
    readers = {receiver_key(p.receiver): p.receiver for p in edges}
    read = {key: equal(read_weights(a, r), read_weights(b, r)) for key, r in readers.items()}
    after = {key: _same_after(models, r, tails) for key, r in readers.items()}
    keys = [receiver_key(p.receiver) for p in edges]
    own = [write[p.sender] and read[key] for p, key in zip(edges, keys, strict=True)]
    return torch.tensor([own, [after[key] for key in keys]])


def receiver_key(receiver: Receiver) -> tuple:
    """A key of a receiver; a slice of heads is none."""
    heads = receiver.heads
    part = receiver.expert if heads is None else (heads.start, heads.stop)
    return receiver.layer, receiver.letters, part


def _same_after(models: tuple[Model, Model], receiver: Receiver, tails: Sequence[bool]) -> bool:
    a, b = models
    layer = receiver.layer
    if layer == a.layers or needs_stage(a, receiver):
        return tails[layer]
    return equal(a.blocks[layer].mlp, b.blocks[layer].mlp) and tails[layer + 1]


def _end(model: Model) -> tuple:
    return model.norm, model.unembed, model.rotary, model.attention_cap, model.logit_cap


def _write_weights(model: Model, sender: Component) -> tuple:
    if sender.layer is None:
        return model.embed, model.embed_scale, model.positions
    block = model.blocks[sender.layer]
    if sender.kind == "expert":
        return (block.experts.down[sender.head or 0],)
    if sender.kind == "mlp":
        return block.one_mlp.down, block.one_mlp.post
    if sender.head is None:
        return block.attention.out, block.attention.post
    size = model.head_size
    rows = slice(sender.head * size, (sender.head + 1) * size)
    return block.attention.out.weight[rows], block.attention.post


def read_weights(model: Model, receiver: Receiver) -> tuple:
    if receiver.layer == model.layers:
        return _gain(model.norm), model.unembed
    block = model.blocks[receiver.layer]
    if receiver.expert == ROUTER:
        return _gain(block.experts.norm), block.experts.router
    if receiver.expert is not None:
        gates, ups = block.experts.gate, block.experts.up
        return _gain(block.experts.norm), gates[receiver.expert], ups[receiver.expert]
    if receiver.heads is None:
        gate = block.one_mlp.gate
        return (
            _gain(block.one_mlp.norm),
            block.one_mlp.up.weight,
            None if gate is None else gate.weight,
        )
    read = [model.read_weights(receiver.layer, n, receiver.heads) for n in receiver.letters]
    return (_gain(block.attention.norm), *read)


def _gain(norm: Norm) -> tuple:
    return norm.weight, norm.centre


def equal(a: Any, b: Any) -> bool:
    """Whether two records hold the same bits."""
    if isinstance(a, Tensor) and isinstance(b, Tensor):
        return torch.equal(a, b)
    if isinstance(a, tuple) and isinstance(b, tuple):
        return len(a) == len(b) and all(map(equal, a, b))
    if is_dataclass(a) and not isinstance(a, type):
        names = [field.name for field in fields(a)]
        return type(a) is type(b) and all(equal(getattr(a, n), getattr(b, n)) for n in names)
    return bool(a == b)
