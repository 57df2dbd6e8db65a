"""Models under the library's hooks: the measurements of ``interface.Engine``."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from circuitgraph.base.components import Granularity
from circuitgraph.base.errors import InputError
from circuitgraph.engine.batches import Batch, gather
from circuitgraph.engine.bridge.checks import TOLERANCE, refusal, worst
from circuitgraph.engine.bridge.effects import bridge_effects, decisions_of
from circuitgraph.engine.bridge.parts import bridge_contributions
from circuitgraph.engine.bridge.wrapped import Bridge, logits_of, trace_of
from circuitgraph.engine.interface import Effects, EffectSpec
from circuitgraph.engine.model import Norm

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
        return decisions_of(self, batch)

    def edge_effects(self, batch: Batch, spec: EffectSpec = _ALL) -> Effects:
        return bridge_effects(self, batch, spec)

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
        apart, meaning = worst(self, probes)
        if not apart <= TOLERANCE:
            raise refusal(folder, self.family, f"{meaning} (off by {apart:.1e})")
        return apart
