"""Effects of every edge for the prompts of one job, batch by batch."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from circuitgraph.base.components import Granularity, as_granularity, as_inputs, writers
from circuitgraph.engine.batches import make_batch
from circuitgraph.engine.estimators import as_estimator
from circuitgraph.engine.forwards import AnyModel, edge_effects, parts_at
from circuitgraph.engine.model import moved
from circuitgraph.engine.patch import CHUNK_ROWS
from circuitgraph.ingest.jobs import Ablation
from circuitgraph.prompts.tokens import Encoded
from circuitgraph.runs.record import Method


def batch_effects(
    model: AnyModel,
    prompts: Sequence[Encoded],
    method: Method,
    ablated: Tensor | None = None,
    *,
    edges: Sequence[int] | None = None,
    chunk_rows: int = CHUNK_ROWS,
) -> dict[str, np.ndarray]:
    """Arrays of one batch: effects [n, edges], totals, decisions and mass [n].

    Args:
        edges: indices of the edges wanted, ascending; measured exactly whatever the
            method's estimator. None for all, as the method says.
    """
    result = edge_effects(
        model,
        moved(make_batch(prompts, whole=ablated is not None, border=model.border), model.device),
        as_granularity(method.granularity),
        as_inputs(method.inputs),
        estimator=as_estimator(method.estimator if edges is None else "exact"),
        steps=method.steps,
        ablated=ablated,
        edges=edges,
        chunk_rows=chunk_rows,
    )
    return {name: value.float().cpu().numpy() for name, value in vars(result).items()}


@torch.no_grad()
def ablated_contributions(
    model: AnyModel, prompts: Sequence[Encoded], granularity: Granularity, ablation: Ablation
) -> Tensor | None:
    """What stands in for every sender's contribution, [1 + components, d].

    ``mean``: over the positions of each prompt, then over prompts with equal weight.
    ``zero``: nothing. ``corrupt``: None, the corrupt run gives it position by position.
    """
    if ablation == "corrupt":
        return None
    if ablation == "zero":
        senders = 1 + len(writers(model.layers, model.heads, granularity))
        return torch.zeros(senders, model.width, device=model.device, dtype=model.dtype)
    total = torch.zeros((), dtype=torch.float64)
    for prompt in prompts:
        tokens = torch.tensor([prompt.prompt], device=model.device)
        index = torch.arange(tokens.shape[1], device=model.device)[None]
        parts, _ = parts_at(model, tokens, index, granularity)
        total = total + parts.cpu().double().mean(2)[:, 0]
    return (total / len(prompts)).to(model.device, model.dtype)
