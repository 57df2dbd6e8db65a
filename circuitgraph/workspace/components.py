"""Components of a workspace's variants: measured, compared, transplanted, steered."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import TYPE_CHECKING, overload

import pandas as pd

from circuitgraph.base.errors import UsageError
from circuitgraph.base.keywords import listed
from circuitgraph.workspace.levels import LevelsOfVariants

if TYPE_CHECKING:
    from circuitgraph.interventions.steering.measure import Steering
    from circuitgraph.interventions.transplant.measure import Transplant
    from circuitgraph.nodes.compare import NodeDiff
    from circuitgraph.runs.record import Run


class Components(LevelsOfVariants):
    """What components do, and what happens when they are changed."""

    @overload
    def nodes(
        self,
        name: str,
        other: None = None,
        *,
        measure: str = ...,
        scope: str = ...,
        margin: float | None = ...,
        alpha: float = ...,
        label: str | None = ...,
        groups: str = ...,
        prompts: str | os.PathLike[str] | None = ...,
    ) -> pd.DataFrame: ...

    @overload
    def nodes(
        self,
        name: str,
        other: str,
        *,
        measure: str = ...,
        scope: str = ...,
        margin: float | None = ...,
        alpha: float = ...,
        label: str | None = ...,
        groups: str = ...,
        prompts: str | os.PathLike[str] | None = ...,
    ) -> NodeDiff: ...

    def nodes(
        self,
        name: str,
        other: str | None = None,
        *,
        measure: str = "activity",
        scope: str = "checkpoint",
        margin: float | None = None,
        alpha: float = 0.05,
        label: str | None = None,
        groups: str = "scenario",
        prompts: str | os.PathLike[str] | None = None,
    ) -> pd.DataFrame | NodeDiff:
        """What the components of a variant do; of two, where that changed.

        Parameters
        ----------
        name, other : str
            Variants; at scope ``recipe`` groups of them, as for ``diff``.
        measure : str
            ``activity``, ``attribution``, ``ablation``, ``logit-lens``, ``attention``, ``probe``
            or ``weights``; see ``nodes.measures``.
        scope, margin, alpha
            As for ``diff``; the margin is in the measure's units.
        label, groups : str
            Of probes: the column predicted, and the one whose values are left out in turn.
        prompts : path, optional
            The prompt file, for columns that runs do not keep (``spans``, labels).

        Returns
        -------
        DataFrame or NodeDiff
            Of one variant columns ``component, measure, category, value, low, high, n``: means
            over scenarios with equal weight. Of two a :class:`circuitgraph.nodes.compare.NodeDiff`.

        Raises
        ------
        UsageError, InputError
            Before any long work.
        """
        from circuitgraph.nodes.entry import Asked, one, two

        asked, catalogue = Asked(label, groups, prompts), self.catalogue()
        if other is None:
            table = one(catalogue, name, measure, asked, self.reporter)
            self._load(catalogue.runs)
            return table
        found = two(
            catalogue, name, other, measure, scope, asked, self.reporter, margin=margin, alpha=alpha
        )
        self._keep_nodes(found, catalogue.runs)
        return found

    def _keep_nodes(self, found: NodeDiff, runs: Sequence[Run]) -> None:
        """The claims in the graph, and beside the diffs, so that the graph can be made again."""
        from circuitgraph.nodes.graph import changed_tables
        from circuitgraph.store import keep_tables

        keep_tables(tables := changed_tables(found), self.path, found.id)
        self._load(runs)
        with self.open_store() as store:
            store.write_diff(tables)

    def transplant(
        self,
        source: str,
        into: str,
        *,
        components: str | Sequence[str] = (),
        layers: str | tuple[int, int] | None = None,
        each: bool = False,
        pairs: bool = False,
    ) -> Transplant:
        """What a variant decides with the weights of some components of another, both ways.

        Parameters
        ----------
        source, into : str
            Variants of one build with effect runs on the same prompts.
        components : str or sequence of str
            Sets put in together, each a name or names with commas.
        layers : "FIRST-LAST" or (int, int), optional
            One more set: all of these blocks.
        each : bool
            Also each attention layer, MLP and end by itself, which no set means, too.
        pairs : bool
            Also every two sets together: are their effects additive? See ``.pairs``.

        Raises
        ------
        UsageError, InputError
            Before any long work.
        """
        from circuitgraph.interventions.transplant.choice import sets_of
        from circuitgraph.interventions.transplant.measure import transplant
        from circuitgraph.store.transfers import TRANSPLANT

        runs = self._comparison().alike(source, into, None, "effect")
        sets = sets_of(listed(components), layers, each, runs[1].variant.layers)
        found = transplant(*runs, sets, self.reporter, pairs)
        self._keep_moved(TRANSPLANT, runs, found.moved)
        return found

    def _keep_moved(self, method: str, runs: tuple[Run, Run], moved: pd.DataFrame) -> None:
        """What single components do, beside the patches and in the graph."""
        from circuitgraph.interventions.patching import keep_moved

        single = moved[~moved["component"].str.contains(",")].reset_index(drop=True)
        if len(single):
            keep_moved(method, runs, single, self.transfers_folder)
            self._load_transfers([run.id for run in runs])

    def steer(
        self,
        a: str,
        b: str,
        *,
        into: str,
        at: str | Sequence[str],
        strength: str | float | Sequence[float] = "-2:2:9",
        positions: str = "all",
        random: int = 20,
        seed: int = 0,
    ) -> Steering:
        """Add the direction from A to B to what components write in another variant's run.

        Parameters
        ----------
        a, b, into : str
            Variants of one build with effect runs on the same prompts.
        at : str or sequence of str
            Components; one text may name several with commas.
        strength : "FROM:TO:N", float or sequence of float
            In units of each component's own mean norm in ``into``.
        positions : {"all", "last"}
            All of the prompt's tokens, or the last alone.
        random, seed : int
            Random directions of equal length beside it.

        Raises
        ------
        UsageError, InputError
            Before any long work.
        """
        from circuitgraph.interventions.steering.measure import Plan, steer
        from circuitgraph.interventions.steering.words import names_in, strengths_in
        from circuitgraph.store.transfers import STEER

        if positions not in ("all", "last"):
            raise UsageError(f"``positions={positions!r}``: choose all or last")
        plan = Plan(names_in(at), strengths_in(strength), positions == "last", random, seed)
        catalogue = self.catalogue()
        first, second, runs = (catalogue.one(name, "effect") for name in (a, b, into))
        found = steer(first, second, runs, plan, self.reporter)
        if second.id != runs.id:  # a variant does nothing to itself by its own name
            self._keep_moved(STEER, (second, runs), found.moved)
        return found
