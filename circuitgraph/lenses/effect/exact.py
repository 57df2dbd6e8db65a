"""Exact effects of chosen edges of a run of estimates, kept beside the run."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from typing import Any

import numpy as np

from circuitgraph.base.errors import short
from circuitgraph.base.progress import Reporter
from circuitgraph.base.resources import USUAL, Resources
from circuitgraph.engine.batches import in_batches
from circuitgraph.ingest.compute import batch_effects
from circuitgraph.ingest.memory import room_again
from circuitgraph.models.stored import StoredModel
from circuitgraph.runs.record import Run, keep_confirmed, read_confirmed

Opener = Callable[[], AbstractContextManager[Any]]


def exact_effects_of(
    run: Run,
    edges: Sequence[int],
    reporter: Reporter,
    opener: Opener | None = None,
    resources: Resources = USUAL,
) -> np.ndarray:
    """Exact effects of some edges, float32 [n × k]; measured once, then kept.

    Parameters
    ----------
    edges : sequence of int
        Columns of ``run.effects``, ascending.
    opener : callable, optional
        Opens the run's ``StoredModel`` where the model is in no file.
    resources : Resources
        Where to compute, and within what memory; not of what ``opener`` gives.

    Raises
    ------
    UsageError
        A device that is not there, or too little memory for one prompt.
    InputError
        The variant's files are gone or changed.
    """
    known = read_confirmed(run)
    missing = [edge for edge in edges if edge not in known]
    if missing:
        with opener() if opener else nullcontext(StoredModel.open(run, "diff", resources)) as model:
            measured = _measure(model, missing, reporter)
        found = {edge: measured[:, i] for i, edge in enumerate(missing)}
        keep_confirmed(run, found)
        known |= found
    return np.stack([known[edge] for edge in edges], 1)


def _measure(model: StoredModel, edges: Sequence[int], reporter: Reporter) -> np.ndarray:
    run, found = model.run, np.empty((model.run.n, len(edges)), np.float32)
    method = replace(run.method, estimator="exact", steps=0)
    room = room_again(model, method, len(edges))
    label = f"{short(run.variant.name, 40)} exact, {len(edges)} edges"
    with reporter.progress(run.n, label) as progress:
        for rows in in_batches(model.prompts, method.ablation or None, room.batch_size):
            chosen = [model.prompts[i] for i in rows]
            part = batch_effects(
                model.engine, chosen, run.method, model.ablated, edges=edges,
                chunk_rows=room.chunk_rows,
            )  # fmt: skip
            found[rows] = part["effects"]
            progress.advance(len(rows))
    return found
