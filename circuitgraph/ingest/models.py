"""Ingest a model variant: prompts + variant → engine → runs on disk."""

from __future__ import annotations

import platform
from collections.abc import Callable, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from filelock import FileLock

from circuitgraph.components import as_granularity, as_inputs, digest, effect_edges, writers
from circuitgraph.engine.families.common import longest
from circuitgraph.engine.model import Model
from circuitgraph.ingest.activity import norm_activity, projection_activity
from circuitgraph.ingest.effects import ablated_contributions, batch_effects, window
from circuitgraph.ingest.estimate import describe
from circuitgraph.ingest.jobs import Job, Request, plan
from circuitgraph.ingest.parts import Arrays, discard, in_parts
from circuitgraph.ingest.selfcheck import SelfCheck, checked_model
from circuitgraph.progress import Reporter
from circuitgraph.prompts import PromptSet
from circuitgraph.runs import Run, Variant, now, read_run, write_run
from circuitgraph.tokens import Encoded
from circuitgraph.variants import LoadedVariant

if TYPE_CHECKING:
    from circuitgraph.ingest.cluster import Cluster


def ingest_model(
    loaded: LoadedVariant,
    prompts: PromptSet,
    request: Request,
    runs_folder: Path,
    reporter: Reporter,
) -> list[Run]:
    """Make (or find) the runs of one variant on one prompt set.

    What was finished before an interruption is kept and not done again.

    Returns:
        One run an edge kind, read back from disk.

    Raises:
        InputError, UsageError: before any long work.
    """
    limit = longest(loaded.hf.config)
    jobs = plan(loaded.variant, loaded.tokenizer, prompts, request, limit)
    from circuitgraph.ingest.cluster import open_cluster  # which imports this module

    missing = [job for job in jobs if not (runs_folder / job.id).is_dir()]
    if missing:
        model, check = checked_model(loaded, missing[0].encoded)
        _say_check(loaded.variant, check, reporter)
        with open_cluster(request.ray, loaded.variant, model, reporter) as cluster:
            for job in missing:
                _make(loaded.variant, model, check, job, request, runs_folder, reporter, cluster)
    for job in jobs:
        discard(runs_folder, job.id)
    return [read_run(runs_folder / job.id) for job in jobs]


def _say_check(variant: Variant, check: SelfCheck, reporter: Reporter) -> None:
    reporter.remark(f"self-check: logits agree to {check.logits:.1e} on {check.probes} prompts")
    if check.adapter_is_silent:
        reporter.warn(
            f"the adapter of {variant.name!r} changes no logit at all: it was not trained, "
            "or it targets modules this model does not use"
        )


def _make(
    variant: Variant,
    model: Model,
    check: SelfCheck,
    job: Job,
    request: Request,
    runs_folder: Path,
    reporter: Reporter,
    cluster: Cluster | None,
) -> None:
    runs_folder.mkdir(parents=True, exist_ok=True)
    with FileLock(runs_folder / f".{job.id}.lock"):
        if (runs_folder / job.id).is_dir():
            return
        columns = _columns(model, job)
        reporter.remark(describe(model, job, len(columns), request.batch_size))
        batches = _batches(job, request.batch_size)
        work = runs_folder / f".{job.id}.work-{digest(batches)[:12]}"
        with reporter.progress(len(job.encoded), f"{variant.name[:40]} {job.kind}") as progress:
            if cluster is None:
                arrays = in_parts(batches, compute(model, job, request), work, progress)
            else:
                arrays = cluster.in_parts(job, request, batches, work, progress)
        write_run(_run(variant, job, columns, arrays, check), runs_folder)


def _columns(model: Model, job: Job) -> Sequence:
    granularity = as_granularity(job.method.granularity)
    if job.kind == "correlation":
        return writers(model.layers, model.heads, granularity)
    inputs = as_inputs(job.method.inputs)
    return effect_edges(model.layers, model.heads, model.kv_heads, granularity, inputs)


def _batches(job: Job, size: int) -> list[list[int]]:
    """Rows of each batch: alike in what they cost, so that little is wasted on padding."""
    cost = [(_reach(job, p), len(p.prompt), i) for i, p in enumerate(job.encoded)]
    rows = [i for *_, i in sorted(cost)]
    return [rows[k : k + size] for k in range(0, len(rows), size)]


def _reach(job: Job, prompt: Encoded) -> int:
    # Activity is blind to the corrupt twin, and so must be what its batches are.
    return window(prompt, job.method.ablation) if job.kind == "effect" else 0


def compute(model: Model, job: Job, request: Request) -> Callable[..., Arrays]:
    """The function from the rows of a batch to its arrays; of effects also for some edges."""
    if job.kind == "correlation":
        activity = norm_activity if request.activity == "norm" else projection_activity

        def activities(rows: Sequence[int]) -> Arrays:
            chosen = [job.encoded[i] for i in rows]
            return {"activity": activity(model, chosen, request.granularity).numpy()}

        return activities
    ablated = ablated_contributions(model, job.encoded, request.granularity, request.ablation)

    def effects(rows: Sequence[int], edges: Sequence[int] | None = None) -> Arrays:
        return batch_effects(model, [job.encoded[i] for i in rows], job.method, ablated, edges)

    return effects


def _run(
    variant: Variant, job: Job, columns: Sequence, arrays: dict[str, np.ndarray], check: SelfCheck
) -> Run:
    is_effect = job.kind == "effect"
    return Run(
        id=job.id,
        variant=variant,
        method=job.method,
        prompts=job.prompts.to_run_prompts(),
        prompts_fingerprint=job.fingerprint,
        duplicates=job.duplicates,
        components=() if is_effect else tuple(columns),
        edges=tuple(columns) if is_effect else (),
        self_check=check.to_dict(),
        versions=library_versions(),
        seed=0,
        created=now(),
        _arrays=arrays,
    )


def library_versions() -> dict[str, str]:
    """Versions of what decides a run's numbers."""
    names = ("circuitgraph", "torch", "transformers", "peft")
    return {"python": platform.python_version(), **{name: version(name) for name in names}}
