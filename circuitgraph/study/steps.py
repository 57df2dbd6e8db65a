"""The steps of the study: whatever was done before is found and not done again."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from circuitgraph.base.errors import InputError
from circuitgraph.base.progress import Reporter
from circuitgraph.diff.compare import compare_runs
from circuitgraph.diff.record import Diff
from circuitgraph.games.prompts import HELD_OUT
from circuitgraph.games.rewards import recipe_named
from circuitgraph.lenses.effect.lens import Effect
from circuitgraph.models.tasks import make_game_prompts
from circuitgraph.prompts import PromptSet, read_prompts
from circuitgraph.prompts.tokenizer import load_tokenizer
from circuitgraph.prompts.written import write_prompts
from circuitgraph.study.costs import timed
from circuitgraph.study.design import BASE, TAUGHT, Comparison, Design, Part, comparisons
from circuitgraph.training.request import TrainRequest
from circuitgraph.training.train import Trained, train
from circuitgraph.workspace import Workspace

LAYERS, HEADS = "layers", "heads"
"""Workspaces: the two granularities are never compared, and the newest run is the one taken."""


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
        write_prompts(
            make_game_prompts("ipd", model, wordings=self.design.wordings, chat=chat), file
        )

    @property
    def asked(self) -> PromptSet:
        """Held-out prompts, which nothing was trained on; all where none is marked."""
        every = read_prompts(self.design.prompts)
        held = [p for p in every.prompts if p.split == HELD_OUT] or every.prompts
        wordings = list(dict.fromkeys(p.template for p in held))[: self.design.asked]
        return PromptSet(tuple(p for p in held if p.template in wordings), every.source)

    def request(self, recipe: str, seeds: int, part: Part | None = None) -> TrainRequest:
        """How variants of a recipe, or a part of one, are trained."""
        design = self.design
        where = {"layers": design.layers} if part is None else {"components": part.components}
        return TrainRequest(
            recipe_named(recipe), seeds=seeds, rank=design.rank, steps=design.steps, groups=1,
            **where,  # type: ignore[arg-type]
        )  # fmt: skip

    def trained(self, recipe: str, part: Part | None = None) -> list[Trained]:
        """All seeds of a recipe, or of a part of it."""
        folder = self.design.adapters / (part.folder if part else "whole")
        folder.parent.mkdir(parents=True, exist_ok=True)
        request = self.request(recipe, part.seeds if part else self.design.seeds, part)
        name = f"train {recipe}" + (f", {part.name}" if part else "")
        with timed(self.design.out, name):
            return train(self.design.model, self.design.prompts, folder, request, self.reporter)

    def measured(self, name: str, recipe: str, adapter: Path | None, where: str) -> None:
        """Ingest one variant at one granularity."""
        with timed(self.design.out, f"ingest {where}"):
            self.workspace(where).ingest(
                self.design.model, adapter=adapter, name=name, recipe=recipe, prompts=self.asked,
                granularity="layer" if where == LAYERS else "head",
                estimator=self.estimator(where),  # type: ignore[arg-type]
                load=False,
            )  # fmt: skip

    def estimator(self, where: str) -> str:
        """How effects are measured at a granularity."""
        return self.design.estimator if where == LAYERS else "eap"

    def all_measured(self, where: str) -> None:
        """Ingest the base and every whole variant."""
        self.measured(BASE, "", None, where)
        for number, (name, recipe) in enumerate(self.design.variants, start=1):
            self.reporter.remark(f"{where}: {name} ({number} of {len(self.design.variants)})")
            self.measured(name, recipe, self.design.adapters / "whole" / name, where)

    def compared(
        self, where: str, asked: Sequence[Comparison]
    ) -> Iterator[tuple[Comparison, Diff]]:
        """Diffs one after another; a comparison of models that are too alike is left out."""
        workspace = self.workspace(where)
        for one in asked:
            self.reporter.remark(f"{where}: {one.a} → {one.b}, {one.lens}, {one.scope}")
            with timed(self.design.out, f"diff {where} {one.lens}"):
                yield one, self._diff(workspace, one)

    def _diff(self, workspace: Workspace, one: Comparison) -> Diff:
        """The answer kept in the workspace; of a screen that is not confirmed, the screen's."""
        shelf = workspace.shelf()
        names = [shelf.side(name, one.scope) for name in (one.a, one.b)]
        if one.lens == "effect" and not one.confirmed:
            a, b, _ = shelf.matched(*names, "effect")
            if Effect().screened(a):
                return compare_runs(
                    a, b, name_a=one.a, name_b=one.b, lens=one.lens, scope=one.scope
                )
        return workspace.diff(
            one.a,
            one.b,
            lens=one.lens,
            scope=one.scope,
            mechanism=False,  # type: ignore[arg-type]
        )


def asked_at(where: str) -> list[Comparison]:
    """Comparisons made at a granularity: of heads, which are screened, those of recipes alone."""
    if where == LAYERS:
        return list(comparisons())
    return [c for c in comparisons() if c.scope == "recipe" and c.lens == "effect"]


def require_model(model: Path) -> None:
    """Refuse (InputError) what is no model folder."""
    if not (model / "config.json").is_file():
        raise InputError(f"{model}: no model folder; circuitgraph convert makes one of a GGUF file")


__all__ = ["HEADS", "LAYERS", "TAUGHT", "Steps", "asked_at", "require_model"]
