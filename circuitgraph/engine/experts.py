"""Mixtures of experts: a router gives each position its weights of a few MLPs of many.

    m(x) = Σ_e w_e(x) · E_e(x),  w = softmax(x·R), kept for the largest k of them alone

(Shazeer et al. 2017, arXiv:1701.06538), as one component: whatever the block reads reaches
router and experts alike, so that an exact patch routes anew. Gradients are those of the weights
and experts chosen, for the choice itself has none.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from circuitgraph.engine.model import Experts


def routed(experts: Experts, normed: Tensor) -> tuple[Tensor, Tensor]:
    """Weights of the experts chosen and their indices, [..., k] each, of what is read [..., d]."""
    shares = (normed @ experts.router).softmax(-1)
    weights, chosen = shares.topk(experts.chosen, -1)
    if experts.renormed:
        weights = weights / weights.sum(-1, keepdim=True)
    return weights, chosen


def mixed(experts: Experts, activation: Callable[[Tensor], Tensor], normed: Tensor) -> Tensor:
    """What all experts say of what they read [..., d]; only those chosen are run."""
    flat = normed.reshape(-1, normed.shape[-1])
    weights, chosen = routed(experts, flat)
    out = torch.zeros_like(flat)
    for number in chosen.unique().tolist():
        rows, place = (chosen == number).nonzero(as_tuple=True)
        x = flat[rows]
        held = activation(x @ experts.gate[number]) * (x @ experts.up[number])
        said = held @ experts.down[number] * weights[rows, place, None]
        out = out.index_add(0, rows, said)
    return out.view(normed.shape)
