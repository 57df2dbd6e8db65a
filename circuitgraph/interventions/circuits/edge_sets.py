"""The effect of a set of edges patched together.

For a set E of edges, receiver r reads

    x_r = Σ_{s: (s, r) ∉ E} c_s(this run) + Σ_{s: (s, r) ∈ E} c_s(corrupt run)

at the prompt's positions, c_s(…) being the contribution of sender s in that run;
effect(E) = decision(this run) − decision(clean run). Inputs along E are fixed, so a path of two
edges of E counts once, at its end; everything else is recomputed. It is the circuit of all edges
but E (Conmy et al. 2023, arXiv:2304.14997). A set of one edge has that edge's exact effect; the
set of all edges has the total effect.

With another model's clean run in place of the corrupt one (``transplant.given_by``) the set is
patched across models: receivers read the other model's senders along exactly these edges.
"""

from __future__ import annotations

import torch
from torch import Tensor

from circuitgraph.base.components import Granularity, Inputs
from circuitgraph.engine.patch import Patch
from circuitgraph.engine.receivers import receivers
from circuitgraph.interventions.circuits.forward import circuit_decisions


@torch.no_grad()
def edge_set_changes(
    patch: Patch, sets: Tensor, granularity: Granularity = "head", inputs: Inputs = "joint"
) -> Tensor:
    """Change of the decision with each set of edges patched, [N, n].

    Exactly 0 for prompts where no sender of the set has another contribution in the corrupt run.

    Parameters
    ----------
    patch
        Of one batch, with senders of this granularity.
    sets
        True for each edge of the set, bool [N, edges], edges in the order of
        ``components.effect_edges``.
    granularity
        Of senders and attention receivers.
    inputs
        Inputs q, k and v together, or one at a time.
    """
    changes = circuit_decisions(patch, ~sets, granularity, inputs) - patch.base
    senders = [torch.arange(r.senders) for r in receivers(patch.model, granularity, inputs)]
    differs = patch.changed[torch.cat(senders)]
    return changes * (sets.to(differs.dtype) @ differs).clamp_max(1)
