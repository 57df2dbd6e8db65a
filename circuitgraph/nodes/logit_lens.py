"""The logit lens (nostalgebraist 2020, interpreting GPT: the logit lens)."""

from __future__ import annotations

import numpy as np
import torch

from circuitgraph.base.components import EMBED, resid_name
from circuitgraph.models.stored import BATCH, StoredModel
from circuitgraph.nodes.readout import ReadOut, require_own_logits, streams_at
from circuitgraph.nodes.record import Node, NodeValues
from circuitgraph.nodes.scored import scored


@torch.no_grad()
def logit_lens(model: StoredModel) -> NodeValues:
    """Logit difference of the answers, from the residual stream after embedding and every layer.

    At the scored position, with the final norm and the model's soft cap, so that the last layer
    gives the model's own logits.
    """
    read_out, rows = ReadOut.of(model), []
    for start in range(0, len(model.prompts), BATCH):
        batch = scored(model.prompts[start : start + BATCH])
        streams = streams_at(model, batch.tokens, batch.ends, batch.last)
        found = [read_out.apart(stream, batch.answers) for stream in streams]
        require_own_logits(model, batch.tokens, batch.ends, batch.answers, found[-1])
        rows.append(torch.stack(found, 1).float().numpy())
    nodes = [Node(EMBED), *(Node(resid_name(layer)) for layer in range(model.engine.layers))]
    facts = {} if read_out.cap is None else {"after the soft cap of": read_out.cap}
    return NodeValues(tuple(nodes), np.concatenate(rows), facts)
