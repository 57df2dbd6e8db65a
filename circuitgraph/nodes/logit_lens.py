"""The logit lens (nostalgebraist 2020, interpreting GPT: the logit lens)."""

from __future__ import annotations

import numpy as np
import torch

from circuitgraph.base.components import EMBED, resid_name
from circuitgraph.engine.batches import gather
from circuitgraph.engine.forward import forward, softcap
from circuitgraph.models.stored import BATCH, StoredModel
from circuitgraph.nodes.record import Node, NodeValues
from circuitgraph.nodes.scored import scored


@torch.no_grad()
def logit_lens(model: StoredModel) -> NodeValues:
    """Logit difference of the answers, from the residual stream after embedding and every layer.

    At the scored position, with the final norm and the model's soft cap, so that the last layer
    gives the model's own logits.
    """
    engine, rows = model.engine, []
    for start in range(0, len(model.prompts), BATCH):
        batch = scored(engine, model.prompts[start : start + BATCH])
        trace = forward(engine, batch.tokens, batch.ends)
        streams = [trace.embed, *(layer.mid + layer.mlp for layer in trace.layers)]
        found = []
        for stream in streams:
            read = engine.norm(gather(stream, batch.last[:, None])[:, 0])
            both = torch.einsum("nd,nkd->nk", read, engine.unembed[batch.answers])
            both = softcap(both, engine.logit_cap)
            found.append(both[:, 0] - both[:, 1])
        rows.append(torch.stack(found, 1).float().numpy())
    nodes = [Node(EMBED), *(Node(resid_name(layer)) for layer in range(engine.layers))]
    return NodeValues(tuple(nodes), np.concatenate(rows))
