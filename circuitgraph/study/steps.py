"""The steps of the study and what each took: whatever was done before is not done again."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from circuitgraph.base.atomic import write_atomic
from circuitgraph.base.errors import InputError
from circuitgraph.base.progress import Reporter
from circuitgraph.diff.compare import compare_runs
from circuitgraph.diff.record import Diff
from circuitgraph.games.prompts import HELD_OUT
from circuitgraph.games.rewards import recipe_named
from circuitgraph.lenses.effect.lens import Effect
from circuitgraph.models.tasks import make_game_prompts
from circuitgraph.nodes.compare import NodeDiff
from circuitgraph.prompts import PromptSet, read_prompts
from circuitgraph.prompts.tokenizer import load_tokenizer
from circuitgraph.prompts.written import write_prompts
from circuitgraph.study.design import BASE, Comparison, Design, Part
from circuitgraph.training.request import TrainRequest
from circuitgraph.training.train import train_all
from circuitgraph.training.written import Trained
from circuitgraph.workspace import Workspace

NOTHING = 5.0
"""CPU seconds below which a step only found what was there."""


def costs_of(out: Path) -> dict[str, float]:
    """CPU seconds by step, as kept."""
    file = out / "costs.json"
    return json.loads(file.read_text("utf-8")) if file.is_file() else {}


@contextmanager
def timed(out: Path, step: str) -> Iterator[None]:
    """Add the CPU seconds of a block to those of its step, where it did any work."""
    began = time.process_time()
    yield
    spent = time.process_time() - began
    known = costs_of(out)
    if spent >= NOTHING:
        known[step] = known.get(step, 0.0) + spent
        write_atomic(out / "costs.json", json.dumps(known, indent=1).encode("utf-8"))


LAYERS, HEADS, ACTIVITY = "layers", "heads", "activity"
"""Workspaces: what is measured otherwise is never compared, and the newest run is what is taken."""


BATCH, DEVICE_BATCH = 4, 16
"""Prompts at once on a processor, and on another device: memory and speed, never results."""


@dataclass(frozen=True)
class Steps:
    """The steps of one design.

    Attributes
    ----------
    design
        All choices.
    reporter
        Where progress goes.
    """

    design: Design
    reporter: Reporter

    def workspace(self, name: str = LAYERS) -> Workspace:
        """The workspace of one granularity."""
        return Workspace(self.design.out / name, reporter=self.reporter)

    def prompts(self) -> None:
        """Write the prompts of the game, unless a file of them is there."""
        file = self.design.prompts
        if file.is_file():
            return
        file.parent.mkdir(parents=True, exist_ok=True)
        model = self.design.model
        chat = bool(getattr(load_tokenizer(model), "chat_template", None))
        every = make_game_prompts("ipd", model, wordings=self.design.wordings, chat=chat)
        held = list(dict.fromkeys(p.template for p in every if p.split == HELD_OUT))
        left = {*held[self.design.told :]}
        kept = tuple(p for p in every if p.template not in left)
        write_prompts(PromptSet(kept, every.source), file)

    def asked(self, where: str) -> PromptSet:
        """Held-out prompts, which nothing was trained on; all where none is marked.

        Correlations, which are cheap and need many, are taken on all that decisions are told of.
        """
        every = read_prompts(self.design.prompts)
        held = [p for p in every.prompts if p.split == HELD_OUT] or every.prompts
        count = self.design.told if where == ACTIVITY else self.design.asked
        wordings = list(dict.fromkeys(p.template for p in held))[:count]
        return PromptSet(tuple(p for p in held if p.template in wordings), every.source)

    def request(self, recipe: str, seeds: int, part: Part | None = None) -> TrainRequest:
        """How variants of a recipe, or a part of one, are trained."""
        design, steps = self.design, self.design.steps_of(recipe)
        return TrainRequest(
            recipe_named(recipe), seeds=seeds, rank=design.rank, steps=steps, groups=1,
            rate=design.rate, layers=None if part else design.layers,
            components=part.components if part else None, device=design.device,
        )  # fmt: skip

    def trained(self, asked: Sequence[tuple[str, Part | None]]) -> list[list[Trained]]:
        """All seeds of recipes, or of parts of them, on one load of the model."""
        tasks = []
        for recipe, part in asked:
            folder = self.design.adapters / (part.folder if part else "whole")
            folder.parent.mkdir(parents=True, exist_ok=True)
            seeds = part.seeds if part else self.design.seeds
            tasks.append((folder, self.request(recipe, seeds, part)))
        with timed(self.design.out, "train"):
            return train_all(self.design.model, self.design.prompts, tasks, self.reporter)

    def measured(self, name: str, recipe: str, adapter: Path | None, where: str) -> None:
        """Ingest one variant at one granularity, unless it is there."""
        workspace = self.workspace(where)
        if name in workspace:
            return
        self.reporter.remark(f"{where}: {name}")
        with timed(self.design.out, f"ingest {where}"):
            workspace.ingest(
                self.design.model, adapter=adapter, name=name, recipe=recipe,
                prompts=self.asked(where), edges="correlation" if where == ACTIVITY else "effect",
                granularity="head" if where == HEADS else "layer",
                estimator=self.estimator(where), batch_size=self.batch_size, load=False,
                device=self.design.device,
            )  # fmt: skip

    @property
    def batch_size(self) -> int:
        """Prompts at once: memory and speed, never results."""
        return BATCH if self.design.device == "cpu" else DEVICE_BATCH

    def estimator(self, where: str) -> Any:
        """How effects are measured."""
        return "eap" if where == HEADS else self.design.estimator

    def compared(self, where: str, one: Comparison) -> Diff:
        """Measure both sides where they are not yet, and compare them."""
        for side in (one.a, one.b):
            self._side(side, where)
        self.reporter.remark(f"{where}: {one.a} → {one.b}, {one.lens}, {one.scope}")
        with timed(self.design.out, f"diff {where} {one.lens}"):
            return self._diff(self.workspace(where), one)

    def attributed(self, one: Comparison) -> NodeDiff:
        """Direct contributions of components, measured where they are not yet, and compared."""
        for side in (one.a, one.b):
            self._side(side, LAYERS)
        self.reporter.remark(f"components: {one.a} → {one.b}, {one.lens}, {one.scope}")
        with timed(self.design.out, "components"):
            return self.workspace().nodes(one.a, one.b, measure=one.lens, scope=one.scope)

    @property
    def all_trained(self) -> bool:
        """Whether every whole variant is there."""
        whole = self.design.adapters / "whole"
        return all((whole / name).is_dir() for name, _ in self.design.variants)

    def ready(self, where: str, one: Comparison) -> bool:
        """Whether a screen of effects has all its runs: what it takes then are seconds."""
        if one.lens != "effect" or one.confirmed:
            return False
        known = set(self.workspace(where).catalogue().variants())
        names = {name for name, recipe in self.design.variants if {name, recipe} & {one.a, one.b}}
        wanted = names | ({BASE} & {one.a, one.b})
        return wanted <= known

    def _side(self, side: str, where: str) -> None:
        if side == BASE:
            self.measured(BASE, "", None, where)
        for name, recipe in self.design.variants:
            if side in (name, recipe):
                self.measured(name, recipe, self.design.adapters / "whole" / name, where)

    def _diff(self, workspace: Workspace, one: Comparison) -> Diff:
        """The answer kept in the workspace; of a screen that is not confirmed, the screen's."""
        runs = workspace.catalogue()
        names_a, names_b = (runs.side(name, one.scope) for name in (one.a, one.b))
        if one.lens == "effect" and not one.confirmed:
            a, b, _ = runs.matched(names_a, names_b, "effect")
            if Effect().screened(a):
                return compare_runs(
                    a, b, name_a=one.a, name_b=one.b, lens=one.lens, scope=one.scope
                )
        return workspace.diff(
            one.a, one.b, lens=one.lens, scope=one.scope, mechanism=False,
            device=self.design.device,
        )  # fmt: skip


def place_of(one: Comparison) -> str:
    """The workspace a comparison of layers is made in."""
    return ACTIVITY if one.lens == "correlation" else LAYERS


def require_model(model: Path) -> None:
    """Refuse (InputError) what is no model folder."""
    if not (model / "config.json").is_file():
        raise InputError(f"{model}: no model folder; circuitgraph convert makes one of a GGUF file")
