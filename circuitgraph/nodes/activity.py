"""Activity: the L2 norm of what a component adds to the residual stream."""

from __future__ import annotations

import numpy as np
import torch

from circuitgraph.base.components import writers
from circuitgraph.models.stored import BATCH, StoredModel
from circuitgraph.nodes.record import Node, NodeValues


@torch.no_grad()
def activity(model: StoredModel) -> NodeValues:
    """Norm of every head's (or attention layer's) and MLP's contribution at the last token.

    Returns
    -------
    NodeValues
        In units of the residual stream.
    """
    engine, granularity = model.engine, model.spec.granularity
    parts = []
    for start in range(0, len(model.prompts), BATCH):
        rows = [prompt.whole for prompt in model.prompts[start : start + BATCH]]
        length = max(map(len, rows))
        tokens = torch.tensor([list(r) + [r[-1]] * (length - len(r)) for r in rows])
        last = torch.tensor([len(r) - 1 for r in rows])
        found, _ = engine.contributions(tokens, last[:, None], granularity, last + 1)
        parts.append(found[1:, :, 0].norm(dim=-1).T.float().numpy())
    names = writers(engine.layers, engine.heads, granularity)
    return NodeValues(tuple(Node(name) for name in names), np.concatenate(parts))
