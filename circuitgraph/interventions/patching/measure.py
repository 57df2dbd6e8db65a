"""Cross-model activation patching in both directions, and the search for a smallest set.

See ``transplant`` for what a patched component is, ``record`` for the columns.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from circuitgraph.base.errors import UsageError, quoted, short
from circuitgraph.base.progress import Reporter
from circuitgraph.base.resources import USUAL, Resources
from circuitgraph.interventions.both_ways import asymmetry, interventions
from circuitgraph.interventions.patching.record import (
    COLUMNS,
    DIRECTION,
    ROUNDING,
    By,
    CrossPatch,
    Gap,
    Options,
    patch_id,
)
from circuitgraph.runs.comparable import require_same_build, require_same_tokenizer
from circuitgraph.runs.record import Run, Variant, now

if TYPE_CHECKING:
    from circuitgraph.interventions.patching.pair import Pair


MAX_SIZE = 10
"""Largest number of components in a set."""


def greedy_sets(
    changes: Callable[[np.ndarray], np.ndarray],
    gap: Gap,
    names: Sequence[str],
    enough: float,
    by: By = "share",
) -> pd.DataFrame:
    """Add the component that helps most, until the set does enough.

    No set of fewer components found this way does; another search might find one, for
    components that do nothing alone may do much together.

    Parameters
    ----------
    changes
        From sets [N, components] to changes of the decision [N, n].
    gap
        What there is to recover.
    names
        Of the components.
    enough
        Share to be reached.
    by
        ``share`` counts the share of the gap that is recovered; ``flips`` the share of the prompts
        decided differently whose decision flips to the source's, less those that flip away (ties:
        by ``share``).

    Returns
    -------
    One row a step: ``step``, ``component``, the measured columns of the whole set, ``by``,
    ``enough``, ``reached``. It ends with the first set that does enough, after ten steps, or where
    no component adds anything; empty where there is nothing to recover.
    """
    held = np.zeros(len(names), bool)
    rows: list[pd.DataFrame] = []
    reached = (0.0, 0.0)
    worth = bool(gap.disagree.any()) if by == "flips" else gap.size > 0
    while worth and len(rows) < min(MAX_SIZE, len(names)) and reached[0] < enough:
        free = np.flatnonzero(~held)
        tried = held | (np.arange(len(names)) == free[:, None])
        found = gap.measured(changes(tried))
        scores = _scores(found, gap, by)
        best = max(range(len(free)), key=scores.__getitem__)
        if scores[best] <= reached:
            break
        reached, held = scores[best], tried[best]
        row = found.iloc[[best]].assign(
            step=len(rows) + 1,
            component=names[free[best]],
            by=by,
            enough=enough,
            reached=reached[0] >= enough,
        )
        rows.append(row)
    return pd.concat(rows, ignore_index=True) if rows else pd.DataFrame()


def _scores(found: pd.DataFrame, gap: Gap, by: By) -> list[tuple[float, float]]:
    share = found["share"].fillna(0.0)
    if by == "share":
        return list(zip(share, share, strict=True))
    net = (found["flips_to_source"] - found["flips_away"]) / gap.disagree.sum()
    return list(zip(net, share, strict=True))


ROUTES = ("residual", "attention", "mlp")


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
    chosen = options.checked(into.variant.layers)
    from circuitgraph.interventions.patching.pair import load_pair

    runs = (source, into)
    pair = load_pair(source, into, resources=resources)
    decisions = [pair.decisions(side) for side in (0, 1)]
    ways = []
    for side in (1, 0):
        gap = Gap(decisions[side], decisions[1 - side], pair.scenarios)
        ways.append(_Way(pair, side, gap, runs[side], runs[1 - side], chosen, reporter))
    made, tables = [], {}
    for part in chosen.parts:
        if part == "sets":
            tables[part] = _joined(part, [way.named(way.sets()) for way in ways])
            continue
        found = [way.changes(part) for way in ways]
        made += [changes for _, changes in found]
        tables[part] = _both_ways(part, ways, found)
    counts = interventions(made) if made else {}
    summary = {
        name: {**way.summary, **counts} for name, way in zip(("into", "back"), ways, strict=True)
    }
    return CrossPatch(
        id=patch_id(source, into),
        name=f"{source.variant.name} → {into.variant.name}",
        runs=(source.id, into.id),
        variants=(source.variant.name, into.variant.name),
        architecture=into.variant.architecture,
        summary=summary,
        created=now(),
        **tables,
    )


def _both_ways(
    part: str, ways: Sequence[_Way], found: Sequence[tuple[pd.DataFrame, np.ndarray]]
) -> pd.DataFrame:
    """Rows of both directions, each beside the asymmetry of its part."""
    parts = [(way, names, changes, changes * way.gap.signs) for way, (names, changes) in
             zip(ways, found, strict=True)]  # fmt: skip
    tables = []
    for (way, names, changes, own), (*_, other) in zip(parts, parts[::-1], strict=True):
        rounding = ROUNDING * float(np.abs(way.gap.into).mean())
        apart = asymmetry(own, other, way.gap.scenarios, rounding)
        whole = pd.concat([names, way.gap.measured(changes), apart], axis=1)
        tables.append(way.named(whole))
    return _joined(part, tables)


def _joined(part: str, found: Sequence[pd.DataFrame]) -> pd.DataFrame:
    whole = [frame for frame in found if len(frame)]
    if not whole:
        return pd.DataFrame(columns=list(COLUMNS[part]))
    return pd.concat(whole, ignore_index=True)[list(COLUMNS[part])]


@dataclass(frozen=True)
class _Way:
    """One direction of patching."""

    pair: Pair
    into: int
    gap: Gap
    run: Run
    source: Run
    options: Options
    reporter: Reporter

    @property
    def summary(self) -> dict[str, Any]:
        """What there is to recover, as plain JSON values."""
        gap = self.gap
        return {
            "source_variant": self.source.variant.name,
            "variant": self.run.variant.name,
            "gap": gap.size,
            "disagree": int(gap.disagree.sum()),
            "n": len(gap.into),
            "n_scenarios": int(gap.scenarios.max()) + 1,
        }

    def named(self, table: pd.DataFrame) -> pd.DataFrame:
        """A table with columns for its direction."""
        names = self.source.variant.name, self.run.variant.name
        return table.assign(**dict(zip(DIRECTION, names, strict=True)))

    def changes(self, part: str) -> tuple[pd.DataFrame, np.ndarray]:
        """What was put in, a row a patch, and the changes of the decision [N, n]."""
        makers: dict[str, Callable[[], tuple[pd.DataFrame, np.ndarray]]] = {
            "components": self._components,
            "edges": self._edges,
            "routes": self._routes,
        }
        return makers[part]()

    @property
    def _names(self) -> list[str]:
        from circuitgraph.engine.receivers import component_names

        return component_names(self.pair.engines[self.into], self.run.method.spec.granularity)

    def _changes(self, sets: np.ndarray, **options: Any) -> np.ndarray:
        label = f"into {short(self.run.variant.name, 40)}"
        with self.reporter.progress(len(self.pair.prompts), label) as bar:
            return self.pair.set_changes(self.into, sets, bar.advance, **options)

    def _components(self) -> tuple[pd.DataFrame, np.ndarray]:
        names = self._names
        changes = self._changes(np.eye(len(names), dtype=bool))
        return pd.DataFrame({"component": names}), changes

    def _edges(self) -> tuple[pd.DataFrame, np.ndarray]:
        from circuitgraph.engine.receivers import edges_of

        spec = self.pair.spec
        edges = edges_of(self.pair.engines[self.into], spec.granularity, spec.inputs)
        label = f"into {short(self.run.variant.name, 40)}"
        with self.reporter.progress(len(self.pair.prompts), label) as bar:
            changes = self.pair.edge_changes(self.into, bar.advance)
        return pd.DataFrame(edges, columns=["source", "target", "input"]), changes

    def sets(self) -> pd.DataFrame:
        """The steps of the greedy search."""
        return greedy_sets(
            self._changes, self.gap, self._names, self.options.share, self.options.by
        )

    def _routes(self) -> tuple[pd.DataFrame, np.ndarray]:
        layers = self.run.variant.layers
        first, end = self.options.layers or (0, layers - 1)
        steps = [(route, last) for route in ROUTES for last in range(first, end + 1)]
        sets = np.array([route_set(layers, route, first, last) for route, last in steps])
        changes = self._changes(sets, granularity="layer")
        names = pd.DataFrame(steps, columns=["route", "last_layer"])
        return names.assign(first_layer=first), changes


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
