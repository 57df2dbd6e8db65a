"""Effects of every edge for the prompts of one job, batch by batch."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from torch import Tensor

from circuitgraph.engine.batches import make_batch
from circuitgraph.engine.estimators import as_estimator
from circuitgraph.engine.forwards import AnyModel, edge_effects
from circuitgraph.engine.model import moved
from circuitgraph.engine.patch import CHUNK_ROWS
from circuitgraph.prompts.tokens import Encoded
from circuitgraph.runs.record import Method


def batch_effects(
    model: AnyModel,
    prompts: Sequence[Encoded],
    method: Method,
    ablated: Tensor | None = None,
    *,
    edges: Sequence[int] | None = None,
    chunk_rows: int = CHUNK_ROWS,
) -> dict[str, np.ndarray]:
    """Arrays of one batch: effects [n, edges], totals, decisions and mass [n].

    Args:
        edges: indices of the edges wanted, ascending; measured exactly whatever the
            method's estimator. None for all, as the method says.
    """
    result = edge_effects(
        model,
        moved(make_batch(prompts, whole=ablated is not None, border=model.border), model.device),
        method.spec.granularity,
        method.spec.inputs,
        estimator=as_estimator(method.estimator if edges is None else "exact"),
        steps=method.steps,
        ablated=ablated,
        edges=edges,
        chunk_rows=chunk_rows,
    )
    return {name: value.float().cpu().numpy() for name, value in vars(result).items()}
