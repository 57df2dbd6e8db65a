"""Attention of heads from the scored position to spans of the prompt."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import numpy as np
import torch
from torch import Tensor

from circuitgraph.base.components import head_name
from circuitgraph.base.errors import UsageError
from circuitgraph.engine.bridge.engine import HookedModel
from circuitgraph.engine.bridge.patterns import bridge_patterns
from circuitgraph.engine.forward import forward, softcap, visible
from circuitgraph.engine.native import NativeModel
from circuitgraph.models.stored import BATCH, StoredModel
from circuitgraph.nodes.readout import Scored, scored
from circuitgraph.nodes.record import Node, NodeValues

REST = "rest"
BY_VALUE = " by value"
"""Ending of the categories whose mass is weighted by the norm of the value vectors."""

Spans = Sequence[Mapping[str, Sequence[int]]]
"""Token positions by category, for each prompt."""


@torch.no_grad()
def attention(model: StoredModel, spans: Spans) -> NodeValues:
    """Attention of every head from the scored position, summed over each category of tokens.

    Parameters
    ----------
    model
        Of a run with answers.
    spans
        Token positions of every prompt, in the run's order; positions in no category are ``rest``.

    Returns
    -------
    NodeValues
        Attention, which sums to 1 over categories; and, in categories that end in ``by value``,
        attention times the norm of the value vectors, scaled to sum to 1.

    Raises
    ------
    UsageError
        A position in two categories.
    """
    engine: NativeModel | HookedModel = model.engine
    categories = [*dict.fromkeys(name for own in spans for name in own), REST]
    rows = []
    for start in range(0, len(model.prompts), BATCH):
        batch = scored(model.prompts[start : start + BATCH])
        members = _members(batch, spans[start : start + BATCH], categories)
        rows.append(_masses(engine, batch, members))
    nodes = [
        Node(head_name(layer, head), name + kind)
        for layer in range(engine.layers)
        for head in range(engine.heads)
        for kind in ("", BY_VALUE)
        for name in categories
    ]
    cap = None if isinstance(engine, HookedModel) else engine.attention_cap
    facts = {} if cap is None else {"of scores after the soft cap of": cap}
    return NodeValues(tuple(nodes), np.concatenate(rows), facts)


def _members(batch: Scored, spans: Spans, categories: Sequence[str]) -> Tensor:
    """1 where a position belongs to a category [n, T, categories]."""
    members = torch.zeros(*batch.tokens.shape, len(categories))
    for row, own in enumerate(spans):
        for name, positions in own.items():
            members[row, list(positions), categories.index(name)] = 1
    if bool((members.sum(-1) > 1).any()):
        raise UsageError("``spans``: two categories of one prompt share a token; part them")
    members[..., -1] = 1 - members[..., :-1].sum(-1)
    return members


def _masses(engine: NativeModel | HookedModel, batch: Scored, members: Tensor) -> np.ndarray:
    """[n, layers · heads · 2 · categories]."""
    found = []
    for weights, v in patterns(engine, batch.tokens, batch.ends, batch.last):
        sized = weights * v.norm(dim=-1).transpose(1, 2)
        sized = sized / sized.sum(-1, keepdim=True)
        both = torch.stack([weights, sized], 2)
        found.append(torch.einsum("nhkt,ntc->nhkc", both, members).flatten(1))
    return torch.cat(found, 1).float().numpy()


def patterns(
    engine: NativeModel | HookedModel, tokens: Tensor, ends: Tensor, last: Tensor
) -> Iterator[tuple[Tensor, Tensor]]:
    """Attention from one position of each row, and the values read there, layer by layer.

    Parameters
    ----------
    engine
        The model that is run.
    tokens, ends : int [n, T] and int [n]
        Rows padded on the right, and how long each is.
    last : int [n]
        The position that looks.

    Yields
    ------
    weights, values : [n, heads, T] and [n, T, heads, e]
        Weights sum to 1 over T.
    """
    if isinstance(engine, HookedModel):
        yield from bridge_patterns(engine, tokens, ends, last)
        return
    trace = forward(engine, tokens, ends)
    keys = torch.arange(tokens.shape[1]).expand(tokens.shape)
    rows = torch.arange(len(last))
    for block, layer in zip(engine.blocks, trace.layers, strict=True):
        seen = visible(last[:, None], keys, block.attention.window)[:, 0, 0]
        k, v = (x.repeat_interleave(engine.group, 2) for x in (layer.k, layer.v))
        scores = torch.einsum("nhe,nthe->nht", layer.q[rows, last], k)
        scores = softcap(scores * block.attention.scale, engine.attention_cap)
        yield scores.masked_fill(~seen[:, None], float("-inf")).softmax(-1), v
