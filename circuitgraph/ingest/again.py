"""The measurements of a run repeated on another model of the same architecture."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from circuitgraph.base.errors import short
from circuitgraph.base.progress import Reporter
from circuitgraph.base.resources import held_now
from circuitgraph.engine.batches import in_batches
from circuitgraph.engine.interface import Engine
from circuitgraph.ingest.compute import compute
from circuitgraph.ingest.jobs import Job
from circuitgraph.ingest.memory import make_room
from circuitgraph.ingest.parts import discard, in_parts
from circuitgraph.ingest.request import Request
from circuitgraph.ingest.shape import Shape
from circuitgraph.prompts import PromptSet
from circuitgraph.prompts.tokens import Encoded
from circuitgraph.runs.record import Run


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
