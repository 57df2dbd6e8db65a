"""Effects of every edge through hooks, by any estimator."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from circuitgraph.engine.batches import Batch
from circuitgraph.engine.bridge.attribution import eap_columns, eap_ig_columns
from circuitgraph.engine.bridge.decisions import decide_logits, mass_of
from circuitgraph.engine.bridge.exact import exact_group
from circuitgraph.engine.bridge.patch import BridgePatch, bridge_patch, corrupt_decision
from circuitgraph.engine.bridge.receiver import receiver_exact_columns
from circuitgraph.engine.bridge.wrapped import Bridge, logits_of
from circuitgraph.engine.interface import Effects, EffectSpec
from circuitgraph.engine.receivers import receiver_groups


@torch.no_grad()
def bridge_effects(bridge: Bridge, batch: Batch, spec: EffectSpec) -> Effects:
    """Effect of every edge for every prompt of a batch."""
    patch = bridge_patch(bridge, batch, spec)
    with bridge.rows(batch.ends):
        effects = torch.cat(list(_columns(patch, spec)))
    return Effects(
        effects=effects.T.contiguous(),
        totals=patch.total - patch.base,
        decisions=patch.base,
        mass=mass_of(patch.clean.logits, batch),
    )


def _columns(patch: BridgePatch, spec: EffectSpec) -> Iterator[Tensor]:
    """Effects [edges, n] of some receivers after the other."""
    if spec.estimator == "exact":
        groups = receiver_groups(patch.bridge, spec.granularity, spec.inputs, spec.edges)
        return (exact_group(patch, group) for group in groups)
    if spec.edges is not None:
        raise ValueError(f"{spec.estimator} computes all edges at once; only exact takes some")
    if spec.estimator == "receiver-exact":
        return receiver_exact_columns(patch, spec.granularity, spec.inputs)
    if spec.estimator == "eap":
        return eap_columns(patch, spec.granularity, spec.inputs)
    return eap_ig_columns(patch, spec.granularity, spec.inputs, spec.steps)


def decisions_of(bridge: Bridge, batch: Batch) -> tuple[Tensor, Tensor, Tensor]:
    """Clean and corrupt decision, and answer mass, of every prompt [n]."""
    with bridge.rows(batch.ends):
        clean = logits_of(bridge.hooked, batch.clean)
    with bridge.rows(batch.corrupt_ends):
        corrupt = logits_of(bridge.hooked, batch.corrupt)
    return decide_logits(clean, batch)[0], corrupt_decision(corrupt, batch), mass_of(clean, batch)
