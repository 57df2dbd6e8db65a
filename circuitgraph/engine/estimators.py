"""One result type for every estimator of edge effects."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal, get_args

import torch
from torch import Tensor

from circuitgraph.base.components import Granularity, Inputs
from circuitgraph.engine.attribution import eap_columns, eap_ig_columns
from circuitgraph.engine.batches import Batch
from circuitgraph.engine.decision import answer_mass
from circuitgraph.engine.exact import exact_columns
from circuitgraph.engine.model import Model
from circuitgraph.engine.patch import CHUNK_ROWS, Patch, make_patch
from circuitgraph.engine.receiver import receiver_exact_columns
from circuitgraph.engine.receivers import readers

Estimator = Literal["exact", "receiver-exact", "eap", "eap-ig"]
ESTIMATORS: tuple[Estimator, ...] = get_args(Estimator)
STEPS = 5
"""Backward passes of ``eap-ig``."""


def as_estimator(text: str) -> Estimator:
    """The method key ``estimator`` as one of its values.

    Raises:
        ValueError: it is none of them.
    """
    return ESTIMATORS[ESTIMATORS.index(text)]


@dataclass(frozen=True)
class Effects:
    """Per-prompt results for one batch of n prompts.

    Attributes:
        effects: [n, edges], edges in the order of ``components.effect_edges``.
        totals: decision(every sender patched for every reader) − decision(clean) [n].
        decisions: clean decision [n].
        mass: probability of the two answers in the clean run [n].
    """

    effects: Tensor
    totals: Tensor
    decisions: Tensor
    mass: Tensor


def edge_effects(
    model: Model,
    batch: Batch,
    granularity: Granularity = "head",
    inputs: Inputs = "joint",
    *,
    estimator: Estimator = "exact",
    steps: int = STEPS,
    ablated: Tensor | None = None,
    edges: Sequence[int] | None = None,
    chunk_rows: int = CHUNK_ROWS,
) -> Effects:
    """Effect of every edge for every prompt of a batch.

    Args:
        batch: made with ``whole=True`` when ``ablated`` is given.
        granularity: of senders and attention receivers.
        inputs: replace q, k and v of a head together, or one at a time.
        estimator: ``exact`` reruns all that is downstream; ``receiver-exact`` reruns the
            receiver and linearises what follows; ``eap`` linearises both; ``eap-ig``
            averages ``eap``'s gradients between corrupt and clean embedding.
        steps: of ``eap-ig``.
        ablated: contribution to put in place of each sender's; see ``make_patch``. None
            takes the corrupt run's.
        edges: indices of the edges wanted, ascending (``exact`` only); None for all.
        chunk_rows: positions recomputed at once; memory and speed, never results.
    """
    patch = make_patch(model, batch, granularity, ablated, chunk_rows)
    columns = _columns(patch, granularity, inputs, estimator, steps, edges)
    wanted = [s for group in readers(model, granularity, inputs, edges) for s in group.senders]
    # Where a sender says nothing new, no rounding is left behind either.
    moved = [column * patch.moved[s] for column, s in zip(columns, wanted, strict=True)]
    return Effects(
        effects=torch.cat(moved).T.contiguous(),
        totals=patch.total - patch.base,
        decisions=patch.base,
        mass=answer_mass(model, patch.clean.final, batch),
    )


def _columns(
    patch: Patch,
    granularity: Granularity,
    inputs: Inputs,
    estimator: Estimator,
    steps: int,
    edges: Sequence[int] | None,
) -> Iterator[Tensor]:
    if estimator == "exact":
        return exact_columns(patch, granularity, inputs, edges)
    if edges is not None:
        raise ValueError(f"{estimator} computes all edges at once; only exact takes some")
    if estimator == "receiver-exact":
        return receiver_exact_columns(patch, granularity, inputs)
    if estimator == "eap":
        return eap_columns(patch, granularity, inputs)
    return eap_ig_columns(patch, granularity, inputs, steps)
