"""Two models on the prompts of their runs, each ready to take components of the other."""

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
from circuitgraph.engine.patch import make_patch
from circuitgraph.ingest.room import prompts_at_once
from circuitgraph.interventions.asked import clean_batches, clean_decisions
from circuitgraph.interventions.patching.transplant import given_by, set_changes
from circuitgraph.models.stored import ModelPair
from circuitgraph.prompts.tokens import Encoded
from circuitgraph.runs.comparable import incomparable, require_same_answers
from circuitgraph.runs.record import Run

Advance = Callable[[int], None]
"""Told how many prompts are done."""


@dataclass(frozen=True)
class Pair:
    """Two models and the prompts both are asked.

    Attributes
    ----------
    stored
        The models behind two runs.
    prompts
        With answers; those that differ in their corrupt twins alone are one.
    """

    stored: ModelPair
    prompts: tuple[Encoded, ...]

    @property
    def engines(self) -> tuple[NativeModel, NativeModel]:
        """The first model and the second."""
        return self.stored.engines

    @property
    def spec(self) -> EdgeSpec:
        """Components and edges of the first run, and so of both."""
        return self.stored.a.spec

    @property
    def scenarios(self) -> np.ndarray:
        """Scenario of every prompt as a code, int [n]."""
        return np.unique([p.source.scenario for p in self.prompts], return_inverse=True)[1]

    @property
    def batch_size(self) -> int:
        """Prompts at once, within the memory that may be taken."""
        resources = self.stored.a.resources
        own = self.engines
        return prompts_at_once(own, self.prompts, self.spec.granularity, "mean", resources)

    def decisions(self, side: int) -> np.ndarray:
        """Decision of one model for every prompt, float64 [n]."""
        return clean_decisions(self.engines[side], self.prompts)

    def set_changes(
        self,
        into: int,
        sets: np.ndarray,
        advance: Advance = lambda _: None,
        granularity: Granularity | None = None,
    ) -> np.ndarray:
        """Change of one model's decision with each set of the other's components in it.

        Parameters
        ----------
        into
            Which of the models runs.
        sets
            Bool [N, 1 + components], ``EMBED`` first.
        advance
            Told of prompts done.
        granularity
            Of the components; None for the pair's own.

        Returns
        -------
        ndarray
            float64 [N, n].
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
        """Change of one model's decision when one receiver reads the other's sender.

        Returns
        -------
        ndarray
            float32 [edges, n], edges in the order of ``components.effect_edges``.
        """
        spec, columns, order = self.spec, list[Tensor](), list[int]()
        for rows, batch in self.batches(into):
            given = self.given(into, batch, spec.granularity)
            asked = EffectSpec(spec.granularity, spec.inputs, ablated=given)
            result = self.engines[into].edge_effects(batch, asked)
            columns.append(result.effects.cpu())
            order += rows
            advance(len(rows))
        return torch.cat(columns)[np.argsort(order)].T.numpy()

    def batches(self, side: int) -> Iterator[tuple[list[int], Batch]]:
        """Rows and prompts of each batch for one model: alike in length, to save padding."""
        model = self.engines[side]
        return clean_batches(model, self.prompts, self.batch_size)

    def given(self, into: int, batch: Batch, granularity: Granularity) -> Tensor:
        """What every component of the other model adds [1 + components, R, T, d]."""
        return given_by(self.engines[1 - into], batch, granularity)


def load_pair(
    first: Run, second: Run, command: str = "patch", resources: Resources = USUAL
) -> Pair:
    """Both models of two runs on the same prompts, and these prompts encoded.

    Parameters
    ----------
    first, second
        Of either kind.
    command
        What asks for them, for messages.
    resources
        Where to compute, and within what memory.

    Raises
    ------
    InputError
        The files of a variant are gone or no longer the same.
    UsageError
        A family without a reader; the prompts have no answers or not the same, or the models
        differ in width.
    """
    require_same_answers(first, second)
    stored = ModelPair.open(first, second, command, resources)
    a, b = (engine.width for engine in stored.engines)
    if a != b:
        why = f"one is {a} wide and the other {b}, so what components add does not fit"
        raise incomparable(first.variant, second.variant, why, "take variants of one width")
    return Pair(stored, _asked(stored.a.prompts))


def _asked(rows: Sequence[Encoded]) -> tuple[Encoded, ...]:
    """What is asked: prompts that differ in their corrupt twins alone are one prompt here."""
    alone: dict[tuple, Encoded] = {}
    for row in rows:
        same = (row.prompt, row.sides)
        alone.setdefault(same, replace(row, corrupt=None, partners=None))
    return tuple(alone.values())
