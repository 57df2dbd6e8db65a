"""Power of a design: the smallest change it detects."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from math import isfinite, nan
from typing import TYPE_CHECKING, Any

import pandas as pd

from circuitgraph.base.errors import InputError, UsageError, quoted
from circuitgraph.base.progress import Reporter
from circuitgraph.base.textfiles import expanded
from circuitgraph.diff.outcome import compare_sides
from circuitgraph.diff.outlook import NOISY, TYPICAL, Asked, noise_of
from circuitgraph.lenses.base import Lens, Options
from circuitgraph.lenses.noise import Design, Noise
from circuitgraph.lenses.registry import lens_named, lens_names
from circuitgraph.prompts import PromptSet, read_prompts
from circuitgraph.prompts.pairs import counted
from circuitgraph.prompts.reader import Source
from circuitgraph.runs.catalogue import RunCatalogue
from circuitgraph.runs.record import Run
from circuitgraph.stats.evidence import MIN_REPLICATES
from circuitgraph.stats.power import ALPHA, CHANGED, EDGES, POWER, bh_level

if TYPE_CHECKING:
    from circuitgraph.planning.cost import Cost

COLUMNS = (
    *("lens", "scope", "prompts", "scenarios", "seeds", "margin", "typical", "noisy"),
    *("evidence", "basis", "variants", "hours", "bytes"),
)


@dataclass(frozen=True)
class Question:
    """A design; None for values of the pilot, the file or the defaults.

    Attributes
    ----------
    prompts
        Number of distinct prompts, or a prompt file.
    scenarios
        Number of scenarios.
    seeds
        Variants a side, trained alike.
    edges
        Number of edges tested together.
    lens
        One lens only.
    pilot
        ``A:B``, or a recipe, of runs that are there.
    alpha, power, margin
        Of the test.
    changed
        Share of edges expected to change: decides how strict the control of false discoveries is.
    model
        Of which hours and bytes are told.
    tokens
        Of a prompt, where there is no file.
    split_inputs
        Effects of q, k and v one by one.

    Raises
    ------
    UsageError
        A number that cannot be.
    """

    prompts: Source | int | None = None
    scenarios: int | None = None
    seeds: int = MIN_REPLICATES
    edges: int | None = None
    lens: str | None = None
    pilot: str | None = None
    alpha: float = ALPHA
    power: float = POWER
    margin: float | None = None
    changed: float = CHANGED
    model: str | None = None
    tokens: int = 100
    split_inputs: bool = False

    def __post_init__(self) -> None:
        for name in ("scenarios", "seeds", "edges", "tokens"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise UsageError(f"``{name}={value}``: must be at least 1")
        if not 0 < self.alpha < 1:
            raise UsageError(f"``alpha={self.alpha:g}``: is not between 0 and 1")
        if not self.alpha < self.power < 1:
            raise UsageError(f"``power={self.power:g}``: is not between alpha and 1")
        if not 0 < self.changed <= 1:
            raise UsageError(f"``changed={self.changed:g}``: is not a share of the edges, 0 to 1")
        if self.lens not in (None, *lens_names()):
            raise UsageError(f"``lens={self.lens!r}``: choose {', '.join(lens_names())}")
        if self.margin is not None and not (isfinite(self.margin) and self.margin >= 0):
            raise UsageError(f"``margin={self.margin:g}``: is not a number of at least 0")
        if self.margin is not None and not (self.lens and lens_named(self.lens).assumed):
            raise UsageError(
                '``margin`` has the units of one lens: say ``lens="effect"`` or '
                '``lens="correlation"``'
            )


@dataclass(frozen=True, eq=False)
class Plan:
    """The smallest detectable changes of a design.

    Attributes
    ----------
    table
        One row a lens, scope and design; columns :data:`COLUMNS`.
    remarks
        What it rests on, and what to know.
    """

    table: pd.DataFrame
    remarks: tuple[str, ...]

    def __repr__(self) -> str:
        return f"Plan({len(self.table)} designs: {', '.join(self.table['lens'].unique())})"


@dataclass(frozen=True)
class _Pilot:
    """Noise by (lens, scope) from pilot runs, channels, and their design by lens."""

    noise: Mapping[tuple[str, str], Noise]
    edges: Mapping[str, int]
    channels: tuple[float, float] | None
    designs: Mapping[str, Design]


_NONE = _Pilot({}, {}, None, {})


def plan(question: Question, catalogue: RunCatalogue, reporter: Reporter) -> Plan:
    """The smallest changes that a design detects, with hours and bytes for a model.

    Raises
    ------
    UsageError, InputError
        Names, files or numbers that cannot be.
    """
    prompts = _file(question.prompts)
    pilot = _NONE if question.pilot is None else _read_pilot(question, catalogue, reporter)
    names = lens_names() if question.lens is None else (question.lens,)
    lenses = [lens_named(name) for name in names]
    designs = {lens.name: _design(question, prompts, lens, pilot) for lens in lenses}
    costs: Mapping[str, Cost] = {}
    if question.model is not None:
        from circuitgraph.planning.cost import costs as costs_of

        inputs = "split" if question.split_inputs else "joint"
        most = max(lenses, key=lambda lens: lens.run_kind != "correlation")  # effects cost most
        own, number = _counted(prompts, most), designs[most.name].prompts
        costs = costs_of(question.model, own, number, question.tokens, inputs)
    rows = [r for lens in lenses for r in _rows(lens, question, designs[lens.name], pilot, costs)]
    table = pd.DataFrame(rows, columns=list(COLUMNS))
    return Plan(table, tuple(_remarks(table, lenses, question, designs, costs)))


def _file(prompts: Source | int | None) -> PromptSet | None:
    """The prompts of a file; None for a number of prompts."""
    number = isinstance(prompts, str) and re.fullmatch(r"[+-]?\d+", prompts)
    if prompts is None or isinstance(prompts, int) or number:
        return None
    if isinstance(prompts, str | os.PathLike) and not expanded(prompts).is_file():
        raise UsageError(f"``prompts={prompts!s:.200}``: no such file, and not a number of prompts")
    return read_prompts(prompts)


def _counted(prompts: PromptSet | None, lens: Lens) -> PromptSet | None:
    """The prompts of a file that count for a lens."""
    if prompts is None:
        return None
    pairs = prompts.has_pairs and lens.run_kind != "correlation"
    return counted(prompts, "effect" if pairs else "correlation")[0]


def _design(question: Question, prompts: PromptSet | None, lens: Lens, pilot: _Pilot) -> Design:
    last = [Design(100, 5), *pilot.designs.values()][-1]
    known = pilot.designs.get(lens.name, last)
    number, scenarios = known.prompts, known.scenarios
    if (own := _counted(prompts, lens)) is not None:
        number, scenarios = len(own), len(own.scenarios)
    elif question.prompts is not None:
        number = int(str(question.prompts))
    if number < 1:
        raise UsageError(f"``prompts={number}``: must be at least 1")
    if question.scenarios is not None:
        scenarios = question.scenarios
        if scenarios > number:
            raise UsageError(f"``scenarios={scenarios}``: more than the {number} prompts")
    return Design(number, min(scenarios, number), question.seeds)


def _read_pilot(question: Question, catalogue: RunCatalogue, reporter: Reporter) -> _Pilot:
    names_a, names_b = _pilot_sides(question.pilot or "", catalogue)
    noise: dict[tuple[str, str], Noise] = {}
    edges: dict[str, int] = {}
    designs: dict[str, Design] = {}
    refused, pair = None, None
    lenses = [lens for lens in map(lens_named, lens_names()) if not lens.needs_models]
    for lens in lenses:
        try:
            runs_a, runs_b, _ = catalogue.matched(names_a, names_b, lens.run_kind)
        except UsageError as error:
            refused = error
            continue
        pair = (runs_a[0], runs_b[0])
        outcome = compare_sides(runs_a[:1], runs_b[:1], _options(lens, "checkpoint", question))
        noise[lens.name, "checkpoint"] = noise_of(outcome, lens)
        edges[lens.name] = int((outcome.tests.reason == 0).sum())
        designs[lens.name] = Design(outcome.matched.n, outcome.matched.n_scenarios)
        if len(runs_a) > 1 or len(runs_b) > 1:
            grouped = compare_sides(runs_a, runs_b, _options(lens, "recipe", question))
            noise[lens.name, "recipe"] = noise_of(grouped, lens)
    if pair is None and refused is not None:
        raise refused
    wanted = pair if question.lens is None or lens_named(question.lens).needs_models else None
    return _Pilot(noise, edges, _channels(wanted, reporter), designs)


def _pilot_sides(text: str, catalogue: RunCatalogue) -> tuple[list[str], list[str]]:
    """Both sides of ``A:B``; of one recipe, all but its first variant against that."""
    group = [] if ":" in text else catalogue.side(text, "recipe")
    if len(group) > 1:
        return group[1:], group[:1]
    if group:
        raise UsageError(
            f"``pilot={quoted(text)}``: is one variant; what changes needs two, as A:B"
        )
    a, b = catalogue.pair(text, "recipe")
    return catalogue.side(a, "recipe"), catalogue.side(b, "recipe")


def _options(lens: Lens, scope: str, question: Question) -> Options:
    margin = question.margin if question.lens == lens.name else None
    return Options(lens, scope, question.alpha, margin)


def _channels(pair: tuple[Run, Run] | None, reporter: Reporter) -> tuple[float, float] | None:
    """Median change of virtual weights of the median and of a noisy receiver."""
    if pair is None or not all(run.variant.base for run in pair):
        return None
    from circuitgraph.composition.measure import compose_pair

    try:
        table = compose_pair(*pair, False, reporter)
    except (UsageError, InputError):  # no heads, no shared basis, files gone: then assume
        return None
    into = table.groupby(["target", "input"], sort=False)["delta"]
    medians = into.median()[into.size() > 2]
    changed = medians[medians > 0]  # a receiver that did not move says nothing of one that does
    if changed.empty:
        return None
    low, high = changed.quantile([TYPICAL, NOISY])
    return float(low), float(high)


def _rows(
    lens: Lens, question: Question, design: Design, pilot: _Pilot, costs: Mapping[str, Cost]
) -> Iterator[dict[str, Any]]:
    yield from _unlimited(lens, design, pilot)
    edges = question.edges or pilot.edges.get(lens.name) or _edges_of(lens, costs)
    level = bh_level(question.alpha, edges, question.changed, question.power)
    margin = lens.margin if question.margin is None else question.margin
    for scope, others in (("checkpoint", design.grown()), ("recipe", design.repeated())):
        noise, basis = _noise(lens, scope, pilot)
        if noise is None:
            continue
        asked = Asked(lens, scope, margin, level, question.power)
        for one in (design, others):
            own = one if scope == "recipe" else replace(one, seeds=1)
            yield {
                **_said(lens, scope, own),
                "margin": margin,
                "typical": asked.visible(noise, own, TYPICAL),
                "noisy": asked.visible(noise, own, NOISY),
                "evidence": asked.evidence(noise, own),
                "basis": basis,
                **_cost(costs.get(lens.run_kind), own, 1 if noise.fixed else own.seeds),
            }


def _noise(lens: Lens, scope: str, pilot: _Pilot) -> tuple[Noise | None, str]:
    """The pilot's noise for this scope, else the assumed noise, if any."""
    found = pilot.noise.get((lens.name, scope))
    if found is None or not len(found.prompt) or (scope == "recipe" and found.spread is None):
        return lens.assumed.get(scope), "assumed"
    return found, "pilot"


def _said(lens: Lens, scope: str, design: Design) -> dict[str, Any]:
    numbers = {"prompts": design.prompts, "scenarios": design.scenarios, "seeds": design.seeds}
    return {"lens": lens.name, "scope": scope, **numbers}


def _cost(cost: Cost | None, design: Design, other: int) -> dict[str, Any]:
    variants = design.seeds + other
    if cost is None:
        return {"variants": variants, "hours": nan, "bytes": nan}
    each = variants * design.prompts
    return {"variants": variants, "hours": each * cost.seconds / 3600, "bytes": each * cost.size}


def _edges_of(lens: Lens, costs: Mapping[str, Cost]) -> int:
    """Edges of the model; of an undirected graph the pairs of its components."""
    cost = costs.get(lens.run_kind)
    if cost is None:
        return EDGES
    return cost.columns if lens.directed else cost.columns * (cost.columns - 1) // 2


def _unlimited(lens: Lens, design: Design, pilot: _Pilot) -> Iterator[dict[str, Any]]:
    """Row of a lens whose smallest detectable change does not depend on prompts."""
    found = lens.smallest(pilot.channels)
    if found is None:
        return
    yield {
        **_said(lens, "checkpoint", replace(design, seeds=1)),
        "margin": nan,
        "typical": found[0],
        "noisy": found[1],
        "evidence": "ok",
        "basis": "pilot" if pilot.channels else "assumed",
        **_cost(None, replace(design, seeds=1), 1),
    }


def _remarks(
    table: pd.DataFrame,
    lenses: Sequence[Lens],
    question: Question,
    designs: Mapping[str, Design],
    costs: Mapping[str, Cost],
) -> Iterator[str]:
    yield (
        f"typical: the smallest change claimed in {question.power:.0%} of studies on an edge of "
        "median noise, noisy: of the ninth decile; effects: among edges that carry one, as shares "
        "of the norm of all edge effects; correlations: of r"
    )
    if (table["basis"] == "assumed").any():
        yield (
            "assumed: as noisy as deontological against utilitarian training of the small models "
            "in examples/ipd; yours will differ, and ``pilot=A:B`` measures it"
        )
    if any(lens.assumed for lens in lenses):
        yield (
            f"false discoveries are controlled at {question.alpha:g} as if {question.changed:.0%} "
            "of the edges changed (``changed``); the fewer, the larger a change must be"
        )
    yield from _insufficient(table, lenses, question, designs)
    yield from (lens.planned for lens in lenses if lens.planned)
    if costs:
        yield (
            f"hours on this machine as it is now, and bytes of runs on disk, for all variants; "
            f"effects by {costs['effect'].estimator}, {costs['effect'].columns} edges"
        )


def _insufficient(
    table: pd.DataFrame, lenses: Sequence[Lens], question: Question, designs: Mapping[str, Design]
) -> Iterator[str]:
    for lens in lenses:
        design = designs[lens.name]
        need, _ = lens.evidence
        if design.df < need:
            yield (
                f"{lens.name}: insufficient, {design.prompts} prompts − {design.scenarios} "
                f"scenarios leave {design.df}, {need} are needed"
            )
    if question.seeds < MIN_REPLICATES and "recipe" in set(table["scope"]):
        yield (
            f"recipe scope: insufficient with {question.seeds} seeds a side; {MIN_REPLICATES} or "
            "more are needed (5 advised), else nothing is said about the training"
        )
