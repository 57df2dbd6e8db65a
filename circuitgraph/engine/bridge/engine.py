"""Models under the library's hooks: the measurements of ``interface.Engine``."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from circuitgraph.base.components import Granularity
from circuitgraph.base.errors import InputError
from circuitgraph.engine.batches import Batch, gather
from circuitgraph.engine.bridge.checks import TOLERANCE, refusal, worst
from circuitgraph.engine.bridge.exact import exact_group, receiver_exact_columns
from circuitgraph.engine.bridge.gradients import eap_columns
from circuitgraph.engine.bridge.patch import BridgePatch, bridge_patch, corrupt_decision
from circuitgraph.engine.bridge.wrapped import (
    Bridge,
    bridge_contributions,
    decide_logits,
    logits_of,
    mass_of,
    trace_of,
)
from circuitgraph.engine.interface import Effects, EffectSpec
from circuitgraph.engine.model import Norm
from circuitgraph.engine.receivers import receiver_groups


def _columns(patch: BridgePatch, spec: EffectSpec) -> Iterator[Tensor]:
    """Effects [edges, n] of some receivers after the other."""
    if spec.estimator == "exact":
        groups = receiver_groups(patch.bridge, spec.granularity, spec.inputs, spec.edges)
        return (exact_group(patch, group) for group in groups)
    if spec.estimator == "receiver-exact":
        return receiver_exact_columns(patch, spec.granularity, spec.inputs)
    return eap_columns(patch, spec.granularity, spec.inputs, spec.gradient_steps)


_ALL = EffectSpec()


@dataclass(frozen=True)
class HookedModel(Bridge):
    """A bridge with the methods of ``interface.Engine``."""

    kind: ClassVar[str] = "bridge"

    @torch.no_grad()
    def logits(self, tokens: Tensor, ends: Tensor | None = None) -> Tensor:
        with self.rows(ends):
            return logits_of(self.hooked, tokens)

    @torch.no_grad()
    def contributions(
        self, tokens: Tensor, index: Tensor, granularity: Granularity, ends: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        with self.rows(ends):
            trace = trace_of(self.hooked, self.layers, tokens)
        return bridge_contributions(self, trace, index, granularity), gather(trace.final, index)

    @torch.no_grad()
    def decisions(self, batch: Batch) -> tuple[Tensor, Tensor, Tensor]:
        clean = self.logits(batch.clean, batch.ends)
        corrupt = corrupt_decision(self.logits(batch.corrupt, batch.corrupt_ends), batch)
        return decide_logits(clean, batch)[0], corrupt, mass_of(clean, batch)

    @torch.no_grad()
    def edge_effects(self, batch: Batch, spec: EffectSpec = _ALL) -> Effects:
        patch = bridge_patch(self, batch, spec)
        with self.rows(batch.ends):
            effects = torch.cat(list(_columns(patch, spec)))
        return Effects(
            effects=effects.T.contiguous(),
            totals=patch.total - patch.base,
            decisions=patch.base,
            mass=mass_of(patch.clean.logits, batch),
        )

    def unembedding(self) -> tuple[Norm, Tensor]:
        """Final norm and unembedding, if they give the logits."""
        if self.read_out is None:
            raise InputError(
                f"model type {self.family!r} makes its logits in a way that hooks do not show; "
                'use ``activity="norm"``'
            )
        return self.read_out.norm, self.read_out.unembed * self.read_out.factor

    def check_parts(self, folder: str, probes: Sequence[Tensor]) -> float:
        """Largest relative error of all checks; see ``checks``."""
        off, meaning = worst(self, probes)
        if not off <= TOLERANCE:
            raise refusal(folder, self.family, f"{meaning} (off by {off:.1e})")
        return off
