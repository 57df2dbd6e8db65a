"""Activity: the L2 norm of what a component adds to the residual stream."""

from __future__ import annotations

import numpy as np

from circuitgraph.base.components import writers
from circuitgraph.ingest.activity import norm_activity
from circuitgraph.models.stored import BATCH, StoredModel
from circuitgraph.nodes.record import Node, NodeValues


def activity(model: StoredModel) -> NodeValues:
    """Norm of every head's (or attention layer's) and MLP's (or expert's) contribution at the last
    token.

    Returns
    -------
    NodeValues
        In units of the residual stream.
    """
    engine, granularity = model.engine, model.spec.granularity
    parts = [
        norm_activity(engine, model.prompts[start : start + BATCH], granularity).numpy()
        for start in range(0, len(model.prompts), BATCH)
    ]
    names = writers(engine.layers, engine.heads, granularity, engine.experts)
    return NodeValues(tuple(Node(name) for name in names), np.concatenate(parts))
