"""What a cross-model patch found: tables of components, edges, sets and routes."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import pandas as pd

from circuitgraph.base.quoting import short
from circuitgraph.interventions.both_ways import ASYMMETRY

DIRECTION = ("source_variant", "variant")
"""Whose components are put into whose run."""

MEASURED = (
    *("effect", "low", "high", "share", "raw"),
    *("flips", "flips_to_source", "flips_away", "n"),
)

COLUMNS = {
    "components": (*DIRECTION, "component", *MEASURED, *ASYMMETRY),
    "edges": (*DIRECTION, "source", "target", "input", *MEASURED, *ASYMMETRY),
    "sets": (*DIRECTION, "step", "component", *MEASURED, "by", "enough", "reached"),
    "routes": (*DIRECTION, "route", "first_layer", "last_layer", *MEASURED, *ASYMMETRY),
}
PARTS = tuple(COLUMNS)


def _empty(part: str) -> pd.DataFrame:
    return pd.DataFrame(columns=list(COLUMNS[part]))


@dataclass(frozen=True, eq=False)
class CrossPatch:
    """Parts of two variants put into each other, both ways, on the same prompts.

    In every table ``variant`` ran with parts of ``source_variant`` in it; its decision
    alone is D, that of the source S, and P with the patch. ``effect`` is P − D toward S:
    the sign of a scenario is that of its mean S − D; scenarios count alike; ``low`` and
    ``high`` bound it at 95%. ``share`` is ``effect`` over the mean of the aligned S − D,
    NaN where the variants decide alike. ``raw`` is the plain mean of P − D. ``flips``
    counts prompts whose preferred answer changes (the answer where the decision is above
    0): ``flips_to_source`` of them to the one the source prefers, ``flips_away`` from it.
    ``asymmetry`` is ``effect`` minus that of the same part the other way, with its interval and
    test: 0 where both ways move the decision as far toward their source.

    Attributes:
        id: hash over the two runs.
        name: ``FROM → INTO``.
        runs: ids of the runs of both that name the prompts, FROM's first.
        variants: both names, FROM's first.
        architecture: of both.
        components: one row a component.
        edges: one row an edge: one receiver reads one sender of the source.
        sets: one row a step of the greedy search; each holds the components of the
            steps before it too; ``reached``: they do at least the share ``enough`` of
            what ``by`` counts.
        routes: one row a layer up to which a route is patched.
        summary: plain JSON types; by direction what there is to recover.
        created: ISO time.
    """

    id: str
    name: str
    runs: tuple[str, str]
    variants: tuple[str, str]
    architecture: str
    summary: dict[str, Any]
    created: str
    components: pd.DataFrame = field(default_factory=lambda: _empty("components"))
    edges: pd.DataFrame = field(default_factory=lambda: _empty("edges"))
    sets: pd.DataFrame = field(default_factory=lambda: _empty("sets"))
    routes: pd.DataFrame = field(default_factory=lambda: _empty("routes"))

    def __repr__(self) -> str:
        sizes = ", ".join(f"{len(getattr(self, part))} {part}" for part in PARTS)
        return f"CrossPatch({short(self.name)}: {sizes})"
