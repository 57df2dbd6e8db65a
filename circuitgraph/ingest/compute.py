"""The computation of one batch, and versions of the libraries."""

from __future__ import annotations

import platform
from collections.abc import Callable, Sequence
from importlib.metadata import version
from typing import Any

from circuitgraph.engine.ablation import ablated_contributions
from circuitgraph.engine.interface import Engine
from circuitgraph.ingest.activity import norm_activity, projection_activity
from circuitgraph.ingest.effects import batch_effects
from circuitgraph.ingest.jobs import Job
from circuitgraph.ingest.parts import Arrays
from circuitgraph.ingest.request import Request
from circuitgraph.ingest.screen import ARRAY


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
