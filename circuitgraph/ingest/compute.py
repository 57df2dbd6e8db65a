"""The batches of a run computed on a device, and again on another model."""

from __future__ import annotations

import platform
from collections.abc import Callable, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from circuitgraph.base.errors import UsageError, short
from circuitgraph.base.progress import Reporter
from circuitgraph.base.resources import held_now, kind_of
from circuitgraph.engine.ablation import ablated_contributions
from circuitgraph.engine.batches import in_batches, make_batch
from circuitgraph.engine.families import has_reader
from circuitgraph.engine.interface import EffectSpec, Engine, as_estimator
from circuitgraph.engine.model import to_device
from circuitgraph.ingest.activity import norm_activity, projection_activity
from circuitgraph.ingest.jobs import Job
from circuitgraph.ingest.memory import make_room
from circuitgraph.ingest.parts import Arrays, discard, in_parts
from circuitgraph.ingest.request import Request
from circuitgraph.ingest.screen import ARRAY
from circuitgraph.ingest.shape import Shape
from circuitgraph.prompts import PromptSet
from circuitgraph.prompts.tokens import Encoded
from circuitgraph.runs.record import Method, Run

PROBES = 2
PROBED_EDGES = 16


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


def require_device(request: Request, family: str) -> None:
    """Refuse a device or type of numbers that models of this family cannot have."""
    kind = kind_of(request.device)
    if not has_reader(family) and (request.device, request.dtype) != ("cpu", "float32"):
        raise UsageError(
            f"model type {family!r} has no reader, and hooks on TransformerBridge run on the CPU "
            "in float32; leave ``device`` and ``dtype`` out"
        )
    if request.tf32 and kind != "cuda":
        raise UsageError(
            '``tf32`` is a way of CUDA devices; leave it out, or add ``device="cuda"``'
        )


def placed(model: Engine, request: Request) -> Engine:
    """The model where, and in the numbers, it is to be computed."""
    torch.backends.cuda.matmul.allow_tf32 = request.tf32
    dtype = torch.bfloat16 if request.dtype == "bfloat16" else None
    if request.device == "cpu" and dtype is None:
        return model
    return to_device(model, request.device, dtype)


def apart_from_double(model: Engine, job: Job, edges: int) -> float:
    """Largest difference from float64 on the CPU, relative to the largest effect of the sample.

    Exact effects of 16 random edges on the two shortest prompts.
    """
    prompts = sorted(job.encoded, key=lambda p: len(p.prompt))[:PROBES]
    generator = np.random.Generator(np.random.PCG64(0))
    sample = sorted(generator.choice(edges, min(PROBED_EDGES, edges), replace=False).tolist())
    ours, double = (
        _effects(m, prompts, job.method, sample)
        for m in (model, to_device(model, "cpu", torch.float64))
    )
    return float(np.abs(ours - double).max() / max(np.abs(double).max(), 1e-30))


def _effects(
    model: Engine, prompts: Sequence[Encoded], method: Method, sample: list[int]
) -> np.ndarray:
    ablated = ablated_contributions(model, prompts, method.spec.granularity, method.spec.ablation)
    return batch_effects(model, prompts, method, ablated, edges=sample)["effects"]


def measured_again(
    run: Run,
    model: Engine,
    hf: Any,
    prompts: Sequence[Encoded],
    folder: Path,
    reporter: Reporter,
) -> dict[str, np.ndarray]:
    """The arrays of a run, by its method and on its prompts, of another model.

    Finished batches are kept in ``folder`` until all are, so that an interruption costs one.

    Parameters
    ----------
    run : Run
        With the id and variant of the model measured.
    hf : Any
        The library's model, for its sizes.
    prompts : sequence of Encoded
        Of the run, in its order.
    """
    method = run.method
    request = Request(
        granularity=method.granularity,  # type: ignore[arg-type]
        activity=method.activity or "norm",  # type: ignore[arg-type]
        ablation=method.ablation or "corrupt",  # type: ignore[arg-type]
    )
    texts = PromptSet(tuple(prompt.source for prompt in prompts), f"run {run.id[:12]}")
    rows = tuple(prompts)
    job = Job(run.id, method, texts, rows, run.duplicates, run.prompts_fingerprint)
    room = make_room(Shape.of(hf), method, rows, request.batch_size, None, held_now())
    batches = in_batches(rows, method.ablation or None, room.batch_size)
    work = folder / f".{run.id}.work"
    with reporter.progress(len(rows), short(run.variant.name, 40)) as progress:
        arrays = in_parts(batches, compute(model, job, request, room.chunk_rows), work, progress)
    discard(folder, run.id)
    return arrays
