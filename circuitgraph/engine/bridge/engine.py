"""Models under the library's hooks: the measurements of ``interface.Engine``, and attention."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from circuitgraph.base.components import Granularity
from circuitgraph.base.errors import InputError
from circuitgraph.engine.batches import Batch, gather
from circuitgraph.engine.bridge.checks import TOLERANCE, apart, refusal, worst
from circuitgraph.engine.bridge.exact import exact_group, receiver_exact_columns
from circuitgraph.engine.bridge.gradients import eap_columns
from circuitgraph.engine.bridge.patch import BridgePatch, bridge_patch, corrupt_decision
from circuitgraph.engine.bridge.wrapped import (
    Bridge,
    Hook,
    bridge_contributions,
    decide_logits,
    hook_name,
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
    if spec.edges is not None:
        raise ValueError(f"{spec.estimator} computes all edges at once; only exact takes some")
    if spec.estimator == "receiver-exact":
        return receiver_exact_columns(patch, spec.granularity, spec.inputs)
    steps = spec.steps if spec.estimator == "eap-ig" else 0
    return eap_columns(patch, spec.granularity, spec.inputs, steps)


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


PATTERN = "attn.hook_pattern"


@torch.no_grad()
def bridge_patterns(
    bridge: Bridge, tokens: Tensor, ends: Tensor, last: Tensor
) -> Iterator[tuple[Tensor, Tensor]]:
    """As ``nodes.attention.patterns``: weights [n, H, T] and values [n, T, H, e] of every layer.

    Raises
    ------
    InputError
        The bridge shows no pattern, or one that times the values is not what its heads put out
        (attention with sinks, or outputs that are gated).
    """
    kept: dict[str, Tensor] = {}

    def keep(name: str) -> Hook:
        return (name, lambda x, hook: kept.update({name: x.detach().clone()}))

    layers = range(bridge.layers)
    names = [[f"blocks.{i}.{PATTERN}", hook_name(i, "v"), hook_name(i, "z")] for i in layers]
    with bridge.rows(ends):
        logits_of(bridge.hooked, tokens, [keep(name) for layer in names for name in layer])
    rows = torch.arange(len(last))
    for layer, own in enumerate(names):
        if own[0] not in kept:
            raise _unread(bridge, f"the bridge shows no attention pattern of layer {layer}")
        whole, v, z = (kept[name] for name in own)
        v = v.flatten(2).unflatten(2, (bridge.kv_heads, -1)).repeat_interleave(bridge.group, 2)
        weights = whole[rows, :, last]
        read = torch.einsum("nht,nthe->nhe", weights, v)
        want = z.flatten(2).unflatten(2, (bridge.heads, -1))[rows, last]
        if not apart(read, want) <= TOLERANCE or not _sums_to_one(weights):
            raise _unread(bridge, f"heads of layer {layer} put out more than pattern times values")
        yield weights, v


def _sums_to_one(weights: Tensor) -> bool:
    return float((weights.sum(-1) - 1).abs().max()) <= TOLERANCE


def _unread(bridge: Bridge, why: str) -> InputError:
    return InputError(f"attention: model type {bridge.family!r} has no reader, and {why}")
