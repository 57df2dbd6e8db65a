"""Models of families with a reader: the measurements of ``interface.Engine``."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from circuitgraph.base.components import Granularity
from circuitgraph.engine.attribution import eap_columns
from circuitgraph.engine.batches import Batch, gather
from circuitgraph.engine.contributions import contributions
from circuitgraph.engine.decision import answer_mass, decide
from circuitgraph.engine.exact import exact_columns
from circuitgraph.engine.forward import forward, logits
from circuitgraph.engine.interface import Effects, EffectSpec
from circuitgraph.engine.model import Model, Norm
from circuitgraph.engine.patch import Patch, make_patch, usual_rows
from circuitgraph.engine.receiver import receiver_exact_columns
from circuitgraph.engine.receivers import receiver_groups

_ALL = EffectSpec()


@dataclass(frozen=True)
class NativeModel(Model):
    """Weights with the methods of ``interface.Engine``."""

    kind: ClassVar[str] = "engine"

    @torch.no_grad()
    def logits(self, tokens: Tensor, ends: Tensor | None = None) -> Tensor:
        return logits(self, forward(self, tokens, ends).final)

    @torch.no_grad()
    def contributions(
        self, tokens: Tensor, index: Tensor, granularity: Granularity, ends: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        trace = forward(self, tokens, ends)
        return contributions(self, trace, index, granularity), gather(trace.final, index)

    @torch.no_grad()
    def decisions(self, batch: Batch) -> tuple[Tensor, Tensor, Tensor]:
        clean = forward(self, batch.clean, batch.ends)
        corrupt = forward(self, batch.corrupt, batch.corrupt_ends)
        before = decide(self, gather(clean.final, batch.read), batch)
        after = decide(self, gather(corrupt.final, batch.corrupt_read), batch)
        return before, after, answer_mass(self, clean.final, batch)

    def edge_effects(self, batch: Batch, spec: EffectSpec = _ALL) -> Effects:
        rows = spec.chunk_rows or usual_rows(batch.index.device)
        patch = make_patch(self, batch, spec.granularity, spec.ablated, rows)
        groups = receiver_groups(self, spec.granularity, spec.inputs, spec.edges)
        wanted = [senders for group in groups for senders in group.senders]
        # Where a sender's contribution is unchanged, no rounding is left behind either.
        columns = zip(_columns(patch, spec), wanted, strict=True)
        return Effects(
            effects=torch.cat([column * patch.changed[s] for column, s in columns]).T.contiguous(),
            totals=patch.total - patch.base,
            decisions=patch.base,
            mass=answer_mass(self, patch.clean.final, batch),
        )

    def unembedding(self) -> tuple[Norm, Tensor]:
        return self.norm, self.unembed

    def check_parts(self, folder: str, probes: Sequence[Tensor]) -> None:
        """None: contributions are computed from the weights themselves."""


def _columns(patch: Patch, spec: EffectSpec) -> Iterator[Tensor]:
    if spec.estimator == "exact":
        return exact_columns(patch, spec.granularity, spec.inputs, spec.edges)
    if spec.estimator == "receiver-exact":
        return receiver_exact_columns(patch, spec.granularity, spec.inputs)
    return eap_columns(patch, spec.granularity, spec.inputs, spec.gradient_steps)
