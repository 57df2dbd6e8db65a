"""Effects of every edge for the prompts of one job, batch by batch."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from torch import Tensor

from circuitgraph.engine.batches import make_batch
from circuitgraph.engine.interface import EffectSpec, Engine, as_estimator
from circuitgraph.engine.model import to_device
from circuitgraph.prompts.tokens import Encoded
from circuitgraph.runs.record import Method


def batch_effects(
    model: Engine,
    prompts: Sequence[Encoded],
    method: Method,
    ablated: Tensor | None = None,
    *,
    edges: Sequence[int] | None = None,
    chunk_rows: int | None = None,
) -> dict[str, np.ndarray]:
    """Arrays of one batch: effects [n, edges], totals, decisions and mass [n].

    ``edges`` (indices, ascending) are measured exactly whatever the method's estimator; None for
    all edges by the method.
    """
    batch = make_batch(prompts, whole=ablated is not None, border=model.border)
    spec = EffectSpec(
        method.spec.granularity,
        method.spec.inputs,
        as_estimator(method.estimator if edges is None else "exact"),
        method.steps,
        ablated,
        edges,
        chunk_rows,
    )
    result = model.edge_effects(to_device(batch, model.device), spec)
    return {name: value.float().cpu().numpy() for name, value in vars(result).items()}
