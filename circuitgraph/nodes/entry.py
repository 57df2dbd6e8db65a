"""Measure components of one variant, with intervals, or compare them between two."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from circuitgraph.base.errors import UsageError, quoted
from circuitgraph.base.progress import Reporter
from circuitgraph.lenses.match import match_runs
from circuitgraph.nodes.compare import NodeDiff, Sides, compare
from circuitgraph.nodes.labels import labels_of
from circuitgraph.nodes.measures import LAYERED, MEASURES, NAMES, WEIGHTS
from circuitgraph.nodes.parting import parting
from circuitgraph.nodes.record import Measure, NodeValues
from circuitgraph.nodes.values import values_of
from circuitgraph.runs.catalogue import RunCatalogue
from circuitgraph.runs.record import Run
from circuitgraph.stats.margins import half_width
from circuitgraph.stats.scenarios import balanced_mean, balanced_variance

COLUMNS = ("component", "measure", "category", "value", "low", "high", "n")


def table_of(run: Run, measure: Measure, found: NodeValues) -> pd.DataFrame:
    """Means over scenarios with equal weight, and 95% intervals over prompts, or groups of them.

    The interval is empty where every scenario has one prompt.
    """
    observed, codes = found.observed(run.scenarios)
    df = len(codes) - int(codes.max()) - 1
    value = balanced_mean(observed, codes)
    values = observed.astype(np.float64)
    half = half_width(np.sqrt(balanced_variance(values, codes)), max(df, 1))
    return pd.DataFrame(
        {
            "component": [node.component for node in found.nodes],
            "measure": measure.name,
            "category": [node.category for node in found.nodes],
            "value": value, "low": value - half, "high": value + half, "n": len(codes),
        }
    )[list(COLUMNS)]  # fmt: skip


@dataclass(frozen=True)
class MeasureInputs:
    """Further inputs of a measure.

    Attributes
    ----------
    label, groups
        For probes: the column to predict, and the one whose values are held out in turn.
    prompts
        The prompt file, for columns that are not stored with runs.
    """

    label: str | None = None
    groups: str = "scenario"
    prompts: str | os.PathLike[str] | None = None

    def extra(self, measure: Measure, run: Run) -> list[Any]:
        """Further arguments of the measure for one run.

        Raises
        ------
        UsageError, InputError
            An option, file or column is missing.
        """
        if measure.name == "probe":
            if self.label is None:
                raise UsageError('``measure="probe"`` needs ``label``: the column to predict')
            file = None if self.groups in ("scenario", "template") else self.prompts
            return [
                labels_of(run, self.label, self.prompts),
                labels_of(run, self.groups, file),
                self.label,
            ]
        if measure.name == "attention":
            from circuitgraph.models.stored import tokenizer_of
            from circuitgraph.nodes.labels import token_spans

            if self.prompts is None:
                raise UsageError(
                    '``measure="attention"`` needs ``prompts``: the prompt file whose column '
                    "spans says {name: [[start, end], …]} of every prompt"
                )
            spans = labels_of(run, "spans", self.prompts)
            return [token_spans(run, spans, tokenizer_of(run.variant))]
        return []


def measure_one(
    catalogue: RunCatalogue, name: str, measure: str, inputs: MeasureInputs, reporter: Reporter
) -> pd.DataFrame:
    """Values of one variant's components, with the columns ``COLUMNS``.

    Raises
    ------
    UsageError, InputError
        Unknown names; a measure of two variants; those of ``values_of``.
    """
    if measure == WEIGHTS:
        raise UsageError('``measure="weights"`` is of two variants: name the other one too')
    chosen = _known(measure)
    kind = _kind(catalogue, [name], chosen, f"{quoted(name)}: {measure} needs")
    run = catalogue.of(name, kind)[-1]
    found = values_of(run, chosen, reporter, inputs.extra(chosen, run))
    for key, value in found.facts.items():
        reporter.remark(f"{measure}: {key} {value}")
    return table_of(run, chosen, found)


def measure_two(
    catalogue: RunCatalogue,
    a: str,
    b: str,
    measure: str,
    scope: str,
    inputs: MeasureInputs,
    reporter: Reporter,
    *,
    margin: float | None = None,
    alpha: float = 0.05,
) -> NodeDiff:
    """Change of a measure between two variants or groups of variants; options as ``compare``.

    Raises
    ------
    UsageError, InputError
        Unknown names; runs that are not comparable; those of ``values_of``.
    """
    names_a, names_b = catalogue.side(a, scope), catalogue.side(b, scope)
    about = {"a": a, "b": b}
    if measure == WEIGHTS:
        return _weights(catalogue, names_a, names_b, about)
    chosen = _known(measure)
    lacking = f"{measure}: not every variant has"
    kind = _kind(catalogue, [*names_a, *names_b], chosen, lacking)
    runs_a, runs_b, _ = catalogue.matched(names_a, names_b, kind)
    matched = match_runs(runs_a, runs_b, runs_a[0].kind, lens=measure)
    values = [
        [values_of(run, chosen, reporter, inputs.extra(chosen, run)) for run in side]
        for side in (matched.runs_a, matched.runs_b)
    ]
    sides = Sides.of(chosen, matched, *values)
    table, summary = compare(chosen, sides, scope, margin=margin, alpha=alpha)
    summary = {**about, **summary, "facts": dict(values[0][0].facts)}
    if measure == LAYERED:
        summary["parts"] = parting(sides, summary["margin"])
    return NodeDiff(table, summary, (matched.runs_a, matched.runs_b))


def _known(measure: str) -> Measure:
    if measure not in MEASURES:
        raise UsageError(f"``measure={measure!r}``: choose from {', '.join(NAMES)}")
    return MEASURES[measure]


def _kind(catalogue: RunCatalogue, names: Sequence[str], measure: Measure, lacking: str) -> str:
    """The preferred kind of run that all of these variants have; UsageError where none is."""
    kinds = [{run.kind for run in catalogue.of(name)} for name in names]
    for kind in measure.kinds:
        if all(kind in own for own in kinds):
            return kind
    wanted, them = " or ".join(measure.kinds), "it" if len(names) == 1 else "them"
    raise UsageError(f"{lacking} a run of kind {wanted}; ingest {them} so")


def _weights(
    catalogue: RunCatalogue, names_a: Sequence[str], names_b: Sequence[str], about: dict[str, Any]
) -> NodeDiff:
    if len(names_a) > 1 or len(names_b) > 1:
        raise UsageError('``measure="weights"`` compares two variants, not groups of them')
    from circuitgraph.nodes.weights import change_of_weights

    first, second = (catalogue.of(names[0])[-1] for names in (names_a, names_b))
    table = change_of_weights(first, second)
    of_change = table["category"].str.endswith("change")
    count = int(of_change.sum())
    summary = {
        **about, "measure": WEIGHTS, "scope": "checkpoint", "evidence": "ok",
        "quantity": "‖ΔW‖/‖W‖ of a component's weights", "unit": "share",
        "n_nodes": count, "n_testable": count,
        "n_claims": int((of_change & (table["verdict"] == "changed")).sum()),
    }  # fmt: skip
    return NodeDiff(table, summary, ((first,), (second,)))
