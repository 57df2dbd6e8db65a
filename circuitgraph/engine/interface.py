"""What measures need of a model, whether our forward pass runs it or the library's with hooks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal, Protocol, get_args

import torch
from torch import Tensor

from circuitgraph.base.components import STEPS, Granularity, Inputs
from circuitgraph.base.errors import UsageError
from circuitgraph.engine.batches import Batch
from circuitgraph.engine.model import Norm
from circuitgraph.engine.receivers import Sizes

Estimator = Literal["exact", "receiver-exact", "eap", "eap-ig"]
ESTIMATORS: tuple[Estimator, ...] = get_args(Estimator)


def as_estimator(text: str) -> Estimator:
    """The method key ``estimator`` as one of its values; ``ValueError`` if it is none."""
    return ESTIMATORS[ESTIMATORS.index(text)]


@dataclass(frozen=True)
class EffectSpec:
    """Which effects to measure, and how.

    Attributes
    ----------
    granularity
        Of senders and attention receivers.
    inputs
        Replace q, k and v of a head together, or one at a time.
    estimator
        ``exact`` reruns all that is downstream; ``receiver-exact`` reruns the receiver and
        linearises what follows; ``eap`` linearises both; ``eap-ig`` averages ``eap``'s gradients
        between corrupt and clean embedding.
    steps
        Of ``eap-ig``.
    ablated
        Replacement of each sender's contribution; see ``patch.make_patch``. None takes the
        corrupt run's. The batch is then made with ``whole=True``.
    edges
        Indices of the edges wanted, ascending (``exact`` only); None for all.
    chunk_rows
        Positions recomputed at once (None: the device's usual number); memory and speed, never
        results.
    """

    granularity: Granularity = "head"
    inputs: Inputs = "joint"
    estimator: Estimator = "exact"
    steps: int = STEPS
    ablated: Tensor | None = None
    edges: Sequence[int] | None = None
    chunk_rows: int | None = None

    def __post_init__(self) -> None:
        if self.edges is not None and self.estimator != "exact":
            raise ValueError(f"{self.estimator} computes all edges at once; only exact takes some")
        if self.estimator == "eap-ig" and self.steps < 1:
            raise UsageError(f"``steps`` of eap-ig: at least 1, not {self.steps}")

    @property
    def gradient_steps(self) -> int:
        """Gradients that ``eap-ig`` averages; 0 of ``eap``, whose gradient is the clean run's."""
        return self.steps if self.estimator == "eap-ig" else 0


@dataclass(frozen=True)
class Effects:
    """Per-prompt results for one batch of n prompts.

    Attributes
    ----------
    effects : [n, edges]
        Edges in the order of ``components.effect_edges``.
    totals : [n]
        decision(every sender patched for every receiver) − decision(clean).
    decisions : [n]
        Clean decision.
    mass : [n]
        Probability of the two answers in the clean run.
    """

    effects: Tensor
    totals: Tensor
    decisions: Tensor
    mass: Tensor


class Engine(Sizes, Protocol):
    """A model whose components and edges can be measured: ``NativeModel`` or ``HookedModel``."""

    kind: ClassVar[str]
    """``engine`` or ``bridge``, as the self-check of a run says."""

    @property
    def family(self) -> str: ...

    @property
    def width(self) -> int: ...

    @property
    def kv_heads(self) -> int: ...

    @property
    def border(self) -> int | None: ...

    @property
    def device(self) -> torch.device: ...

    @property
    def dtype(self) -> torch.dtype: ...

    def logits(self, tokens: Tensor, ends: Tensor | None = None) -> Tensor:
        """Logits [R, T, V] of right-padded token ids [R, T]; see ``forward`` for ``ends``."""

    def contributions(
        self, tokens: Tensor, index: Tensor, granularity: Granularity, ends: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """Contributions [1 + components, R, W, d] and final stream [R, W, d] at an index [R, W]."""

    def decisions(self, batch: Batch) -> tuple[Tensor, Tensor, Tensor]:
        """Clean and corrupt decision, and answer mass in the clean run, of every prompt [n]."""

    def edge_effects(self, batch: Batch, spec: EffectSpec = ...) -> Effects:
        """Effect of every edge for every prompt; ``UsageError`` for an unsupported estimator."""

    def unembedding(self) -> tuple[Norm, Tensor]:
        """Final norm, unembedding [vocabulary × width]; ``InputError`` where logits need more."""

    def check_parts(self, folder: str, probes: Sequence[Tensor]) -> float | None:
        """Relative distance of the contributions' sum from the stream; None where 0 by design.

        ``InputError``: a family whose effects would be wrong numbers.
        """
