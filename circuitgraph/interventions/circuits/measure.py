"""Circuits of a stored run: its model loaded again, and the decision in each of them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from circuitgraph.base.components import as_granularity, as_inputs
from circuitgraph.base.errors import InputError
from circuitgraph.base.progress import Reporter
from circuitgraph.engine.batches import make_batch
from circuitgraph.engine.families import from_hf
from circuitgraph.engine.forwards import require_reader
from circuitgraph.engine.model import Model
from circuitgraph.engine.patch import make_patch
from circuitgraph.ingest.effects import ablated_contributions
from circuitgraph.ingest.estimate import in_batches
from circuitgraph.ingest.jobs import Ablation
from circuitgraph.interventions.circuits.forward import circuit_decisions
from circuitgraph.models.stored import reencoded, reload
from circuitgraph.prompts.tokens import Encoded
from circuitgraph.runs.record import Run

TOLERANCE = 1e-3
"""Nats by which the clean decision may differ from the one stored, per nat of the largest."""


def run_circuits(
    run: Run, circuits: np.ndarray, reporter: Reporter, batch_size: int = 16
) -> np.ndarray:
    """Decision of every prompt of an effect run in every circuit.

    Args:
        run: of kind ``effect``.
        circuits: True for each edge of the circuit, bool [C, edges], edges as in ``run.edges``.
        reporter: where progress goes.
        batch_size: prompts at once: memory and speed, never results.

    Returns:
        float32 [C, n].

    Raises:
        InputError: the model's files are gone or changed, or it decides otherwise now.
    """
    require_reader(run.variant.model_type, "faithfulness")
    hf, tokenizer = reload(run.variant)
    model, prompts = from_hf(hf), reencoded(run, tokenizer)
    ablation: Any = run.method.ablation
    ablated = _ablated(model, prompts, run, ablation)
    wanted = torch.from_numpy(np.ascontiguousarray(circuits))
    granularity, inputs = as_granularity(run.method.granularity), as_inputs(run.method.inputs)
    found = np.empty((len(circuits), run.n), dtype=np.float32)
    with reporter.progress(run.n, f"{len(circuits)} circuits of {run.variant.name[:40]}") as bar:
        for rows in in_batches(prompts, ablation, batch_size):
            chosen = [prompts[i] for i in rows]
            batch = make_batch(chosen, whole=ablated is not None, border=model.border)
            patch = make_patch(model, batch, granularity, ablated)
            require_same(run, rows, patch.base.numpy())
            found[:, rows] = circuit_decisions(patch, wanted, granularity, inputs).numpy()
            bar.advance(len(rows))
    return found


def _ablated(
    model: Model, prompts: Sequence[Encoded], run: Run, ablation: Ablation
) -> torch.Tensor | None:
    granularity = as_granularity(run.method.granularity)
    return ablated_contributions(model, prompts, granularity, ablation)


def require_same(run: Run, rows: Sequence[int], now: np.ndarray) -> None:
    """Refuse a model whose clean decisions [rows] are not those of the run.

    Raises:
        InputError: it decides otherwise now.
    """
    stored = run.arrays["decisions"]
    apart = float(np.abs(stored[rows] - now).max())
    if not apart <= TOLERANCE * max(1.0, float(np.abs(stored).max())):
        raise InputError(
            f"run {run.id[:12]}: {run.variant.name!r} decides otherwise than when it was "
            f"ingested (by up to {apart:.1e} nats); ingest it again with the libraries of today"
        )
