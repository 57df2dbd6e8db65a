"""Direct logit attribution: a component's direct contribution to the logit difference.

The final norm is linear once its scale is fixed, so the logit difference is a sum over the
contributions to the residual stream (Elhage et al. 2021, A mathematical framework for transformer
circuits). Heads are slices of the output matrix; norms after a branch use the run's own scale.
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

    At the scored position, before any soft cap. Biases of attention layers and of the final norm
    are nodes of category ``bias``, so that a row's sum is the logit difference.

    Raises
    ------
    InputError
        The sum is not the logit difference, to 1e-4.
    """
    engine, granularity = model.engine, model.spec.granularity
    biased = _biases(engine, granularity)
    rows = []
    for start in range(0, len(model.prompts), BATCH):
        batch = scored(engine, model.prompts[start : start + BATCH])
        rows.append(_of_batch(engine, batch, granularity, biased).numpy())
    nodes = [Node(name) for name in component_names(engine, granularity)]
    nodes += [Node(attn_name(layer), "bias") for layer in biased] + [Node(LOGITS, "bias")]
    facts = {} if engine.logit_cap is None else {"before the soft cap of": engine.logit_cap}
    return NodeValues(tuple(nodes), np.concatenate(rows), facts)


def _of_batch(
    engine: NativeModel, batch: Scored, granularity: Granularity, biased: dict[int, Tensor]
) -> Tensor:
    parts, final = engine.contributions(batch.tokens, batch.last[:, None], granularity, batch.ends)
    final = final[:, 0]
    # The output bias of attention is the same at every position, its post-norm aside.
    whole = torch.cat([parts[:, :, 0], *(_rest(engine, b, batch) for b in biased.items())])
    linear = engine.norm.linear(whole, engine.norm.scale(final))
    found = (linear * batch.direction).sum(-1).T
    constant = engine.norm.bias
    last = batch.direction.new_zeros(len(final)) if constant is None else batch.direction @ constant
    found = torch.cat([found, last[:, None]], 1)
    want = (engine.norm(final) * batch.direction).sum(-1)
    apart = float((found.sum(1) - want).abs().max())
    if not apart <= TOLERANCE * max(1.0, float(want.abs().max())):
        raise InputError(
            f"direct logit attribution: the parts miss the logit difference by {apart:.1e}; this "
            f"model of type {engine.family!r} adds something that is not a component"
        )
    return found.float()


def _biases(engine: NativeModel, granularity: Granularity) -> dict[int, Tensor]:
    """Output biases of attention, which belong to no head, by layer."""
    if granularity == "layer":
        return {}
    return {
        layer: block.attention.out.bias
        for layer, block in enumerate(engine.blocks)
        if block.attention.out.bias is not None
    }


def _rest(engine: NativeModel, biased: tuple[int, Tensor], batch: Scored) -> Tensor:
    layer, bias = biased
    block: Block = engine.blocks[layer]
    if block.attention.post is not None:
        raise InputError(
            "direct logit attribution: attention with an output bias under a norm is not "
            'supported by head; ingest with ``granularity="layer"``'
        )
    return bias.expand(1, len(batch.last), -1)
