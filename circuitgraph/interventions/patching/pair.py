"""Two models on common prompts, for patching across models."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from circuitgraph.base.components import EdgeSpec, Granularity
from circuitgraph.base.resources import USUAL, Resources
from circuitgraph.engine.batches import Batch
from circuitgraph.engine.interface import EffectSpec
from circuitgraph.engine.native import NativeModel
from circuitgraph.engine.patch import CHUNK_ROWS, make_patch
from circuitgraph.ingest.memory import prompts_at_once
from circuitgraph.interventions.clean import clean_batches, clean_decisions
from circuitgraph.interventions.patching.transplant import given_by, set_changes
from circuitgraph.models.stored import ModelPair
from circuitgraph.prompts.tokens import Encoded
from circuitgraph.runs.comparable import incomparable, require_same_answers
from circuitgraph.runs.record import Run

Advance = Callable[[int], None]
"""Called with the number of prompts that are done."""


@dataclass(frozen=True)
class Pair:
    """Two models and their common prompts.

    Attributes
    ----------
    stored
        The models of two runs.
    prompts
        With answers; prompts that differ only in their corrupt twins are one.
    """

    stored: ModelPair
    prompts: tuple[Encoded, ...]

    @property
    def engines(self) -> tuple[NativeModel, NativeModel]:
        """The first and the second model."""
        return self.stored.engines

    @property
    def spec(self) -> EdgeSpec:
        """Granularity and inputs of both runs."""
        return self.stored.a.spec

    @property
    def scenarios(self) -> np.ndarray:
        """Scenario codes, int [n]."""
        return np.unique([p.source.scenario for p in self.prompts], return_inverse=True)[1]

    @property
    def batch_size(self) -> int:
        """Prompts at once, within the memory that may be taken."""
        resources = self.stored.a.resources
        own = self.engines
        return prompts_at_once(own, self.prompts, self.spec.granularity, "mean", resources)

    def decisions(self, side: int) -> np.ndarray:
        """Decisions of one model, float64 [n]."""
        return clean_decisions(self.engines[side], self.prompts)

    def set_changes(
        self,
        into: int,
        sets: np.ndarray,
        advance: Advance = lambda _: None,
        granularity: Granularity | None = None,
    ) -> np.ndarray:
        """Change of one model's decision by each set of the other's components, float64 [N, n].

        Parameters
        ----------
        into
            The patched model: 0 or 1.
        sets
            Bool [N, 1 + components], ``EMBED`` first.
        advance
            Called with the number of prompts done.
        granularity
            Of the components; None for the pair's own.
        """
        chosen = granularity or self.spec.granularity
        changes = np.empty((len(sets), len(self.prompts)))
        for rows, batch in self.batches(into):
            given = self.given(into, batch, chosen)
            patch = make_patch(self.engines[into], batch, chosen, given)
            wanted = torch.from_numpy(sets).to(given.device)
            changes[:, rows] = set_changes(patch, given, wanted, chosen).cpu().numpy()
            advance(len(rows))
        return changes

    def edge_changes(self, into: int, advance: Advance = lambda _: None) -> np.ndarray:
        """Change of one model's decision by patching each edge, float32 [edges, n]."""
        spec, columns, order = self.spec, list[Tensor](), list[int]()
        bounded = self.stored.a.resources.memory is not None
        rows_at_once = CHUNK_ROWS if bounded else None
        for rows, batch in self.batches(into):
            given = self.given(into, batch, spec.granularity)
            asked = EffectSpec(
                spec.granularity, spec.inputs, ablated=given, chunk_rows=rows_at_once
            )
            result = self.engines[into].edge_effects(batch, asked)
            columns.append(result.effects.cpu())
            order += rows
            advance(len(rows))
        return torch.cat(columns)[np.argsort(order)].T.numpy()

    def batches(self, side: int) -> Iterator[tuple[list[int], Batch]]:
        """Indices and batch of prompts of similar length, for one model."""
        model = self.engines[side]
        return clean_batches(model, self.prompts, self.batch_size)

    def given(self, into: int, batch: Batch, granularity: Granularity) -> Tensor:
        """Contributions of the other model's components [1 + components, R, T, d]."""
        return given_by(self.engines[1 - into], batch, granularity)


def load_pair(
    first: Run, second: Run, command: str = "patch", resources: Resources = USUAL
) -> Pair:
    """Load both models of two runs on the same prompts.

    Raises
    ------
    InputError
        The files of a variant are missing or changed.
    UsageError
        A family served by hooks only; prompts without equal answers; models of different width.
    """
    require_same_answers(first, second)
    stored = ModelPair.open(first, second, command, resources)
    a, b = (engine.width for engine in stored.engines)
    if a != b:
        why = f"one is {a} wide and the other {b}, so what components add does not fit"
        raise incomparable(first.variant, second.variant, why, "take variants of one width")
    return Pair(stored, _without_twins(stored.a.prompts))


def _without_twins(rows: Sequence[Encoded]) -> tuple[Encoded, ...]:
    """Prompts without corrupt twins, each once."""
    alone: dict[tuple, Encoded] = {}
    for row in rows:
        same = (row.prompt, row.sides)
        alone.setdefault(same, replace(row, corrupt=None, partners=None))
    return tuple(alone.values())
