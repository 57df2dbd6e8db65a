"""Effects of every edge for the prompts of one job, batch by batch."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from circuitgraph.components import Granularity, as_granularity, as_inputs, writers
from circuitgraph.engine.batches import make_batch
from circuitgraph.engine.contributions import contributions
from circuitgraph.engine.estimators import edge_effects
from circuitgraph.engine.forward import forward
from circuitgraph.engine.model import Model
from circuitgraph.ingest.jobs import Ablation
from circuitgraph.runs import Method
from circuitgraph.tokens import Encoded


def batch_effects(
    model: Model,
    prompts: Sequence[Encoded],
    method: Method,
    ablated: Tensor | None,
    edges: Sequence[int] | None = None,
) -> dict[str, np.ndarray]:
    """Arrays of one batch: effects [n, edges], totals, decisions and mass [n]."""
    batch = make_batch(prompts, whole=ablated is not None)
    granularity, inputs = as_granularity(method.granularity), as_inputs(method.inputs)
    result = edge_effects(model, batch, granularity, inputs, ablated=ablated, edges=edges)
    return {
        "effects": result.effects.numpy(),
        "totals": result.totals.numpy(),
        "decisions": result.decisions.numpy(),
        "mass": result.mass.numpy(),
    }


@torch.no_grad()
def ablated_contributions(
    model: Model, prompts: Sequence[Encoded], granularity: Granularity, ablation: Ablation
) -> Tensor | None:
    """What stands in for every sender's contribution, [1 + components, d].

    ``mean``: over the positions of each prompt, then over prompts with equal weight.
    ``zero``: nothing. ``corrupt``: None, the corrupt run gives it position by position.
    """
    if ablation == "corrupt":
        return None
    if ablation == "zero":
        senders = 1 + len(writers(model.layers, model.heads, granularity))
        return torch.zeros(senders, model.width)
    total = torch.zeros(())
    for prompt in prompts:
        tokens = torch.tensor([prompt.prompt])
        index = torch.arange(tokens.shape[1])[None]
        parts = contributions(model, forward(model, tokens), index, granularity)
        total = total + parts.double().mean(2)[:, 0]
    return (total / len(prompts)).float()


def window(prompt: Encoded, ablation: str) -> int:
    """Positions that an effect must recompute: from the first that is patched to the end."""
    corrupt = (prompt.corrupt or ()) if ablation == "corrupt" else ()
    pairs = enumerate(zip(prompt.prompt, corrupt, strict=False))
    first = next((i for i, (a, b) in pairs if a != b), 0)
    return len(prompt.prompt) - first + max(len(prompt.answer), len(prompt.wrong_answer), 1) - 1
