"""The receivers of effects, in the order of ``components.effect_edges``."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate, groupby
from typing import Protocol

import torch
from torch import Tensor

from circuitgraph.base.components import EMBED, Edge, Granularity, Inputs, effect_edges, writers


class Sizes(Protocol):
    """The sizes of a model that decide its edges; see ``Model`` and ``Bridge``."""

    @property
    def layers(self) -> int: ...

    @property
    def heads(self) -> int: ...

    @property
    def group(self) -> int: ...

    @property
    def parallel(self) -> bool: ...

    @property
    def experts(self) -> tuple[int, ...]: ...


ROUTER = -1
"""The router of a mixture, where experts are numbered from 0."""


@dataclass(frozen=True)
class Receiver:
    """An attention receiver of a layer, an MLP, an expert, a router, or ``LOGITS``.

    Attributes
    ----------
    layer : int
        ``model.layers`` for ``LOGITS``.
    letters : str
        Inputs it has: some of q, k, v; ``in`` for all others.
    heads : slice, optional
        The query heads it writes through.
    senders : int
        How many components, in order of computation, it can read.
    expert : int, optional
        Its number, or ``ROUTER``.
    """

    layer: int
    letters: str
    heads: slice | None
    senders: int
    expert: int | None = None

    def is_alone(self, model: Sizes) -> bool:
        """Whether it is some heads of a layer while the others read clean inputs."""
        return self.heads is not None and self.heads != slice(0, model.heads)


def receivers(model: Sizes, granularity: Granularity, inputs: Inputs) -> list[Receiver]:
    """Every receiver in the order of ``components.effect_edges``."""
    found: list[Receiver] = []
    attention = attention_components(model, granularity)
    before = 1
    for layer in range(model.layers):
        for letters in ("qkv",) if inputs == "joint" else ("q", "k", "v"):
            own = _query_heads(model, granularity, letters)
            found += [Receiver(layer, letters, heads, before) for heads in own]
        senders = before if model.parallel else before + attention
        count = mlp_components(model, layer, granularity)
        parts: Sequence[int | None] = (None,)
        if has_experts(model, layer, granularity):
            parts = (ROUTER, *range(count))
        found += [Receiver(layer, "in", None, senders, part) for part in parts]
        before += attention + count
    return [*found, Receiver(model.layers, "in", None, before)]


def edges_of(model: Sizes, granularity: Granularity, inputs: Inputs) -> list[Edge]:
    """Every edge of a model in the order of ``components.effect_edges``."""
    sizes = model.layers, model.heads, model.heads // model.group
    return effect_edges(*sizes, granularity, inputs, model.parallel, model.experts)


def component_names(model: Sizes, granularity: Granularity) -> list[str]:
    """``EMBED``, then all components in order of computation."""
    return [EMBED, *writers(model.layers, model.heads, granularity, model.experts)]


def attention_components(model: Sizes, granularity: Granularity) -> int:
    """Attention components a layer."""
    return 1 if granularity == "layer" else model.heads


def has_experts(model: Sizes, layer: int, granularity: Granularity) -> bool:
    """Whether experts are components of a block: beside heads, never beside whole layers."""
    return granularity == "head" and bool(model.experts) and model.experts[layer] > 0


def mlp_components(model: Sizes, layer: int, granularity: Granularity) -> int:
    """Components of a block's MLP: 1, or as many as there are experts."""
    return model.experts[layer] if has_experts(model, layer, granularity) else 1


def block_components(model: Sizes, granularity: Granularity) -> list[int]:
    """Components of every block."""
    own = attention_components(model, granularity)
    return [own + mlp_components(model, layer, granularity) for layer in range(model.layers)]


def first_components(model: Sizes, granularity: Granularity) -> list[int]:
    """Index of every block's first component, ``EMBED`` being 0; at the end their number."""
    return list(accumulate(block_components(model, granularity), initial=1))


def _query_heads(model: Sizes, granularity: Granularity, letters: str) -> list[slice]:
    if granularity == "layer":
        return [slice(0, model.heads)]
    size = model.group if letters in ("k", "v") else 1
    return [slice(h, h + size) for h in range(0, model.heads, size)]


@dataclass(frozen=True)
class ReceiverGroup:
    """Receivers of one layer and letter, which share one normed input.

    ``senders`` are those wanted of each receiver, ascending [k].
    """

    receivers: tuple[Receiver, ...]
    senders: tuple[Tensor, ...]

    @property
    def union(self) -> Tensor:
        """All senders that some receiver wants, ascending."""
        return torch.cat(self.senders).unique()


def receiver_groups(
    model: Sizes, granularity: Granularity, inputs: Inputs, edges: Sequence[int] | None = None
) -> Iterator[ReceiverGroup]:
    """The edges wanted (indices into ``components.effect_edges``, ascending), grouped by input."""
    wanted = None if edges is None else torch.as_tensor(edges)
    start = 0
    every = receivers(model, granularity, inputs)
    for _, group in groupby(every, key=lambda r: (r.layer, r.letters, r.heads is None)):
        members = tuple(group)
        senders = []
        for receiver in members:
            stop = start + receiver.senders
            if wanted is None:
                senders.append(torch.arange(receiver.senders))
            else:
                senders.append(wanted[(wanted >= start) & (wanted < stop)] - start)
            start = stop
        yield ReceiverGroup(members, tuple(senders))
