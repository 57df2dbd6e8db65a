"""Exact effects of chosen edges of a run that was screened, kept beside its arrays."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import numpy as np

from circuitgraph.base.progress import Reporter
from circuitgraph.base.quoting import short
from circuitgraph.ingest.effects import batch_effects
from circuitgraph.models.stored import BATCH, StoredModel
from circuitgraph.runs.record import Run, keep_confirmed, read_confirmed

Opener = Callable[[], AbstractContextManager[Any]]


def exact_effects_of(
    run: Run, edges: Sequence[int], reporter: Reporter, opener: Opener | None = None
) -> np.ndarray:
    """Exact effects of some edges, float32 [n × k]; measured once, then kept.

    Parameters
    ----------
    run : Run
        Of any estimator.
    edges : sequence of int
        Columns of ``run.effects``, ascending.
    opener : callable, optional
        Of the run's ``StoredModel``, where no file holds the model.

    Raises
    ------
    InputError
        The variant's files are gone or no longer the same.
    """
    known = read_confirmed(run)
    missing = [edge for edge in edges if edge not in known]
    if missing:
        measured = _measure(run, missing, reporter, opener)
        found = {edge: measured[:, i] for i, edge in enumerate(missing)}
        keep_confirmed(run, found)
        known |= found
    return np.stack([known[edge] for edge in edges], 1)


def _measure(
    run: Run, edges: Sequence[int], reporter: Reporter, opener: Opener | None
) -> np.ndarray:
    parts = []
    with (
        opener() if opener else nullcontext(StoredModel.open(run, "diff")) as model,
        reporter.progress(run.n, f"{short(run.variant.name, 40)} exact") as progress,
    ):
        for start in range(0, run.n, BATCH):
            chosen = model.prompts[start : start + BATCH]
            found = batch_effects(model.engine, chosen, run.method, model.ablated, edges=edges)
            parts.append(found["effects"])
            progress.advance(len(chosen))
    return np.concatenate(parts)
