"""Clean prompts in batches, and a model's decisions on them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import torch

from circuitgraph.engine.batches import Batch, gather, in_batches, make_batch
from circuitgraph.engine.bridge.engine import HookedModel
from circuitgraph.engine.bridge.wrapped import decide_logits
from circuitgraph.engine.decision import decide
from circuitgraph.engine.forward import forward
from circuitgraph.engine.model import to_device
from circuitgraph.engine.native import NativeModel
from circuitgraph.models.stored import BATCH
from circuitgraph.prompts.tokens import Encoded


def clean_batches(
    model: NativeModel | HookedModel, prompts: Sequence[Encoded], size: int = BATCH
) -> Iterator[tuple[list[int], Batch]]:
    """Indices of the prompts, and the batch, without corrupt twins."""
    for rows in in_batches(prompts, None, size):
        chosen = [prompts[i] for i in rows]
        batch = make_batch(chosen, whole=True, border=model.border)
        yield rows, to_device(batch, model.device)


@torch.no_grad()
def clean_decisions(model: NativeModel | HookedModel, prompts: Sequence[Encoded]) -> np.ndarray:
    """Decision of a model for every prompt, float64 [n]."""
    decided = np.empty(len(prompts))
    for rows, batch in clean_batches(model, prompts):
        decided[rows] = _decided(model, batch).cpu().numpy()
    return decided


def _decided(model: NativeModel | HookedModel, batch: Batch) -> torch.Tensor:
    if isinstance(model, HookedModel):
        return decide_logits(model.logits(batch.clean, batch.ends), batch)[0]
    final = gather(forward(model, batch.clean, batch.ends).final, batch.read)
    return decide(model, final, batch)
