"""The whole study: train, measure, compare, train parts, answer; all that is done is kept."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from circuitgraph.base.atomic import write_atomic
from circuitgraph.base.errors import CircuitGraphError
from circuitgraph.base.progress import Reporter, human_seconds
from circuitgraph.diff.record import Diff
from circuitgraph.games.rewards import NULLS, REWARDED
from circuitgraph.models.devices import require_there
from circuitgraph.planning.cost import shape_of
from circuitgraph.study import tables as rows_of
from circuitgraph.study.answers import answers, fate_row
from circuitgraph.study.design import (
    BASE,
    MORAL,
    TAUGHT,
    Comparison,
    Design,
    Part,
    of_recipes,
    of_variants,
    of_wiring,
)
from circuitgraph.study.forecast import forecast
from circuitgraph.study.levels import (
    Question,
    answered,
    attribution_row,
    level_rows,
    of_components,
    of_levels,
)
from circuitgraph.study.page import page
from circuitgraph.study.parts import chosen, layers_of
from circuitgraph.study.steps import HEADS, LAYERS, Steps, costs_of, place_of, require_model, timed
from circuitgraph.study.tables import Tables
from circuitgraph.training.sites import components_named


@dataclass
class Study:
    """One run of the study.

    Attributes
    ----------
    steps
        What is done, kept from run to run.
    pages
        Folder of ``study.md`` and ``study/*.csv``; ``study/notes.md``, where there is one, is
        written by hand and stands first on the page.
    deadline
        Seconds on the clock of ``time.monotonic`` after which nothing new is begun.
    tables, missing
        What was found, and what was not done and why.
    diffs
        Of single variants, by lens and both names.
    """

    steps: Steps
    pages: Path
    deadline: float = float("inf")
    tables: Tables = field(default_factory=Tables)
    missing: list[str] = field(default_factory=list)
    diffs: dict[tuple[str, str, str], Diff] = field(default_factory=dict)

    @property
    def design(self) -> Design:
        """All choices."""
        return self.steps.design

    def run(self) -> None:
        """Everything, the page written after each stage."""
        for stage in (
            self._train,
            partial(self._compare, of_recipes()),
            self._parts,
            self._components,
            self._variants,
            self._levels,
            partial(self._compare, of_wiring()),
            self._heads,
        ):
            stage()
            self.write()

    def attempt(
        self, name: str, work: Callable[[], None], cheap: Callable[[], bool] = lambda: False
    ) -> bool:
        """Do a step unless time is over; what cannot be done is noted on the page.

        What is ``cheap``, since all it rests on is there, is done in any case; asked when time is
        over.
        """
        if time.monotonic() > self.deadline and not cheap():
            self.missing.append(f"{name}: no time was left")
            return False
        try:
            work()
        except CircuitGraphError as error:
            self.missing.append(f"{name}: {error}")
            self.steps.reporter.warn(f"{name}: {error}")
            return False
        return True

    def write(self) -> None:
        """The tables and the page, as far as they are."""
        self.tables.write(self.pages / "study")
        file = self.pages / "study" / "notes.md"
        notes = file.read_text("utf-8") if file.is_file() else ""
        text = page(self.design, self.tables, self._told(), self._costs(), self.missing, notes)
        write_atomic(self.pages / "study.md", text.encode("utf-8"))

    def _costs(self) -> dict[str, float]:
        """CPU seconds by step; of training as each adapter's record has them."""
        rows = self.tables["behaviour"]
        found = {k: v for k, v in costs_of(self.design.out).items() if k != "train"}
        if rows.empty:
            return found
        each = rows.drop_duplicates(["recipe", "part", "seed"])
        return {f"train {len(each)} adapters": float(each["cpu_seconds"].sum()), **found}

    def _told(self) -> dict[str, str]:
        asked = self.steps.asked(LAYERS)
        steps = sorted({row["steps"] for row in self.tables.rows.get("behaviour", ())})
        return {
            "Model": self.design.model.name,
            "Prompts": f"{len(asked.prompts)} of wordings held out of training, in "
            f"{len({p.scenario for p in asked})} scenarios",
            "Adapters": f"LoRA of rank {self.design.rank}, {' or '.join(map(str, steps))} steps",
        }

    def _train(self) -> None:
        asked: list[tuple[str, Part | None]] = [(r, None) for r in (*REWARDED, *NULLS)]
        self.attempt("train", partial(self._trained, asked), lambda: self.steps.all_trained)

    def _trained(self, asked: Sequence[tuple[str, Part | None]]) -> None:
        for (_, part), done in zip(asked, self.steps.trained(asked), strict=True):
            self.tables.add("behaviour", rows_of.behaviour_rows(done, part))
            if done[0].record["recipe"] == TAUGHT:
                self.tables.add("parts", [rows_of.part_row(one, part) for one in done])

    def _components(self) -> None:
        for one in of_components():
            name = f"components, {one.lens}, {one.scope}: {one.a} → {one.b}"
            self.attempt(name, partial(self._attributed, one))

    def _attributed(self, one: Comparison) -> None:
        found = self.steps.attributed(one)
        self.tables.add("components", [attribution_row(one, found)])

    def _variants(self) -> None:
        """What needs single variants, or is dear."""
        self._compare(of_variants())
        self.attempt("hubs", self._hubs)
        self.attempt("patches", self._patches)
        self.attempt("mechanism", self._mechanism)

    def _heads(self) -> None:
        if self.design.heads:
            self._compare(of_recipes(), HEADS)
        else:
            self.missing.append("heads: left out by the design")

    def _compare(self, asked: Iterable[Comparison], place: str = "") -> None:
        for one in asked:
            where = place or place_of(one)
            if one.confirmed and not self._screened(one):
                continue
            exactly = ", confirmed" if one.confirmed else ""
            name = f"{where}, {one.lens}, {one.scope}: {one.a} → {one.b}{exactly}"
            ready = partial(self.steps.ready, where, one)
            self.attempt(name, partial(self._compared, where, one), ready)

    def _screened(self, one: Comparison) -> bool:
        """Whether this comparison was made, of a screen's numbers."""
        made = self.tables.comparisons(lens=one.lens, scope=one.scope, a=one.a, b=one.b)
        return made.empty or bool((made["numbers"] == "screened").any())

    def _compared(self, where: str, one: Comparison) -> None:
        diff = self.steps.compared(where, one)
        self.tables.add("comparisons", [rows_of.comparison_row(one, where, diff)])
        self.tables.add("claims", rows_of.claim_rows(one, where, diff))
        if one.scope == "checkpoint" and where != HEADS:
            self.diffs[one.lens, one.a, one.b] = diff
        moral = one.a == "strategic" and one.b in MORAL and not one.confirmed
        if where == LAYERS and moral and (one.lens, one.scope) == ("effect", "recipe"):
            self.tables.add("fates", [fate_row(diff)])

    def _levels(self) -> None:
        for one in of_levels():
            self.attempt(f"levels: {one.a} → {one.b}", partial(self._level_by_level, one))

    def _level_by_level(self, one: Question) -> None:
        """Effects are compared where they are not yet; by other lenses what is there stands."""
        for a, b in one.pairs:
            if ("effect", a, b) not in self.diffs:
                asked = Comparison(a, b, "effect", "checkpoint")
                self.diffs["effect", a, b] = self.steps.compared(LAYERS, asked)
        with timed(self.design.out, "levels"):
            catalogue = self.steps.workspace().catalogue()
            found = answered(catalogue, one, self.diffs, self.steps.reporter)
        self.tables.add("levels", level_rows(found))

    def _parts(self) -> None:
        self.attempt("choose parts", self._choose)

    def _choose(self) -> None:
        count = shape_of(self.design.model)[0].layers
        names = components_named(None, self.design.layers, count)
        layers = sorted(layers_of(names))
        asked = Comparison(BASE, TAUGHT, "effect", "recipe")
        diff = self.steps.compared(LAYERS, asked)
        parts = chosen(diff, layers, self.design)
        self.attempt("train parts", partial(self._trained, [(TAUGHT, part) for part in parts]))

    def _hubs(self) -> None:
        workspace = self.steps.workspace()
        for a, b in (("strategic-0", f"{TAUGHT}-0"), ("deontological-0", "utilitarian-0")):
            with timed(self.design.out, "hubs"):
                found = workspace.hubs(a, b, kind="effect", of="change")
            self.tables.add("hubs", rows_of.hub_rows(a, b, found))

    def _patches(self) -> None:
        for a, b in (("strategic-0", f"{TAUGHT}-0"), ("deontological-0", "utilitarian-0")):
            with timed(self.design.out, "patches"):
                found = self.steps.workspace().patch(a, b, device=self.design.device)
            self.tables.add("patches", rows_of.patch_rows(found.components))

    def _mechanism(self) -> None:
        """Why the effects of the component trained alone changed."""
        name = "component"
        folder = self.design.adapters / name / f"{TAUGHT}-0"
        self.steps.measured(name, f"{TAUGHT} by {name}", folder, LAYERS)
        with timed(self.design.out, "mechanism"):
            diff: Diff = self.steps.workspace().diff(
                BASE, name, lens="effect", device=self.design.device
            )
        counts = diff.claims["mechanism"].astype(str).value_counts()
        told = {"a": BASE, "b": name, "claims": len(diff.claims)}
        self.tables.add("mechanism", [told | {str(k): int(v) for k, v in counts.items()}])


def run_study(
    design: Design, pages: Path, reporter: Reporter, budget: float | None = None
) -> list[str]:
    """Run the study, or go on with it; lines to print.

    Parameters
    ----------
    design
        What is trained and asked.
    pages
        Folder of the page and its tables.
    reporter
        Where progress goes.
    budget
        Seconds after which nothing new is begun; what is left out stands on the page.

    Raises
    ------
    InputError
        No model folder.
    UsageError
        A device that is not there.
    """
    require_model(design.model)
    require_there(design.device)
    steps = Steps(design, reporter)
    steps.prompts()
    whole, level = forecast(steps)
    where = "one core here" if design.device == "cpu" else design.device
    reporter.remark(f"the study takes {human_seconds(whole)} of {where}, from nothing, "
                    f"of it {human_seconds(level)} a comparison level by level; what is "
                    "there already is kept")  # fmt: skip
    deadline = float("inf") if budget is None else time.monotonic() + budget
    study = Study(steps, pages, deadline)
    study.run()
    return _lines(study)


def _lines(study: Study) -> list[str]:
    told = [f"{one.name} ({one.grade}): {one.words}" for one in answers(study.tables)]
    left = [f"not run: {len(study.missing)} steps"] if study.missing else []
    return [*told, *left, f"page: {study.pages / 'study.md'}"]
