"""Activity: the L2 norm of a component's contribution to the residual stream."""

from __future__ import annotations

import numpy as np

from circuitgraph.engine.receivers import component_names
from circuitgraph.ingest.activity import norm_activity
from circuitgraph.models.stored import BATCH, StoredModel
from circuitgraph.nodes.record import Node, NodeValues


def activity(model: StoredModel) -> NodeValues:
    """Norm of contributions of heads (or attention layers), MLPs and experts at the last token."""
    engine, granularity = model.engine, model.spec.granularity
    parts = [
        norm_activity(engine, model.prompts[start : start + BATCH], granularity).numpy()
        for start in range(0, len(model.prompts), BATCH)
    ]
    names = component_names(engine, granularity)[1:]
    return NodeValues(tuple(Node(name) for name in names), np.concatenate(parts))
