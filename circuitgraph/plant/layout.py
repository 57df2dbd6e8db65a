"""Senders and receivers of private channels.

A *channel* is a few dimensions behind the model's own that one component alone writes.
A *reader* is the smallest thing whose reading of a channel can be changed alone: a head
(its q, k and v), an MLP, the unembedding; where heads share keys and values, a head's q
and a group's k and v.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from torch import Tensor

from circuitgraph.base.components import (
    EMBED,
    LOGITS,
    Edge,
    attention_names,
    head_name,
    kv_name,
    mlp_name,
    parse,
    writers,
)
from circuitgraph.engine.model import Model


@dataclass(frozen=True)
class Layout:
    """Positions of the private channels.

    Attributes
    ----------
    width
        Of the model's own stream, before the channels.
    size
        Dimensions of one channel.
    senders
        Their writers, in order.
    """

    width: int
    size: int
    senders: tuple[str, ...]

    def of(self, sender: str) -> slice:
        """Dimensions of one sender's channel."""
        start = self.width + self.size * self.senders.index(sender)
        return slice(start, start + self.size)


class Reader(NamedTuple):
    """One receiver: kind (``head``, ``q``, ``kv``, ``mlp``, ``logits``), layer, index."""

    kind: str
    layer: int = 0
    place: int = 0


def senders_of(model: Model) -> tuple[str, ...]:
    """``EMBED``, heads and MLPs in order of computation."""
    return (EMBED, *writers(model.layers, model.heads, "head"))


def readers_of(model: Model) -> list[Reader]:
    """All receivers in order of computation."""
    found: list[Reader] = []
    for layer in range(model.layers):
        if model.group == 1:
            found += [Reader("head", layer, h) for h in range(model.heads)]
        else:
            found += [Reader("q", layer, h) for h in range(model.heads)]
            found += [Reader("kv", layer, g) for g in range(model.kv_heads)]
        found.append(Reader("mlp", layer))
    return [*found, Reader("logits")]


def senders_to(model: Model, reader: Reader) -> list[str]:
    """Senders before a receiver."""
    if reader.kind == "logits":
        return list(senders_of(model))
    before = [EMBED, *writers(reader.layer, model.heads, "head")]
    own = attention_names(reader.layer, model.heads, "head") if reader.kind == "mlp" else []
    return before + own


def views(model: Model, reader: Reader, rows: slice) -> list[Tensor]:
    """Views of a receiver's weights on some dimensions of the stream."""
    if reader.kind == "logits":
        return [model.unembed[:, rows]]
    block = model.blocks[reader.layer]
    if reader.kind == "mlp":
        parts = [part for part in (block.one_mlp.gate, block.one_mlp.up) if part is not None]
        return [part.weight[rows] for part in parts]
    start = reader.place * model.head_size
    columns = slice(start, start + model.head_size)
    attention = block.attention
    chosen = {"head": "qkv", "q": "q", "kv": "kv"}[reader.kind]
    return [getattr(attention, name).weight[rows, columns] for name in chosen]


def outputs(model: Model, sender: str) -> list[Tensor]:
    """Views of a sender's output weights [inputs × width]."""
    if sender == EMBED:
        return [table for table in (model.embed, model.positions) if table is not None]
    place = parse(sender)
    assert place.layer is not None
    block = model.blocks[place.layer]
    if place.head is None:
        return [block.one_mlp.down.weight]
    start = place.head * model.head_size
    return [block.attention.out.weight[start : start + model.head_size]]


def written(model: Model, layout: Layout, sender: str) -> list[Tensor]:
    """Views of a sender's output weights on its own channel."""
    return [weight[:, layout.of(sender)] for weight in outputs(model, sender)]


def reads(model: Model, layout: Layout, reader: Reader, sender: str) -> bool:
    """Whether a receiver reads a sender's channel."""
    return any(bool(view.any()) for view in views(model, reader, layout.of(sender)))


def joint_edges(model: Model, sender: str, reader: Reader) -> list[Edge]:
    """Joint edges of a receiver's input; a group's keys belong to all its heads."""
    if reader.kind == "logits":
        return [Edge(sender, LOGITS, "in")]
    if reader.kind == "mlp":
        return [Edge(sender, mlp_name(reader.layer), "in")]
    heads = [reader.place]
    if reader.kind == "kv":
        heads = [reader.place * model.group + i for i in range(model.group)]
    return [Edge(sender, head_name(reader.layer, head), "all") for head in heads]


def split_edges(model: Model, sender: str, reader: Reader) -> list[Edge]:
    """Edges of a receiver's input, separate for q, k and v."""
    if reader.kind in ("mlp", "logits"):
        return joint_edges(model, sender, reader)
    head, group = head_name(reader.layer, reader.place), kv_name(reader.layer, reader.place)
    queries = [] if reader.kind == "kv" else [Edge(sender, head, "q")]
    values = [] if reader.kind == "q" else [Edge(sender, group, name) for name in "kv"]
    return queries + values
