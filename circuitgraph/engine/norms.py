"""Special norms: none at all, and one over the queries or keys of all heads."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from circuitgraph.base.components import Granularity
from circuitgraph.base.errors import UsageError
from circuitgraph.engine.model import Model, Norm


@dataclass(frozen=True)
class NoNorm(Norm):
    """The identity, for families without a norm before a branch (OLMo-2)."""

    @classmethod
    def of(cls, like: Tensor) -> NoNorm:
        """Over a last axis [width] like this one's."""
        return cls(torch.ones_like(like), None, 0.0, centre=False)

    def scale(self, x: Tensor) -> Tensor:
        return torch.ones_like(x[..., :1])

    def __call__(self, x: Tensor) -> Tensor:
        return x

    def linear(self, x: Tensor, scale: Tensor | None = None) -> Tensor:
        return x

    def pull(self, x: Tensor, gradient: Tensor) -> Tensor:
        return gradient


@dataclass(frozen=True)
class JointNorm(Norm):
    """RMSNorm over the queries (or keys) of all heads at once (OLMo-2, OLMoE).

    ``weight`` is [heads × size]. Where x has more heads, each is repeated: keys once a query head.
    """

    def __call__(self, x: Tensor) -> Tensor:
        return self._scaled(x, x.pow(2).mean((-2, -1), keepdim=True))

    def alone(self, x: Tensor, clean: Tensor) -> Tensor:
        """Every head normed as if only it were x and all others ``clean`` [..., heads, size]."""
        own, other = (y.pow(2).sum(-1, keepdim=True) for y in (x, clean))
        total = other.sum(-2, keepdim=True) / self._copies(clean) - other + own
        return self._scaled(x, total / self.weight.numel())

    def _copies(self, x: Tensor) -> int:
        if x.shape[-2] % len(self.weight):
            raise ValueError(f"{x.shape[-2]} of {len(self.weight)} heads are no whole norm")
        return x.shape[-2] // len(self.weight)

    def _scaled(self, x: Tensor, square: Tensor) -> Tensor:
        weight = self.weight.repeat_interleave(self._copies(x), 0)
        return x * torch.rsqrt(square + self.eps) * weight


def norms_heads_together(model: Model) -> bool:
    """Whether queries or keys of all heads share one norm."""
    return any(
        isinstance(norm, JointNorm)
        for block in model.blocks
        for norm in (block.attention.q_norm, block.attention.k_norm)
    )


def require_heads_apart(model: Model, granularity: Granularity, what: str) -> None:
    """Refuse (UsageError, at heads) families whose queries and keys are normed over all heads.

    ``what`` is named in the message.
    """
    if granularity == "head" and norms_heads_together(model):
        raise UsageError(
            f"{what}: models of type {model.family!r} norm the queries and keys of all heads at "
            'once, so that none reads alone; ingest with ``granularity="layer"`` and ask that run'
        )
