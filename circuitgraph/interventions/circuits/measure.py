"""Decisions of a stored run's model in circuits."""

from __future__ import annotations

import numpy as np
import torch

from circuitgraph.base.errors import short
from circuitgraph.base.progress import Reporter
from circuitgraph.base.resources import USUAL, Resources
from circuitgraph.ingest.memory import prompts_at_once
from circuitgraph.interventions.circuits.forward import circuit_decisions
from circuitgraph.models.stored import StoredModel
from circuitgraph.runs.record import Run


def run_circuits(
    run: Run, circuits: np.ndarray, reporter: Reporter, resources: Resources = USUAL
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
    resources
        Device and memory.

    Raises
    ------
    UsageError
        A family served by hooks only, no such device, or too little memory.
    InputError
        The model's files are missing or changed, or its decisions differ from the run's.
    """
    model = StoredModel.open(run, "faithfulness", resources)
    wanted = torch.from_numpy(np.ascontiguousarray(circuits)).to(resources.device)
    granularity, inputs, ablation = model.spec.granularity, model.spec.inputs, model.spec.ablation
    size = prompts_at_once([model.engine], model.prompts, granularity, ablation, resources)
    found = np.empty((len(circuits), run.n), dtype=np.float32)
    label = f"{len(circuits)} circuits of {short(run.variant.name, 40)}"
    with reporter.progress(run.n, label) as bar:
        for rows, patch in model.batches(size):
            decided = circuit_decisions(patch, wanted, granularity, inputs)
            found[:, rows] = decided.cpu().numpy()
            bar.advance(len(rows))
    return found
