"""A diff one can go on with: explained, drawn, tested further, on a named device and memory."""

from __future__ import annotations

import os
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import pandas as pd

from circuitgraph.base.notebook import framed
from circuitgraph.base.progress import Reporter
from circuitgraph.base.resources import Resources
from circuitgraph.base.textfiles import expanded
from circuitgraph.diff.kept import DiffFolder
from circuitgraph.diff.record import Diff

if TYPE_CHECKING:
    from circuitgraph.diff.explain import Explanation
    from circuitgraph.interventions.patching import BlockTests
    from circuitgraph.prompts.reader import Source
    from circuitgraph.report.figures import Figures


def within(memory: float | None, device: str) -> Resources:
    """The memory and device of a measurement; a device other than the CPU is looked for at once.

    Raises
    ------
    TooLittle
        The device is not there.
    """
    if device != "cpu":
        from circuitgraph.models.devices import require_there

        require_there(device)
    return Resources(memory, device)


UNCLAIMED = 10
"""Rows a notebook shows of a diff without claims."""


@dataclass(frozen=True, eq=False, repr=False)
class KeptDiff(Diff):
    """A diff that is kept in a workspace, and further measures of it.

    Attributes
    ----------
    folder : DiffFolder
        Where it is kept.
    reporter : Reporter
        Where progress goes.
    """

    folder: DiffFolder = field(kw_only=True)
    reporter: Reporter = field(kw_only=True)

    @classmethod
    def of(cls, diff: Diff, folder: DiffFolder, reporter: Reporter) -> KeptDiff:
        """The same diff, which knows where it is kept."""
        known = {one.name: getattr(diff, one.name) for one in fields(Diff)}
        return cls(**known, folder=folder, reporter=reporter)

    def _repr_html_(self) -> str:
        from circuitgraph.report.words import headline

        none = self.claims.empty
        rows = self.table if none else self.claims
        order = rows["delta"].abs().sort_values(ascending=False, kind="stable").index
        columns = ["source", "target", "input", "weight_a", "weight_b", "delta", "q", "verdict"]
        shown = rows.loc[order[:UNCLAIMED] if none else order, columns]
        title = f"{headline(self)}{'; the largest changes' if none else ''}"
        return framed(title, shown.rename(columns=dict(self.asks.heads(self.scope))))

    @property
    def plot(self) -> Figures:
        """Figures for papers: volcano, heatmap, circuit, trajectories, hubs (matplotlib)."""
        from circuitgraph.report.figures import Figures

        return Figures(self)

    def explain(self, source: str, target: str) -> Explanation:
        """One edge: per prompt, per scenario, and in words.

        Raises
        ------
        UsageError
            The diff has no such edge.
        """
        from circuitgraph.diff.explain import explain_edge

        return explain_edge(self, source, target)

    def hubs(
        self,
        *,
        direction: Literal["both", "out", "in"] = "both",
        seed: int = 0,
        samples: int = 200,
    ) -> pd.DataFrame:
        """Components at which more edges differ than chance puts there; see ``hubs.change``.

        Parameters
        ----------
        direction : {"both", "out", "in"}
            Count edges out of a component, into it, or both; correlations have none.
        seed, samples : int
            Of the null networks and of the resamples of prompts; number of the latter.
        """
        from circuitgraph.hubs.kept import kept_hubs

        return kept_hubs(self, self.folder, direction, seed, samples)

    def blocks(
        self,
        *,
        second: Literal["mean", "zero"] | None = None,
        corrupt: Source | None = None,
        memory: float | None = None,
        device: str = "cpu",
    ) -> BlockTests:
        """Its blocks of correlated claims, tested as circuits; measured at the first call.

        Parameters
        ----------
        second : {"mean", "zero"}, optional
            The second corruption; mean where None, or zero where the runs have mean.
        corrupt : prompts, optional
            The same prompts with other corrupt texts, in place of ``second``.
        memory, device
            Bytes the process may hold, and where to compute: speed, never results.

        Raises
        ------
        UsageError, InputError
            Another lens or scope, both corruptions given, or models that are gone.
        """
        from circuitgraph.interventions.patching.blocks_kept import blocks_of

        return blocks_of(self, self.folder, second, corrupt, self.reporter, within(memory, device))

    def report(self, path: str | os.PathLike[str]) -> Path:
        """Write a self-contained HTML page, with its levels and blocks where these are known.

        Raises
        ------
        UsageError, InputError
            No page can be written there.
        """
        from circuitgraph.interventions.patching.blocks_kept import tested_blocks
        from circuitgraph.levels.record import FOLDER, levels_of
        from circuitgraph.report.files import require_page
        from circuitgraph.report.page import write_report
        from circuitgraph.report.payload import HUB_SAMPLES

        require_page(page := expanded(path))
        known = None
        if self.scope == "checkpoint":
            compared = {run.id for run in (*self.runs_a, *self.runs_b)}
            known = levels_of(self.folder.path.parent / FOLDER, compared)
        none = self.insufficient or self.claims.empty
        hubs = None if none else self.hubs(samples=HUB_SAMPLES)
        return write_report(self, page, tested_blocks(self.folder, self.id), known, hubs)
