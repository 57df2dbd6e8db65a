"""Mean- and zero-ablation: what replaces every sender's contribution without a corrupt run."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from circuitgraph.base.components import Ablation, Granularity
from circuitgraph.engine.interface import Engine
from circuitgraph.engine.receivers import first_components
from circuitgraph.prompts.tokens import Encoded


@torch.no_grad()
def ablated_contributions(
    model: Engine, prompts: Sequence[Encoded], granularity: Granularity, ablation: Ablation
) -> Tensor | None:
    """Replacement of every sender's contribution [1 + components, d]; None for ``corrupt``.

    ``mean``: over the positions of each prompt, then over prompts with equal weight; ``zero``:
    nothing; with ``corrupt`` the corrupt run gives it position by position.
    """
    if ablation == "corrupt":
        return None
    if ablation == "zero":
        senders = first_components(model, granularity)[-1]
        return torch.zeros(senders, model.width, device=model.device, dtype=model.dtype)
    total = torch.zeros((), dtype=torch.float64)
    for prompt in prompts:
        tokens = torch.tensor([prompt.prompt], device=model.device)
        index = torch.arange(tokens.shape[1], device=model.device)[None]
        parts, _ = model.contributions(tokens, index, granularity)
        total = total + parts.cpu().double().mean(2)[:, 0]
    return (total / len(prompts)).to(model.device, model.dtype)
