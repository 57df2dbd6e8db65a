"""Results of cross-model patching: tables of components, edges, sets and routes."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import pandas as pd

from circuitgraph.base.quoting import short
from circuitgraph.interventions.both_ways import ASYMMETRY

DIRECTION = ("source_variant", "variant")
"""Source of the patched components, and the patched variant."""

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
    """Results of patching two variants into each other on the same prompts.

    In every table ``variant`` ran with parts of ``source_variant``. D is its decision, S that of
    the source, P the decision with the patch. ``effect`` is the mean of P − D over scenarios with
    equal weight, signed by each scenario's mean S − D, with 95% interval ``low``, ``high``;
    ``share`` is ``effect`` over the aligned mean of S − D, NaN without a gap; ``raw`` is the plain
    mean of P − D. ``flips`` counts prompts whose preferred answer changes: ``flips_to_source`` of
    them to that of the source, ``flips_away`` from it. ``asymmetry`` is ``effect`` minus that of
    the same part in the other direction, with its interval and test: 0 where both directions move
    the decision equally far toward their source.

    Attributes
    ----------
    id
        Hash over the two runs.
    name
        ``FROM → INTO``.
    runs
        Ids of both runs, FROM's first.
    variants
        Both names, FROM's first.
    architecture
        Of both.
    components
        One row per component.
    edges
        One row per edge: one receiver reads one sender of the source.
    sets
        One row per step of the greedy search, with all components up to it; ``reached``: at least
        the share ``enough`` of ``by``.
    routes
        One row per last layer of a route.
    summary
        Plain JSON types; the gap in each direction.
    created
        ISO time.
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
