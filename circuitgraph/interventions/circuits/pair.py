"""Sets of edges of two stored runs: patched in each model, and moved between them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

from circuitgraph.base.components import as_granularity, as_inputs
from circuitgraph.base.errors import InputError
from circuitgraph.base.progress import Reporter
from circuitgraph.engine.batches import make_batch
from circuitgraph.engine.patch import make_patch
from circuitgraph.ingest.effects import ablated_contributions
from circuitgraph.ingest.estimate import in_batches
from circuitgraph.ingest.jobs import as_ablation
from circuitgraph.interventions.circuits.edge_sets import edge_set_changes
from circuitgraph.interventions.circuits.measure import require_same
from circuitgraph.interventions.patching.cross_patch import given_by
from circuitgraph.interventions.patching.pair import BATCH, Pair
from circuitgraph.models.stored import reencoded
from circuitgraph.prompts.tokens import Encoded, unequal_pairs
from circuitgraph.runs.record import Run


@dataclass(frozen=True)
class SetEffects:
    """What one model decides when sets of edges are patched, in the decision's units.

    Attributes:
        changes: of the decision with each set patched, float64 [N × n].
        totals: of the decision with every edge patched, float64 [n].
    """

    changes: np.ndarray
    totals: np.ndarray


def pairs_of(pair: Pair, run: Run) -> tuple[Encoded, ...]:
    """The prompts of a run as token ids, known to be patchable position by position.

    Raises:
        InputError: names the first pair that is not.
    """
    # Under a second corruption the texts are new to the model.
    prompts = reencoded(run, pair.tokenizer, rows=min(len(m.embed) for m in pair.models))
    uneven = unequal_pairs(prompts) if run.method.ablation == "corrupt" else []
    if uneven:
        first = uneven[0]
        if first.apart:
            raise InputError(f"prompt {first.source.id!r:.60}: {first.apart}")
        raise InputError(
            f"prompt {first.source.id!r:.60} has {len(first.prompt)} tokens and its corrupt text "
            f"{len(first.corrupt or ())} ({len(uneven)} of {run.n} pairs are unequal); make both "
            "equally long, or mark the differing words (columns span and corrupt_span)"
        )
    return prompts


def set_effects(
    pair: Pair, side: int, run: Run, sets: np.ndarray, reporter: Reporter
) -> SetEffects:
    """Effect of every set of edges for every prompt of a run.

    Args:
        pair: holds the run's model.
        side: which of its models.
        run: its prompts, ablation and kind of edges; the corrupt texts may be others than
            those it was measured with.
        sets: True for each edge of the set, bool [N × edges], edges as in ``run.edges``.
        reporter: where progress goes.

    Raises:
        InputError: pairs of unequal lengths, or the model decides otherwise now.
    """
    model, method = pair.models[side], run.method
    prompts, ablation = pairs_of(pair, run), as_ablation(method.ablation)
    granularity, inputs = as_granularity(method.granularity), as_inputs(method.inputs)
    ablated = ablated_contributions(model, prompts, granularity, ablation)
    wanted = torch.from_numpy(np.ascontiguousarray(sets))
    found = SetEffects(np.empty((len(sets), run.n)), np.empty(run.n))
    with reporter.progress(run.n, f"{run.variant.name[:40]}, {ablation}") as bar:
        for rows in in_batches(prompts, ablation, BATCH):
            chosen = [prompts[i] for i in rows]
            batch = make_batch(chosen, whole=ablated is not None, border=model.border)
            patch = make_patch(model, batch, granularity, ablated)
            require_same(run, rows, patch.base.numpy())
            changes = edge_set_changes(patch, wanted, granularity, inputs)
            found.changes[:, rows] = changes.numpy()
            found.totals[rows] = (patch.total - patch.base).numpy()
            bar.advance(len(rows))
    return found


def moved_sets(
    pair: Pair, into: int, inputs: str, sets: np.ndarray, reporter: Reporter
) -> np.ndarray:
    """Change of one model's decision when sets of edges read the other's senders.

    Args:
        pair: two models and the prompts both are asked.
        into: which of them runs.
        inputs: ``joint`` or ``split``.
        sets: True for each edge of the set, bool [N × edges].
        reporter: where progress goes.

    Returns:
        float64 [N × n], in the order of ``pair.prompts``.
    """
    model, wanted = pair.models[into], torch.from_numpy(np.ascontiguousarray(sets))
    changes = np.empty((len(sets), len(pair.prompts)))
    with reporter.progress(len(pair.prompts), "blocks moved") as bar:
        for rows, prompts in pair.batches():
            batch = make_batch(prompts, whole=True, border=model.border)
            given = given_by(pair.models[1 - into], batch, pair.granularity)
            patch = make_patch(model, batch, pair.granularity, given)
            found = edge_set_changes(patch, wanted, pair.granularity, as_inputs(inputs))
            changes[:, rows] = found.numpy()
            bar.advance(len(rows))
    return changes
