"""Two models on the prompts of their runs, each ready to take components of the other."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from circuitgraph.base.components import Granularity, Inputs, as_granularity
from circuitgraph.base.errors import UsageError
from circuitgraph.engine.batches import gather, make_batch
from circuitgraph.engine.decision import decide
from circuitgraph.engine.estimators import edge_effects
from circuitgraph.engine.families import from_hf
from circuitgraph.engine.forward import forward
from circuitgraph.engine.forwards import require_reader
from circuitgraph.engine.model import Model
from circuitgraph.engine.patch import make_patch
from circuitgraph.ingest.estimate import in_batches
from circuitgraph.interventions.patching.cross_patch import given_by, set_changes
from circuitgraph.models.stored import reencoded, reload
from circuitgraph.prompts.tokens import Encoded
from circuitgraph.runs.record import Run

BATCH = 16
"""Prompts at once; changes speed, never results."""

Advance = Callable[[int], None]
"""Told how many prompts are done."""


@dataclass(frozen=True)
class Pair:
    """Two models and the prompts both are asked.

    Attributes:
        models: the first and the second.
        prompts: with answers.
        granularity: of their components.
        tokenizer: of both.
    """

    models: tuple[Model, Model]
    prompts: tuple[Encoded, ...]
    granularity: Granularity
    tokenizer: Any

    @property
    def scenarios(self) -> np.ndarray:
        """Scenario of every prompt as a code, int [n]."""
        return np.unique([p.source.scenario for p in self.prompts], return_inverse=True)[1]

    @torch.no_grad()
    def decisions(self, side: int) -> np.ndarray:
        """Decision of one model for every prompt, float64 [n]."""
        decided = np.empty(len(self.prompts))
        for rows, prompts in self.batches():
            model = self.models[side]
            batch = make_batch(prompts, whole=True, border=model.border)
            final = gather(forward(model, batch.clean, batch.ends).final, batch.read)
            decided[rows] = decide(model, final, batch).numpy()
        return decided

    def set_changes(
        self,
        into: int,
        sets: np.ndarray,
        advance: Advance = lambda _: None,
        granularity: Granularity | None = None,
    ) -> np.ndarray:
        """Change of one model's decision with each set of the other's components in it.

        Args:
            into: which of the models runs.
            sets: bool [N, 1 + components], ``EMBED`` first.
            advance: told of prompts done.
            granularity: of the components; None for the pair's own.

        Returns:
            float64 [N, n].
        """
        chosen = granularity or self.granularity
        changes = np.empty((len(sets), len(self.prompts)))
        for rows, prompts in self.batches():
            model = self.models[into]
            batch = make_batch(prompts, whole=True, border=model.border)
            given = given_by(self.models[1 - into], batch, chosen)
            patch = make_patch(model, batch, chosen, given)
            changes[:, rows] = set_changes(patch, given, torch.from_numpy(sets), chosen).numpy()
            advance(len(rows))
        return changes

    def edge_changes(
        self, into: int, inputs: Inputs, advance: Advance = lambda _: None
    ) -> np.ndarray:
        """Change of one model's decision when one receiver reads the other's sender.

        Returns:
            float32 [edges, n], edges in the order of ``components.effect_edges``.
        """
        columns: list[Tensor] = []
        order: list[int] = []
        for rows, prompts in self.batches():
            batch = make_batch(prompts, whole=True, border=self.models[into].border)
            given = given_by(self.models[1 - into], batch, self.granularity)
            result = edge_effects(self.models[into], batch, self.granularity, inputs, ablated=given)
            columns.append(result.effects)
            order += rows
            advance(len(rows))
        return torch.cat(columns)[np.argsort(order)].T.numpy()

    def batches(self) -> Iterator[tuple[list[int], list[Encoded]]]:
        """Rows and prompts of each batch: alike in length, so that little is padding."""
        for rows in in_batches(self.prompts, None, BATCH):
            yield rows, [self.prompts[i] for i in rows]


def load_pair(first: Run, second: Run, command: str = "patch") -> Pair:
    """Both models of two runs on the same prompts, and these prompts encoded.

    Args:
        first, second: of either kind.
        command: what asks for them, for messages.

    Raises:
        InputError: the files of a variant are gone or no longer the same.
        UsageError: the prompts have no answers or not the same, or the models differ in
            width.
    """
    require_reader(first.variant.model_type, command)
    _require_same_answers(first, second)
    (hf, tokenizer), (other, _) = reload(first.variant), reload(second.variant)
    models = (from_hf(hf), from_hf(other))
    if models[0].width != models[1].width:
        raise UsageError(
            f"{_short(first)} is {models[0].width} wide and {_short(second)} {models[1].width}: "
            "what a component of one adds does not fit into the other"
        )
    encoded = _asked(reencoded(first, tokenizer))
    return Pair(models, encoded, as_granularity(first.method.granularity), tokenizer)


def _require_same_answers(first: Run, second: Run) -> None:
    lacking = [p.id for p in first.prompts if p.answer is None or p.wrong_answer is None]
    if lacking:
        raise UsageError(
            f"the prompts of {_short(first)} have no answers (first {lacking[0]!r:.60}), so there "
            "is no decision to change; ingest both with answer and wrong_answer in the prompt file"
        )
    asked, again = (
        [(p.tokens, p.answer, p.wrong_answer) for p in run.prompts] for run in (first, second)
    )
    if asked != again:
        raise UsageError(
            f"{_short(first)} and {_short(second)} were asked for different answers; ingest both "
            "on the same prompt file"
        )


def _asked(rows: Sequence[Encoded]) -> tuple[Encoded, ...]:
    """What is asked: prompts that differ in their corrupt twins alone are one prompt here."""
    alone: dict[tuple, Encoded] = {}
    for row in rows:
        same = (row.prompt, row.answer, row.wrong_answer)
        alone.setdefault(same, replace(row, corrupt=None, partners=None))
    return tuple(alone.values())


def _short(run: Run) -> str:
    return repr(run.variant.name)[:60]
