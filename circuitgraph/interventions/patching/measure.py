"""Cross-model activation patching in both directions.

See ``transplant`` for what a patched component is, ``record`` for the columns.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from circuitgraph.base.components import digest
from circuitgraph.base.errors import UsageError
from circuitgraph.base.keywords import listed
from circuitgraph.base.progress import Reporter
from circuitgraph.base.quoting import quoted, short
from circuitgraph.base.resources import USUAL, Resources
from circuitgraph.engine.receivers import component_names, edges_of
from circuitgraph.interventions.patching.gap import Gap
from circuitgraph.interventions.patching.record import COLUMNS, PARTS, CrossPatch
from circuitgraph.interventions.patching.search import By, greedy_sets
from circuitgraph.runs.comparable import require_same_build, require_same_tokenizer
from circuitgraph.runs.record import Run, Variant, now

if TYPE_CHECKING:
    from circuitgraph.interventions.patching.pair import Pair

ROUTES = ("residual", "attention", "mlp")


@dataclass(frozen=True)
class Options:
    """Options of ``cross_patch``; see ``Workspace.patch``."""

    parts: str | Sequence[str] = ("components",)
    share: float = 0.8
    by: By = "share"
    layers: tuple[int, int] | None = None

    def checked(self, layers: int) -> Options:
        """Check the options for models of so many layers; raises UsageError."""
        unknown = [part for part in self.parts if part not in PARTS]
        if unknown or not self.parts:
            found = ", ".join(map(str, unknown)) or "none"
            raise UsageError(f"patch: choose from {', '.join(PARTS)}; not {short(found, 60)}")
        if not 0 < self.share <= 1:
            raise UsageError(f"``share={self.share:g}``: give a share above 0 and up to 1")
        if self.by not in ("share", "flips"):
            raise UsageError(f"``by={self.by}``: choose share or flips")
        if self.layers is not None and not 0 <= self.layers[0] <= self.layers[1] < layers:
            first, last = self.layers
            raise UsageError(f"``layers={first}:{last}``: the layers are 0:{layers - 1}")
        return self


def require_alike(source: Variant, into: Variant) -> None:
    """Require variants of one build and tokenizer; raises UsageError."""
    if source.name == into.name:
        raise UsageError(f"{quoted(into.name)} cannot be patched with itself; name two variants")
    require_same_build(source, into)
    require_same_tokenizer(source, into)


def cross_patch(
    source: Run, into: Run, options: Options, reporter: Reporter, resources: Resources = USUAL
) -> CrossPatch:
    """Patch parts of each of two variants into the other, on the prompts of their runs.

    Parameters
    ----------
    source, into
        Runs of variants of one build on the same prompts.
    options
        What is patched.
    reporter
        Of progress.
    resources
        Device and memory.

    Raises
    ------
    UsageError, InputError
        Before any long work; see ``require_alike``, ``load_pair``.
    """
    chosen = replace(options, parts=listed(options.parts)).checked(into.variant.layers)
    from circuitgraph.interventions.patching.pair import load_pair

    runs = (source, into)
    pair = load_pair(source, into, resources=resources)
    decisions = [pair.decisions(side) for side in (0, 1)]
    tables: dict[str, list[pd.DataFrame]] = {part: [] for part in chosen.parts}
    summary = {}
    for side in (1, 0):
        gap = Gap(decisions[side], decisions[1 - side], pair.scenarios)
        names = [runs[1 - side].variant.name, runs[side].variant.name]
        summary["into" if side else "back"] = _summary(gap, *names)
        way = _Way(pair, side, gap, runs[side], chosen, reporter)
        for part in chosen.parts:
            found = way.table(part).assign(source_variant=names[0], variant=names[1])
            tables[part].append(found)
    return CrossPatch(
        id=digest("patch", *sorted(run.id for run in runs)),
        name=f"{source.variant.name} → {into.variant.name}",
        runs=(source.id, into.id),
        variants=(source.variant.name, into.variant.name),
        architecture=into.variant.architecture,
        summary=summary,
        created=now(),
        **{part: _joined(part, found) for part, found in tables.items()},
    )


def _joined(part: str, found: Sequence[pd.DataFrame]) -> pd.DataFrame:
    whole = [frame for frame in found if len(frame)]
    if not whole:
        return pd.DataFrame(columns=list(COLUMNS[part]))
    return pd.concat(whole, ignore_index=True)[list(COLUMNS[part])]


def _summary(gap: Gap, source: str, into: str) -> dict[str, Any]:
    return {
        "source_variant": source,
        "variant": into,
        "gap": gap.size,
        "disagree": int(gap.disagree.sum()),
        "n": len(gap.into),
        "n_scenarios": int(gap.scenarios.max()) + 1,
    }


@dataclass(frozen=True)
class _Way:
    """One direction of patching."""

    pair: Pair
    into: int
    gap: Gap
    run: Run
    options: Options
    reporter: Reporter

    def table(self, part: str) -> pd.DataFrame:
        """Rows of one table."""
        makers: dict[str, Callable[[], pd.DataFrame]] = {
            "components": self._components,
            "edges": self._edges,
            "sets": self._sets,
            "routes": self._routes,
        }
        return makers[part]()

    @property
    def _names(self) -> list[str]:
        return component_names(self.pair.engines[self.into], self.run.method.spec.granularity)

    def _changes(self, sets: np.ndarray, **options: Any) -> np.ndarray:
        label = f"into {short(self.run.variant.name, 40)}"
        with self.reporter.progress(len(self.pair.prompts), label) as bar:
            return self.pair.set_changes(self.into, sets, bar.advance, **options)

    def _components(self) -> pd.DataFrame:
        names = self._names
        found = self.gap.measured(self._changes(np.eye(len(names), dtype=bool)))
        return found.assign(component=names)

    def _edges(self) -> pd.DataFrame:
        spec = self.pair.spec
        edges = edges_of(self.pair.engines[self.into], spec.granularity, spec.inputs)
        label = f"into {short(self.run.variant.name, 40)}"
        with self.reporter.progress(len(self.pair.prompts), label) as bar:
            changes = self.pair.edge_changes(self.into, bar.advance)
        ends = pd.DataFrame(edges, columns=["source", "target", "input"])
        return pd.concat([ends, self.gap.measured(changes)], axis=1)

    def _sets(self) -> pd.DataFrame:
        return greedy_sets(
            self._changes, self.gap, self._names, self.options.share, self.options.by
        )

    def _routes(self) -> pd.DataFrame:
        layers = self.run.variant.layers
        first, end = self.options.layers or (0, layers - 1)
        steps = [(route, last) for route in ROUTES for last in range(first, end + 1)]
        sets = np.array([route_set(layers, route, first, last) for route, last in steps])
        found = self.gap.measured(self._changes(sets, granularity="layer"))
        routes, lasts = zip(*steps, strict=True)
        return found.assign(route=routes, first_layer=first, last_layer=lasts)


def route_set(layers: int, route: str, first: int, last: int) -> np.ndarray:
    """Attention layers and MLPs of a route, bool [1 + 2 · layers].

    ``attention`` and ``mlp``: those of layers ``first`` to ``last``. ``residual``: both, and from
    layer 0 also the embedding, so that the residual stream after ``last`` is the source's.
    """
    held = np.zeros(1 + 2 * layers, bool)
    begin, end = 1 + 2 * first, 3 + 2 * last
    if route != "mlp":
        held[begin:end:2] = True
    if route != "attention":
        held[begin + 1 : end : 2] = True
    held[0] = route == "residual" and first == 0
    return held
