"""Ingest of a model variant: prompts and variant to runs on disk."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from filelock import FileLock

from circuitgraph.base.components import digest
from circuitgraph.base.errors import InputError, UsageError, short
from circuitgraph.base.progress import Reporter, human_bytes
from circuitgraph.base.resources import held_at_most, held_now
from circuitgraph.engine.batches import in_batches
from circuitgraph.engine.families import has_reader
from circuitgraph.engine.interface import Engine
from circuitgraph.engine.patch import usual_rows
from circuitgraph.engine.receivers import component_names
from circuitgraph.ingest.cluster.opening import Cluster, open_cluster
from circuitgraph.ingest.compute import (
    apart_from_double,
    compute,
    library_versions,
    placed,
    require_device,
)
from circuitgraph.ingest.estimate import describe, edges_of
from circuitgraph.ingest.jobs import Job, has_date, planned, settle
from circuitgraph.ingest.memory import Room, make_room
from circuitgraph.ingest.parts import discard, in_parts
from circuitgraph.ingest.request import Request
from circuitgraph.ingest.screen import in_words, quality
from circuitgraph.ingest.selfcheck import SelfCheck, base_totals, checked_model
from circuitgraph.ingest.shape import Shape
from circuitgraph.models.variants import LoadedVariant
from circuitgraph.models.weights import ROUNDING
from circuitgraph.prompts import PromptSet
from circuitgraph.runs.artefacts import put
from circuitgraph.runs.conventions import are_settled, settle_signs
from circuitgraph.runs.record import WEIGHTS, Run, Variant, now, read_run, write_run
from circuitgraph.runs.signs import (
    Rows,
    against_direction,
    conditions_of,
    exchanged_pairs,
    undirected,
)
from circuitgraph.updates.sketch import sketch_of
from circuitgraph.updates.words import update_line

FAR_FROM_DOUBLE = 0.01
"""Share of the largest effect by which a device may be off before its numbers are refused."""


def ingest_model(
    loaded: LoadedVariant,
    prompts: PromptSet,
    request: Request,
    runs_folder: Path,
    reporter: Reporter,
    notes: Sequence[str] = (),
) -> list[Run]:
    """Make (or find) the runs of one variant on one prompt set, one an edge kind.

    What was finished before an interruption is not repeated. ``notes`` on the prompts are printed
    once the prompts are known to be usable.

    Raises
    ------
    InputError, UsageError
        Before any long work.
    """
    require_device(request, loaded.variant.model_type)
    for line in loaded.remarks:
        reporter.warn(line)
    jobs = planned(loaded, prompts, request, runs_folder)
    if request.template_date is not None and not has_date(jobs):
        reporter.warn("``template_date``: this chat template tells no date, so the day is not told")
    for note in notes:  # of prompts that no error stopped
        reporter.remark(f"note: {note}")
    for job in jobs:
        if job.fits:
            reporter.remark(job.fits)
    missing = [job for job in jobs if not (runs_folder / job.id).is_dir()]
    if missing:
        _say_forward(loaded.variant, reporter)
        base = _base_totals(loaded, missing, runs_folder)
        model, check = checked_model(loaded, missing[0].encoded)
        _say_check(loaded, check, reporter)
        shape = replace(Shape.of(loaded.hf), parallel=model.parallel, experts=model.experts)
        missing = [job.on(shape) for job in missing]
        model = placed(model, request)
        with open_cluster(request, loaded.variant, model, reporter) as cluster:
            sketch = sketch_of(loaded.hf, loaded.prints)
            context = IngestContext(
                loaded.variant, shape, model, check, request, runs_folder, cluster, base, sketch
            )
            ready = [_prepared(context, job, reporter) for job in missing]
            settle(jobs, runs_folder)
            for job, prepared in zip(missing, ready, strict=True):
                _make(context, job, prepared, reporter)
    for job in jobs:
        discard(runs_folder, job.id)
        effect = job.kind == "effect"
        if effect and not are_settled(runs_folder, job.fingerprint, job.method.ablation):
            settle_signs(read_run(runs_folder / job.id), runs_folder)  # a record that was lost
    runs = [read_run(runs_folder / job.id) for job in jobs]
    for run in runs:
        _say_prompts(run, reporter)
    return runs


def _say_prompts(run: Run, reporter: Reporter) -> None:
    if run.rendered.get("date"):
        reporter.remark(f"the chat template is told that it is {run.rendered['date']}")
    if run.kind != "effect":
        return
    for line in exchanged_pairs(run):
        reporter.remark(line)
    rows = Rows.of_run(run)
    own = rows.turned(run.totals)
    written = own if run.signs is None else rows.turned(np.array(run.signs.totals))
    for note in undirected(*conditions_of(run), written, [own]):
        reporter.warn(note)
    for note in against_direction(run.variant.name, *conditions_of(run), own):
        reporter.remark(note)


@dataclass(frozen=True)
class IngestContext:
    """What all runs of one ingest share."""

    variant: Variant
    shape: Shape
    model: Engine
    check: SelfCheck
    request: Request
    runs_folder: Path
    cluster: Cluster | None
    base: tuple[str, np.ndarray] | None = None
    weights: dict[str, Any] = field(default_factory=dict)


def _base_totals(
    loaded: LoadedVariant, jobs: Sequence[Job], runs_folder: Path
) -> tuple[str, np.ndarray] | None:
    """Name and totals of an adapter's base, where they give the signs of a prompt set."""
    for job in jobs:
        directed = all(prompt.direction for prompt in job.prompts)
        if job.method.ablation != "corrupt" or directed or not loaded.has_adapter:
            continue
        if not are_settled(runs_folder, job.fingerprint, job.method.ablation):
            return Path(loaded.variant.base).name, base_totals(loaded.hf, job.encoded)
    return None


def _say_forward(variant: Variant, reporter: Reporter) -> None:
    if not has_reader(variant.model_type):
        reporter.remark(
            f"no reader for model type {variant.model_type}: hooks on TransformerBridge, the same "
            "numbers, slower"
        )


def _say_check(loaded: LoadedVariant, check: SelfCheck, reporter: Reporter) -> None:
    variant = loaded.variant
    reporter.remark(f"self-check: logits agree to {check.logits:.1e} on {check.probes} prompts")
    if loaded.change is not None:
        reporter.remark(update_line(loaded.change, loaded.kept))
    if check.adapter_is_silent:
        reporter.warn(
            f"the adapter of {variant.name!r} changes no logit at all: it was not trained, "
            "or it targets modules this model does not use"
        )
    elif loaded.change is not None and loaded.change < ROUNDING:
        reporter.warn(
            f"the adapter of {variant.name!r} changes its weights by {loaded.change:.1e} of their "
            f"norm, and {loaded.kept:.0%} of that is left after rounding: as good as untrained"
        )


Prepared = tuple[Sequence, Room, dict[str, Any]]
"""Columns, batch plan and number check of one job."""


def _prepared(context: IngestContext, job: Job, reporter: Reporter) -> Prepared:
    columns, room = _columns(context.shape, job), _room(context, job)
    return columns, room, _checked_numbers(context, job, len(columns), reporter)


def _make(context: IngestContext, job: Job, prepared: Prepared, reporter: Reporter) -> None:
    context.runs_folder.mkdir(parents=True, exist_ok=True)
    with FileLock(context.runs_folder / f".{job.id}.lock"):
        if (context.runs_folder / job.id).is_dir():
            return
        columns, room, found = prepared
        reporter.remark(str(room))
        reporter.remark(
            describe(context.shape, job.method, job.encoded, len(columns), context.request.device)
        )
        batches = in_batches(job.encoded, job.method.ablation or None, room.batch_size)
        folder = (
            context.runs_folder / f".{job.id}.work-{digest(batches, context.request.device)[:12]}"
        )
        label = f"{short(context.variant.name, 40)} {job.kind}"
        with reporter.progress(len(job.encoded), label) as progress:
            if context.cluster is None:
                each = compute(context.model, job, context.request, room.chunk_rows)
                arrays = in_parts(batches, each, folder, progress)
            else:
                arrays = context.cluster.in_parts(
                    job, context.request, room, batches, folder, progress
                )
        _say_not_finite(context.variant, arrays, reporter)
        if job.sample:
            found["screen"] = quality(arrays, job.sample)
            reporter.remark(in_words(found["screen"]))
        run = _run(context, job, columns, arrays, found)
        if run.kind == "effect":  # first, so that no run is ever seen without its signs
            settle_signs(run, context.runs_folder, context.base)
        written = write_run(run, context.runs_folder)
        put(context.runs_folder / written.id / WEIGHTS, context.weights, indent=None)


def _say_not_finite(variant: Variant, arrays: dict[str, np.ndarray], reporter: Reporter) -> None:
    for name, values in arrays.items():
        broken = int((~np.isfinite(values)).any(0).sum()) if values.ndim == 2 else 0
        if broken:
            reporter.warn(
                f"{variant.name!r}: {broken} columns of {name} are not finite numbers; what rests "
                "on them is not tested"
            )


def _columns(shape: Shape, job: Job) -> Sequence:
    if job.kind == "correlation":
        return component_names(shape, job.method.spec.granularity)[1:]
    return edges_of(shape, job.method)


def _room(context: IngestContext, job: Job) -> Room:
    request = context.request
    on_cpu = request.device == "cpu"
    held = held_now() if on_cpu else 4.0 * context.shape.parameters  # of the device's own memory
    room = make_room(
        context.shape, job.method, job.encoded, request.batch_size, request.memory, held,
        chunk_rows=usual_rows(request.device),
    )  # fmt: skip
    if not on_cpu:
        return room
    # What loading took is not given back to those who count from outside.
    taken = held_at_most()
    if request.memory is not None and taken > request.memory:
        raise UsageError(
            f"``memory``: this process has held {human_bytes(taken)} already, loading included; "
            f"{human_bytes(request.memory)} are too few"
        )
    return replace(room, peak=max(room.peak, taken))


def _checked_numbers(
    context: IngestContext, job: Job, edges: int, reporter: Reporter
) -> dict[str, Any]:
    """On other devices than the CPU, compare a sample of effects with float64."""
    if job.kind != "effect" or context.model.device.type == "cpu":
        return {}
    apart = apart_from_double(context.model, job, edges)
    reporter.remark(f"against float64, effects of a sample of edges differ by {apart:.1e}")
    if not apart <= FAR_FROM_DOUBLE:
        raise InputError(
            f"``device={context.request.device}``: effects differ from float64 by {apart:.1e} of "
            f'the largest (limit {FAR_FROM_DOUBLE:g}); leave ``tf32`` out, or use ``device="cpu"``'
        )
    return {"float64": apart}


def _run(
    context: IngestContext,
    job: Job,
    columns: Sequence,
    arrays: dict[str, np.ndarray],
    found: dict[str, Any],
) -> Run:
    is_effect = job.kind == "effect"
    return Run(
        id=job.id,
        variant=context.variant,
        method=job.method,
        prompts=job.run_prompts,
        prompts_fingerprint=job.fingerprint,
        prompt_set=job.prompt_set,
        rendered=job.rendered,
        duplicates=job.duplicates,
        components=() if is_effect else tuple(columns),
        edges=tuple(columns) if is_effect else (),
        self_check={**context.check.to_dict(), "device": context.request.device, **found},
        versions=library_versions(),
        seed=0,
        created=now(),
        _arrays=arrays,
    )
