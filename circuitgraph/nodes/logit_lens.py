"""The logit lens: the decision read from the residual stream after every layer.

nostalgebraist (2020), interpreting GPT: the logit lens.
"""

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
    """Logit of the answer minus that of the wrong answer, after the embedding and every layer.

    Where the first token is predicted in which the answers differ; the final norm and the soft
    cap of the model are applied, so that the last layer gives the model's own logits.
    """
    engine, rows = model.engine, []
    for start in range(0, len(model.prompts), BATCH):
        asked = scored(engine, model.prompts[start : start + BATCH])
        trace = forward(engine, asked.tokens, asked.ends)
        streams = [trace.embed, *(layer.mid + layer.mlp for layer in trace.layers)]
        found = []
        for stream in streams:
            read = engine.norm(gather(stream, asked.last[:, None])[:, 0])
            both = torch.einsum("nd,nkd->nk", read, engine.unembed[asked.answers])
            both = softcap(both, engine.logit_cap)
            found.append(both[:, 0] - both[:, 1])
        rows.append(torch.stack(found, 1).float().numpy())
    nodes = [Node(EMBED), *(Node(resid_name(layer)) for layer in range(engine.layers))]
    cap = engine.logit_cap
    facts = {} if cap is None else {"after the soft cap of": cap}
    return NodeValues(tuple(nodes), np.concatenate(rows), facts)
