"""Direct logit attribution: what a component adds to the logit difference by itself.

The final norm is linear once its scale is fixed, so the logit difference is a sum over what was
written into the residual stream (Elhage et al. 2021, A mathematical framework for transformer
circuits). Heads are true slices of the output matrix, and norms after a branch are applied with
the run's own scale.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from circuitgraph.base.components import LOGITS, Granularity, attn_name
from circuitgraph.base.errors import InputError
from circuitgraph.engine.model import Block
from circuitgraph.engine.native import NativeModel
from circuitgraph.engine.receivers import component_names
from circuitgraph.models.stored import BATCH, StoredModel
from circuitgraph.nodes.record import Node, NodeValues
from circuitgraph.nodes.scored import Scored, scored

TOLERANCE = 1e-4
"""Share of the largest logit difference (or of 1) by which the sum may be off."""


@torch.no_grad()
def attribution(model: StoredModel) -> NodeValues:
    """Contribution of every component to logit(answer) − logit(wrong answer).

    Where the first token is predicted in which the answers differ, before any soft cap. What
    attention layers and the final norm add whatever they read are nodes of category ``bias``,
    so that a row's sum is the logit difference.

    Raises
    ------
    InputError
        The sum is not the logit difference, to 1e-4.
    """
    engine, granularity = model.engine, model.spec.granularity
    biased = _biases(engine, granularity)
    rows = []
    for start in range(0, len(model.prompts), BATCH):
        asked = scored(engine, model.prompts[start : start + BATCH])
        rows.append(_of_batch(engine, asked, granularity, biased).numpy())
    nodes = [Node(name) for name in component_names(engine, granularity)]
    nodes += [Node(attn_name(layer), "bias") for layer in biased] + [Node(LOGITS, "bias")]
    facts = {} if engine.logit_cap is None else {"before the soft cap of": engine.logit_cap}
    return NodeValues(tuple(nodes), np.concatenate(rows), facts)


def _of_batch(
    engine: NativeModel, asked: Scored, granularity: Granularity, biased: dict[int, Tensor]
) -> Tensor:
    parts, final = engine.contributions(asked.tokens, asked.last[:, None], granularity, asked.ends)
    final = final[:, 0]
    # What attention adds beside its heads is the same at every position, its post-norm aside.
    whole = torch.cat([parts[:, :, 0], *(_rest(engine, b, asked) for b in biased.items())])
    linear = engine.norm.linear(whole, engine.norm.scale(final))
    found = (linear * asked.direction).sum(-1).T
    constant = engine.norm.bias
    last = asked.direction.new_zeros(len(final)) if constant is None else asked.direction @ constant
    found = torch.cat([found, last[:, None]], 1)
    want = (engine.norm(final) * asked.direction).sum(-1)
    apart = float((found.sum(1) - want).abs().max())
    if not apart <= TOLERANCE * max(1.0, float(want.abs().max())):
        raise InputError(
            f"direct logit attribution: the parts miss the logit difference by {apart:.1e}; this "
            f"model of type {engine.family!r} adds something that is not a component"
        )
    return found.float()


def _biases(engine: NativeModel, granularity: Granularity) -> dict[int, Tensor]:
    """Output biases of attention that no head counts as its own, by layer."""
    if granularity == "layer":
        return {}
    return {
        layer: block.attention.out.bias
        for layer, block in enumerate(engine.blocks)
        if block.attention.out.bias is not None
    }


def _rest(engine: NativeModel, biased: tuple[int, Tensor], asked: Scored) -> Tensor:
    layer, bias = biased
    block: Block = engine.blocks[layer]
    if block.attention.post is not None:
        raise InputError(
            "direct logit attribution: attention with an output bias under a norm is not "
            'supported by head; ingest with ``granularity="layer"``'
        )
    return bias.expand(1, len(asked.last), -1)
