"""Results of cross-model patching: tables, and how much of the gap of decisions is recovered."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal

import numpy as np
import pandas as pd

from circuitgraph.base.components import digest
from circuitgraph.base.errors import UsageError, short
from circuitgraph.base.keywords import listed
from circuitgraph.interventions.both_ways import ASYMMETRY
from circuitgraph.runs.record import Run
from circuitgraph.stats.margins import half_width
from circuitgraph.stats.scenarios import balanced_mean, balanced_variance, chunks, means

By = Literal["share", "flips"]
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


@dataclass(frozen=True)
class Options:
    """Options of ``cross_patch``; see ``Workspace.patch``."""

    parts: str | Sequence[str] = ("components",)
    share: float = 0.8
    by: By = "share"
    layers: tuple[int, int] | None = None

    def checked(self, layers: int) -> Options:
        """The same, parts as a tuple, for models of so many layers; raises UsageError."""
        parts = tuple(listed(self.parts))
        unknown = [part for part in parts if part not in PARTS]
        if unknown or not parts:
            found = ", ".join(map(str, unknown)) or "none"
            raise UsageError(f"patch: choose from {', '.join(PARTS)}; not {short(found, 60)}")
        if not 0 < self.share <= 1:
            raise UsageError(f"``share={self.share:g}``: give a share above 0 and up to 1")
        if self.by not in ("share", "flips"):
            raise UsageError(f"``by={self.by}``: choose share or flips")
        if self.layers is not None and not 0 <= self.layers[0] <= self.layers[1] < layers:
            first, last = self.layers
            raise UsageError(f"``layers={first}:{last}``: the layers are 0:{layers - 1}")
        return replace(self, parts=parts)


def patch_id(source: Run, into: Run) -> str:
    """Hash over both runs, the same either way round."""
    return digest("patch", *sorted(run.id for run in (source, into)))


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


ROUNDING = 1e-5
"""A gap below this share of the decisions is float32 rounding: nothing to recover."""


@dataclass(frozen=True)
class Gap:
    """Decisions of the patched variant and of the source.

    Attributes
    ----------
    into
        Decisions of the patched variant [n].
    source
        Decisions of the variant whose components are patched in [n].
    scenarios
        Codes 0 … S−1 [n].
    """

    into: np.ndarray
    source: np.ndarray
    scenarios: np.ndarray

    @property
    def signs(self) -> np.ndarray:
        """+1 where the source's decision is higher in the scenario's mean, else −1 [n]."""
        by_scenario = means((self.source - self.into)[:, None], self.scenarios)[:, 0]
        return np.where(by_scenario < 0, -1.0, 1.0)[self.scenarios]

    @property
    def size(self) -> float:
        """Mean over scenarios of the aligned gap; 0 if only rounding."""
        gap = ((self.source - self.into) * self.signs)[:, None]
        size = float(balanced_mean(gap, self.scenarios)[0])
        largest = max(float(np.abs(d).mean()) for d in (self.into, self.source))
        return size if size > ROUNDING * largest else 0.0

    @property
    def disagree(self) -> np.ndarray:
        """Whether the two prefer different answers, bool [n]."""
        return (self.into > 0) != (self.source > 0)

    def measured(self, changes: np.ndarray) -> pd.DataFrame:
        """Columns ``record.MEASURED`` for changes of the decision [N, n]; see ``CrossPatch``."""
        parts = [self._measured(changes[some]) for some in chunks(len(changes))]
        return pd.concat(parts, ignore_index=True)

    def _measured(self, changes: np.ndarray) -> pd.DataFrame:
        values = np.asarray(changes, np.float64).T
        aligned = values * self.signs[:, None]
        effect = balanced_mean(aligned, self.scenarios)
        n = len(values)
        half = half_width(
            np.sqrt(balanced_variance(aligned, self.scenarios)), n - self.scenarios.max() - 1
        )
        flipped = (self.into[:, None] + values > 0) != (self.into[:, None] > 0)
        toward = (flipped & self.disagree[:, None]).sum(0)
        size = self.size
        return pd.DataFrame(
            {
                "effect": effect,
                "low": effect - half,
                "high": effect + half,
                "share": effect / size if size else np.nan,
                "raw": values.mean(0),
                "flips": flipped.sum(0),
                "flips_to_source": toward,
                "flips_away": flipped.sum(0) - toward,
                "n": n,
            }
        )
