"""Batches of a job computed by Ray workers, on many machines or GPUs.

Workers take whole batches; where fewer are left than workers, a batch is split by receiver
layer and senders. Results are assembled in a fixed order and kept in the same files as those
of one process, so either continues the other.

Ray moves pickles between its own processes. They contain only paths, token ids, numbers and
arrays; nothing a user wrote is ever unpickled.

A slice consists of whole chunks of senders into the receivers of a layer, at the chunk
boundaries of an undivided batch, so that every matrix product is of the same rows: on equal
processors with as many threads the bits are those of the undivided batch.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from circuitgraph.base.components import Granularity, Inputs
from circuitgraph.base.errors import ClusterError
from circuitgraph.base.progress import Progress, Reporter
from circuitgraph.engine.batches import Batch, make_batch
from circuitgraph.engine.interface import Engine
from circuitgraph.engine.patch import CHUNK_ROWS, chunk_size
from circuitgraph.engine.receivers import Sizes, receivers
from circuitgraph.ingest.cluster.address import connect, import_ray
from circuitgraph.ingest.cluster.team import Task, Team
from circuitgraph.ingest.cluster.worker import plain_job, plain_variant
from circuitgraph.ingest.jobs import Job
from circuitgraph.ingest.memory import Room
from circuitgraph.ingest.parts import Arrays, assemble, part, write_part
from circuitgraph.ingest.request import Request
from circuitgraph.runs.record import Variant

Units = dict[tuple[int, int], tuple[float, list[int]]]
"""(layer, chunk of senders) to what it costs and its edges."""


def edge_slices(
    model: Sizes,
    batch: Batch,
    granularity: Granularity,
    inputs: Inputs,
    count: int,
    chunk_rows: int = CHUNK_ROWS,
) -> list[tuple[int, ...]]:
    """Indices into ``components.effect_edges`` of at most ``count`` slices, costliest first.

    Together every edge once. Fewer than ``count`` where there are fewer chunks.
    """
    units = _units(model, granularity, inputs, chunk_size(batch, chunk_rows))
    slices: list[list[int]] = [[] for _ in range(min(count, len(units)))]
    loads = [0.0] * len(slices)
    for key in sorted(units, key=lambda k: (-units[k][0], k)):
        cost, edges = units[key]
        lightest = loads.index(min(loads))
        slices[lightest] += edges
        loads[lightest] += cost
    order = sorted(range(len(slices)), key=lambda k: -loads[k])
    return [tuple(sorted(slices[k])) for k in order]


def _units(model: Sizes, granularity: Granularity, inputs: Inputs, size: int) -> Units:
    units: Units = {}
    first = 0
    for receiver in receivers(model, granularity, inputs):
        is_last = receiver.layer == model.layers
        # LOGITS reads all its senders at once, and nothing is downstream of it.
        step = receiver.senders if is_last else size
        blocks = 0.0 if is_last else model.layers - receiver.layer - 0.5
        for chunk, start in enumerate(range(0, receiver.senders, step)):
            edges = range(first + start, first + min(start + step, receiver.senders))
            cost, known = units.get((receiver.layer, chunk), (0.0, []))
            units[receiver.layer, chunk] = (cost + blocks * len(edges), [*known, *edges])
        first += receiver.senders
    return units


def halves(batches: Sequence[int], workers: int) -> tuple[Sequence[int], Sequence[int]]:
    """Batches to be computed whole, and the rest, too few to keep every worker busy."""
    whole = len(batches) - len(batches) % workers
    return batches[:whole], batches[whole:]


@dataclass(frozen=True)
class Cluster:
    """Workers, and the model they hold, for its sizes."""

    team: Team
    model: Engine

    def in_parts(
        self,
        job: Job,
        request: Request,
        room: Room,
        batches: Sequence[Sequence[int]],
        folder: Path,
        progress: Progress,
    ) -> dict[str, np.ndarray]:
        """``parts.in_parts`` with every batch that is not in ``folder`` computed by workers.

        Raises
        ------
        ClusterError
            See ``Team.run``; finished batches stay.
        """
        folder.mkdir(parents=True, exist_ok=True)
        missing = [n for n in range(len(batches)) if not part(folder, n).exists()]
        progress.advance(sum(map(len, batches)) - sum(len(batches[n]) for n in missing))
        tasks = _tasks(self, job, room, batches, missing)
        shares: dict[int, dict[Task, Arrays]] = {n: {} for n in missing}
        for task, arrays in self.team.run(plain_job(job, request, room), tasks):
            found = shares[task.batch]
            found[task] = arrays
            own = [p for p in tasks if p.batch == task.batch]
            if len(found) == len(own):
                write_part(folder, task.batch, _merged([(p, found[p]) for p in own]))
                progress.advance(len(task.rows))
                found.clear()
        return assemble(batches, folder)


@contextmanager
def open_cluster(
    request: Request, variant: Variant, model: Engine, reporter: Reporter
) -> Iterator[Cluster | None]:
    """Workers for one variant, released at the end; None without Ray.

    A process that is connected to Ray already (a notebook) stays so.
    """
    if request.ray is None:
        yield None
        return
    ray = import_ray()
    ours = not ray.is_initialized()
    if ours:
        connect(ray, request.ray)
    try:
        team = Team(ray, plain_variant(variant), *_slots(ray, request.device), reporter)
        try:
            yield Cluster(team, model)
        finally:
            team.close()
    except (ConnectionError, ray.exceptions.RaySystemError) as error:
        raise ClusterError(
            f"``ray``: the connection was lost ({type(error).__name__}); finished batches are "
            "kept, the same command goes on"
        ) from error
    finally:
        if ours:
            ray.shutdown()


def _slots(ray: Any, device: str) -> tuple[int, dict[str, float]]:
    """Number of workers, and resources of each: a GPU for work on GPUs, else a processor."""
    has = ray.cluster_resources()
    if device.startswith("cuda") and has.get("GPU", 0) >= 1:
        return int(has["GPU"]), {"num_gpus": 1}
    return max(1, int(has.get("CPU", 1))), {"num_cpus": 1}


def _tasks(
    cluster: Cluster,
    job: Job,
    room: Room,
    batches: Sequence[Sequence[int]],
    missing: Sequence[int],
) -> list[Task]:
    """Whole batches, those of the longest prompts first, then slices of the rest."""
    longest = missing[::-1]  # batches are in the order of what they cost
    shared: Sequence[int] = ()
    if job.method.estimator == "exact":
        longest, shared = halves(longest, cluster.team.slots)
    tasks = [Task(n, tuple(batches[n])) for n in longest]
    for n in shared:
        rows = tuple(batches[n])
        tasks += [Task(n, rows, edges) for edges in _slices(cluster, job, room, rows)]
    return tasks


def _slices(cluster: Cluster, job: Job, room: Room, rows: Sequence[int]) -> list[tuple[int, ...]]:
    spec = job.method.spec
    batch = make_batch([job.encoded[i] for i in rows], whole=spec.ablation != "corrupt")
    sizes = (cluster.team.slots, room.chunk_rows)
    return edge_slices(cluster.model, batch, spec.granularity, spec.inputs, *sizes)


def _merged(shares: Sequence[tuple[Task, Arrays]]) -> Arrays:
    """One batch from its tasks; arrays without an edge axis are equal in all."""
    task, first = shares[0]
    if task.edges is None:
        return first
    columns = sum(len(p.edges or ()) for p, _ in shares)
    effects = np.empty((len(task.rows), columns), np.float32)
    for own, arrays in shares:
        effects[:, list(own.edges or ())] = arrays["effects"]
    return {**first, "effects": effects}
