"""Sets of edges of two stored runs, patched in each model and across models.

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

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from circuitgraph.base.components import Granularity, Inputs
from circuitgraph.base.errors import InputError, quoted, short
from circuitgraph.base.progress import Reporter
from circuitgraph.engine.patch import Patch, make_patch
from circuitgraph.engine.receivers import receivers
from circuitgraph.ingest.memory import prompts_at_once
from circuitgraph.interventions.circuits.forward import circuit_decisions
from circuitgraph.interventions.patching.pair import Pair
from circuitgraph.models.stored import StoredModel
from circuitgraph.prompts.tokens import unequal_pairs


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


@dataclass(frozen=True)
class SetEffects:
    """Changes of one model's decision by patching sets of edges, in the decision's units.

    Attributes
    ----------
    changes
        With each set patched, float64 [N × n].
    totals
        With every edge patched, float64 [n].
    """

    changes: np.ndarray
    totals: np.ndarray


def require_pairs(model: StoredModel) -> None:
    """Require pairs of equal length, which patching position by position needs.

    Raises
    ------
    InputError
        Names the first pair of unequal lengths.
    """
    uneven = unequal_pairs(model.prompts) if model.spec.ablation == "corrupt" else []
    if not uneven:
        return
    first = uneven[0]
    if first.apart:
        raise InputError(f"prompt {quoted(first.source.id)}: {first.apart}")
    raise InputError(
        f"prompt {quoted(first.source.id)} has {len(first.prompt)} tokens and its corrupt text "
        f"{len(first.corrupt or ())} ({len(uneven)} of {model.run.n} pairs are unequal); make both "
        "equally long, or mark the differing words (columns span and corrupt_span)"
    )


def set_effects(model: StoredModel, sets: np.ndarray, reporter: Reporter) -> SetEffects:
    """Effect of every set of edges for every prompt of a run.

    Parameters
    ----------
    model
        With the prompts and ablation of its run; the corrupt texts may be others.
    sets
        True for each edge of the set, bool [N × edges], edges as in ``run.edges``.
    reporter
        Of progress.

    Raises
    ------
    InputError
        Pairs of unequal lengths, or decisions that differ from the run's.
    """
    require_pairs(model)
    run, spec = model.run, model.spec
    wanted = torch.from_numpy(np.ascontiguousarray(sets)).to(model.engine.device)
    size = prompts_at_once(
        [model.engine], model.prompts, spec.granularity, spec.ablation, model.resources
    )
    found = SetEffects(np.empty((len(sets), run.n)), np.empty(run.n))
    with reporter.progress(run.n, f"{short(run.variant.name, 40)}, {spec.ablation}") as bar:
        for rows, patch in model.batches(size):
            changes = edge_set_changes(patch, wanted, spec.granularity, spec.inputs)
            found.changes[:, rows] = changes.cpu().numpy()
            found.totals[rows] = (patch.total - patch.base).cpu().numpy()
            bar.advance(len(rows))
    return found


def moved_sets(pair: Pair, into: int, sets: np.ndarray, reporter: Reporter) -> np.ndarray:
    """Change of one model's decision when sets of edges read the other's senders.

    Parameters
    ----------
    pair
        Two models and their common prompts.
    into
        The one that is patched: 0 or 1.
    sets
        True for each edge of the set, bool [N × edges].
    reporter
        Of progress.

    Returns
    -------
    ndarray
        float64 [N × n], in the order of ``pair.prompts``.
    """
    spec, device = pair.spec, pair.engines[into].device
    wanted = torch.from_numpy(np.ascontiguousarray(sets)).to(device)
    changes = np.empty((len(sets), len(pair.prompts)))
    with reporter.progress(len(pair.prompts), "blocks moved") as bar:
        for rows, batch in pair.batches(into):
            given = pair.given(into, batch, spec.granularity)
            patch = make_patch(pair.engines[into], batch, spec.granularity, given)
            found = edge_set_changes(patch, wanted, spec.granularity, spec.inputs)
            changes[:, rows] = found.cpu().numpy()
            bar.advance(len(rows))
    return changes
