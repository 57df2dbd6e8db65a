"""Circuits of a stored run: its model loaded again, and the decision in each of them."""

from __future__ import annotations

import numpy as np
import torch

from circuitgraph.base.progress import Reporter
from circuitgraph.base.quoting import short
from circuitgraph.base.resources import USUAL, Resources
from circuitgraph.ingest.room import prompts_at_once
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
        Where progress goes.
    resources
        Where to compute, and within what memory.

    Raises
    ------
    UsageError
        The model's family has no reader, the device is not there, or the memory too little.
    InputError
        The model's files are gone or changed, or it decides otherwise now.
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
