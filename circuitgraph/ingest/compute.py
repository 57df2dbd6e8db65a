"""The computation of one batch, batch by batch, and versions of the libraries."""

from __future__ import annotations

import platform
from collections.abc import Callable, Sequence
from importlib.metadata import version
from typing import Any

import numpy as np
from torch import Tensor

from circuitgraph.engine.ablation import ablated_contributions
from circuitgraph.engine.batches import make_batch
from circuitgraph.engine.interface import EffectSpec, Engine, as_estimator
from circuitgraph.engine.model import to_device
from circuitgraph.ingest.activity import norm_activity, projection_activity
from circuitgraph.ingest.jobs import Job
from circuitgraph.ingest.parts import Arrays
from circuitgraph.ingest.request import Request
from circuitgraph.ingest.selfcheck import ARRAY
from circuitgraph.prompts.tokens import Encoded
from circuitgraph.runs.record import Method


def compute(
    model: Engine, job: Job, request: Request, chunk_rows: int | None = None
) -> Callable[..., Arrays]:
    """The function from the rows of a batch to its arrays; for effects also for some edges."""
    if job.kind == "correlation":
        activity = norm_activity if request.activity == "norm" else projection_activity

        def activities(rows: Sequence[int]) -> Arrays:
            chosen = [job.encoded[i] for i in rows]
            return {"activity": activity(model, chosen, request.granularity).cpu().numpy()}

        return activities
    ablated = ablated_contributions(model, job.encoded, request.granularity, request.ablation)

    def effects(rows: Sequence[int], edges: Sequence[int] | None = None) -> Arrays:
        chosen, method = [job.encoded[i] for i in rows], job.method
        shared: dict[str, Any] = {"ablated": ablated, "chunk_rows": chunk_rows}
        found = batch_effects(model, chosen, method, edges=edges, **shared)
        if not job.sample:
            return found
        exact = batch_effects(model, chosen, method, edges=job.sample, **shared)
        return {**found, ARRAY: exact["effects"]}

    return effects


def library_versions() -> dict[str, str]:
    """Versions that a run's numbers depend on."""
    names = ("circuitgraph", "torch", "transformers", "peft")
    return {"python": platform.python_version(), **{name: version(name) for name in names}}


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
