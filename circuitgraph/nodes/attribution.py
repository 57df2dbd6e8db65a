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
from circuitgraph.engine.receivers import component_names
from circuitgraph.models.stored import BATCH, StoredModel
from circuitgraph.nodes.readout import (
    TOLERANCE,
    ReadOut,
    Scored,
    attention_biases,
    require_own_logits,
    scored,
)
from circuitgraph.nodes.record import Node, NodeValues


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
    granularity, read_out = model.spec.granularity, ReadOut.of(model)
    engine, biased = model.engine, attention_biases(model, granularity)
    rows = []
    for start in range(0, len(model.prompts), BATCH):
        batch = scored(model.prompts[start : start + BATCH])
        rows.append(_of_batch(model, read_out, batch, granularity, biased).numpy())
    nodes = [Node(name) for name in component_names(engine, granularity)]
    nodes += [Node(attn_name(layer), "bias") for layer in biased] + [Node(LOGITS, "bias")]
    facts = {} if read_out.cap is None else {"before the soft cap of": read_out.cap}
    return NodeValues(tuple(nodes), np.concatenate(rows), facts)


def _of_batch(
    model: StoredModel,
    read_out: ReadOut,
    batch: Scored,
    granularity: Granularity,
    biased: dict[int, Tensor],
) -> Tensor:
    engine, norm = model.engine, read_out.norm
    direction = batch.direction(read_out.unembed)
    parts, final = engine.contributions(batch.tokens, batch.last[:, None], granularity, batch.ends)
    final = final[:, 0]
    # What attention adds beside its heads is the same at every position.
    rest = [bias.expand(1, len(batch.last), -1) for bias in biased.values()]
    whole = torch.cat([parts[:, :, 0], *rest])
    linear = norm.linear(whole, norm.scale(final))
    found = (linear * direction).sum(-1).T
    last = read_out.constant(batch.answers, direction)
    found = torch.cat([found, last[:, None]], 1)
    want = (norm(final) * direction).sum(-1) + read_out.biased(batch.answers)
    apart = float((found.sum(1) - want).abs().max())
    if not apart <= TOLERANCE * max(1.0, float(want.abs().max())):
        raise InputError(
            f"direct logit attribution: the parts miss the logit difference by {apart:.1e}; this "
            f"model of type {engine.family!r} adds something that is not a component"
        )
    told = read_out.apart(final, batch.answers)
    require_own_logits(model, batch.tokens, batch.ends, batch.answers, told)
    return found.float()
