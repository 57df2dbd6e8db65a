"""The effect of a set of edges patched together.

For a set E of edges, receiver r reads

    x_r = Σ_{s: (s, r) ∉ E} c_s(this run) + Σ_{s: (s, r) ∈ E} c_s(corrupt run)

at the prompt's positions, c_s(…) being what sender s adds to the residual stream in that
run; effect(E) = decision(this run) − decision(clean run). What enters along E is fixed, so
a path of two edges of E counts once, at its end; everything else recomputes. It is the
circuit of all edges but E (Conmy et al. 2023, arXiv:2304.14997). A set of one edge has that
edge's exact effect, all edges into one receiver are that receiver fed the corrupt stream,
and the set of all edges has the total effect.

With another model's clean run in place of the corrupt one (``transplant.given_by``) the
set is moved: receivers in E read the other model's senders along exactly these edges.
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

    Exactly 0 for a prompt to which no sender of the set says anything new.

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
        Receivers read through q, k and v together, or through one at a time.
    """
    changes = circuit_decisions(patch, ~sets, granularity, inputs) - patch.base
    heard = [torch.arange(r.senders) for r in receivers(patch.model, granularity, inputs)]
    moved = patch.changed[torch.cat(heard)]
    return changes * (sets.to(moved.dtype) @ moved).clamp_max(1)
