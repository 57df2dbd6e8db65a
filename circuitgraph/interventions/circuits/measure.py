"""Decisions of a stored run's model in circuits."""

from __future__ import annotations

import numpy as np
import torch

from circuitgraph.base.progress import Reporter
from circuitgraph.base.quoting import short
from circuitgraph.interventions.circuits.forward import circuit_decisions
from circuitgraph.models.stored import BATCH, StoredModel
from circuitgraph.runs.record import Run


def run_circuits(
    run: Run, circuits: np.ndarray, reporter: Reporter, batch_size: int = BATCH
) -> np.ndarray:
    """Decision of every prompt of an effect run in every circuit, float32 [C, n].

    Parameters
    ----------
    run
        Of kind ``effect``.
    circuits
        True for each edge of the circuit, bool [C, edges], edges as in ``run.edges``.
    reporter
        Of progress.
    batch_size
        Prompts per batch.

    Raises
    ------
    UsageError
        The model's family is served by hooks only.
    InputError
        The model's files are missing or changed, or its decisions differ from the run's.
    """
    model = StoredModel.open(run, "faithfulness")
    wanted = torch.from_numpy(np.ascontiguousarray(circuits))
    granularity, inputs = model.spec.granularity, model.spec.inputs
    found = np.empty((len(circuits), run.n), dtype=np.float32)
    label = f"{len(circuits)} circuits of {short(run.variant.name, 40)}"
    with reporter.progress(run.n, label) as bar:
        for rows, patch in model.batches(batch_size):
            found[:, rows] = circuit_decisions(patch, wanted, granularity, inputs).numpy()
            bar.advance(len(rows))
    return found
