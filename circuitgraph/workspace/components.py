"""Components in a workspace: their measures, and the change of these between variants."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import TYPE_CHECKING, overload

import pandas as pd

from circuitgraph.workspace.diffs import Scope
from circuitgraph.workspace.levels import LevelsOfVariants

if TYPE_CHECKING:
    from circuitgraph.nodes.compare import NodeDiff
    from circuitgraph.runs.record import Run


class Components(LevelsOfVariants):
    """Measures of the components of the variants in a workspace."""

    @overload
    def nodes(
        self,
        name: str,
        other: None = None,
        *,
        measure: str = ...,
        scope: Scope = ...,
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
        scope: Scope = ...,
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
        scope: Scope = "checkpoint",
        margin: float | None = None,
        alpha: float = 0.05,
        label: str | None = None,
        groups: str = "scenario",
        prompts: str | os.PathLike[str] | None = None,
    ) -> pd.DataFrame | NodeDiff:
        """Measure the components of a variant, or compare them between two.

        Parameters
        ----------
        name, other : str
            Variants; at scope ``recipe`` groups of them, as for ``diff``.
        measure : str
            activity: norm of a component's contribution. attribution: its direct contribution to
            the logit difference. ablation: its total effect. logit-lens: the logit difference
            after each layer. attention: attention of heads to spans (in --prompts). probe: a
            linear probe of --label. weights: change of each component's weights.
        scope : {"checkpoint", "recipe"}
            Compare these two models, or two groups of seeds.
        margin : float, optional
            Smallest change that matters, in the measure's units.
        alpha : float
            False discovery rate of the claims.
        label : str, optional
            For probes: the column to predict.
        groups : str
            For probes: prompts with equal values in this column are held out together.
        prompts : path, optional
            Prompt file with columns that are not stored with runs (spans, labels).

        Returns
        -------
        DataFrame or NodeDiff
            For one variant columns ``component, measure, category, value, low, high, n``: means
            over scenarios with equal weight; for two see ``nodes.compare.NodeDiff``.

        Raises
        ------
        UsageError, InputError
            Before any long work.
        """
        from circuitgraph.nodes.entry import MeasureInputs, measure_one, measure_two

        inputs, catalogue = MeasureInputs(label, groups, prompts), self.catalogue()
        if other is None:
            table = measure_one(catalogue, name, measure, inputs, self.reporter)
            self._load(catalogue.runs)
            return table
        found = measure_two(
            catalogue,
            name,
            other,
            measure,
            scope,
            inputs,
            self.reporter,
            margin=margin,
            alpha=alpha,
        )
        self._keep_nodes(found, catalogue.runs)
        return found

    def _keep_nodes(self, found: NodeDiff, runs: Sequence[Run]) -> None:
        """Keep the claims in the graph, and in a file from which the graph can be rebuilt."""
        from circuitgraph.nodes.graph import changed_tables
        from circuitgraph.store import keep_tables

        keep_tables(tables := changed_tables(found), self.path, found.id)
        with self._loaded(runs) as store:
            store.write_diff(tables)
