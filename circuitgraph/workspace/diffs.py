"""Comparisons of a workspace: diffs, and all that starts from them."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import pandas as pd

from circuitgraph.base.errors import InputError, UsageError
from circuitgraph.base.keywords import listed
from circuitgraph.base.textfiles import expanded
from circuitgraph.diff.question import Question
from circuitgraph.diff.record import Diff
from circuitgraph.lenses.base import Lens
from circuitgraph.runs.record import Run
from circuitgraph.workspace.comparison import Comparison, Null
from circuitgraph.workspace.contents import Contents
from circuitgraph.workspace.kept_diff import KeptDiff
from circuitgraph.workspace.within import within

if TYPE_CHECKING:
    from circuitgraph.diff.explain import Explanation
    from circuitgraph.diff.many import ManyDiff
    from circuitgraph.graph.signed import Weights
    from circuitgraph.interventions.patching import BlockTests, CrossPatch
    from circuitgraph.interventions.patching.search import By
    from circuitgraph.prompts.reader import Source

Scope = Literal["checkpoint", "recipe"]
Fdr = Literal["bh", "by"]
Of = Literal["strength", "change"]


class Diffs(Contents):
    """Comparisons of the variants in a workspace."""

    def diff(
        self,
        a: str,
        b: str,
        *,
        lens: str | Lens | None = None,
        scope: Scope = "checkpoint",
        null: Null = (),
        run: str | None = None,
        mechanism: bool = True,
        alpha: float = 0.05,
        margin: float | None = None,
        fdr: Fdr = "bh",
        seed: int = 0,
        scale: Literal["share", "logit"] | None = None,
        rank: bool | None = None,
        form: Literal["weights", "functional"] | None = None,
        shared_basis: bool | None = None,
        memory: float | None = None,
        device: str = "cpu",
    ) -> KeptDiff:
        """Compare two variants (or recipes) edge by edge, and keep the answer.

        What was asked before is read, not measured again.

        Parameters
        ----------
        a, b : str
            Variants; at recipe scope recipes, variants, or several with commas.
        lens : str or Lens, optional
            ``correlation``, ``effect`` or ``wiring``, or a lens with its options, such as
            ``Wiring(form="functional")``; None: effects where both have them.
        scope : {"checkpoint", "recipe"}
            Whether these two models differ, or whether their training does it.
        null : pairs of names
            Known not to differ, "A:B" or (A, B); ``"random:K"``: A against A moved K times at
            random as far as B is from it. Kept until "none" drops them.
        run : str, optional
            ``A_ID:B_ID`` chooses among several runs.
        mechanism : bool
            Measure why effects changed.
        alpha : float
            False discovery rate of the claims.
        margin : float, optional
            Smallest change that matters, in units of ``delta``; the lens' own where None.
        fdr : {"bh", "by"}
            Benjamini-Hochberg, or Benjamini-Yekutieli for any dependence.
        seed : int
            Of the bootstrap samples; wiring: of the random updates.
        scale, rank, form, shared_basis
            Options of one lens, where ``lens`` is a name; None: the lens' own default.
        memory, device
            Bytes the process may hold, and where to compute: speed, never results.

        Raises
        ------
        UsageError
            Unknown names, or runs or choices that do not fit together.
        InputError
            Models or files that are needed are gone.
        """
        comparison = self._comparison(memory, device)
        own = {"scale": scale, "rank": rank, "form": form, "shared_basis": shared_basis}
        question = comparison.question(
            a, b, lens, scope, run, own, alpha=alpha, margin=margin, fdr=fdr, seed=seed
        )
        return self._answered(comparison, question, null, mechanism)

    def load_diff(self, id: str) -> KeptDiff:
        """A kept diff by its id, or the beginning of it; nothing is measured.

        Raises
        ------
        UsageError
            No kept diff, or more than one, has such an id.
        InputError
            It was kept by an older version, or its files are damaged.
        """
        name = self._diffs.find(id)
        found = self._diffs.read(self._diffs.record(name), self.catalogue().by_id)
        if found is None:
            raise InputError(
                f"diff {name[:12]} was kept by another version, or a file of it is damaged; "
                "diff again"
            )
        return KeptDiff.of(found, self._diffs, self.reporter)

    def compare(
        self,
        base: str,
        others: str | Sequence[str],
        *,
        lens: str | Lens | None = None,
        alpha: float = 0.05,
        margin: float | None = None,
        fdr: Fdr = "bh",
        seed: int = 0,
        scale: Literal["share", "logit"] | None = None,
        rank: bool | None = None,
        form: Literal["weights", "functional"] | None = None,
        shared_basis: bool | None = None,
        memory: float | None = None,
        device: str = "cpu",
    ) -> ManyDiff:
        """Many variants against one base in one table: shared, opposite, only in one.

        Parameters
        ----------
        base : str
            The variant that all are compared with.
        others : str or sequence of str
            Variants.
        lens, alpha, margin, fdr, seed, scale, rank, form, shared_basis, memory, device
            As in :meth:`diff`.
        """
        own = {"scale": scale, "rank": rank, "form": form, "shared_basis": shared_basis}
        return self._comparison(memory, device).compare(
            base, listed(others), lens, own, alpha=alpha, margin=margin, fdr=fdr, seed=seed
        )

    def explain(
        self,
        source: str,
        target: str,
        a: str,
        b: str,
        *,
        lens: str | Lens | None = None,
        scope: Scope = "checkpoint",
        run: str | None = None,
        mechanism: bool = True,
        alpha: float = 0.05,
        margin: float | None = None,
        fdr: Fdr = "bh",
        seed: int = 0,
        scale: Literal["share", "logit"] | None = None,
        rank: bool | None = None,
        form: Literal["weights", "functional"] | None = None,
        shared_basis: bool | None = None,
        memory: float | None = None,
        device: str = "cpu",
    ) -> Explanation:
        """One edge in two variants: per prompt, per scenario, and in words.

        Parameters
        ----------
        source, target : str
            Components; unknown ones are refused before anything is compared.
        a, b, and further keywords
            As in :meth:`diff`.
        """
        comparison = self._comparison(memory, device)
        comparison.require_components((source, target), a, b, lens, scope)
        own = {"scale": scale, "rank": rank, "form": form, "shared_basis": shared_basis}
        question = comparison.question(
            a, b, lens, scope, run, own, alpha=alpha, margin=margin, fdr=fdr, seed=seed
        )
        return self._answered(comparison, question, (), mechanism).explain(source, target)

    def report(
        self,
        a: str,
        b: str,
        path: str | os.PathLike[str],
        *,
        lens: str | Lens | None = None,
        scope: Scope = "checkpoint",
        null: Null = (),
        run: str | None = None,
        mechanism: bool = True,
        alpha: float = 0.05,
        margin: float | None = None,
        fdr: Fdr = "bh",
        seed: int = 0,
        scale: Literal["share", "logit"] | None = None,
        rank: bool | None = None,
        form: Literal["weights", "functional"] | None = None,
        shared_basis: bool | None = None,
        memory: float | None = None,
        device: str = "cpu",
    ) -> KeptDiff:
        """Write a self-contained HTML page about two variants; returns its diff.

        Parameters
        ----------
        path : path
            The page.
        a, b, lens, scope, null and further keywords
            As in :meth:`diff`.
        """
        from circuitgraph.report.page import require_page

        require_page(page := expanded(path))
        found = self.diff(
            a, b, lens=lens, scope=scope, null=null, run=run, mechanism=mechanism, alpha=alpha,
            margin=margin, fdr=fdr, seed=seed, scale=scale, rank=rank, form=form,
            shared_basis=shared_basis, memory=memory, device=device,
        )  # fmt: skip
        found.report(page)
        return found

    def blocks(
        self,
        a: str,
        b: str,
        *,
        second: Literal["mean", "zero"] | None = None,
        corrupt: Source | None = None,
        run: str | None = None,
        alpha: float = 0.05,
        margin: float | None = None,
        fdr: Fdr = "bh",
        seed: int = 0,
        scale: Literal["share", "logit"] | None = None,
        memory: float | None = None,
        device: str = "cpu",
    ) -> BlockTests:
        """Test the blocks of correlated claims of an effect diff as circuits, and keep both.

        Parameters
        ----------
        a, b : str
            Variants of one build with effect runs on the same prompts.
        second, corrupt
            The second corruption; see ``KeptDiff.blocks``.
        run, alpha, margin, fdr, seed, scale, memory, device
            As in :meth:`diff`.

        Raises
        ------
        UsageError, InputError
            Before any long work.
        """
        from circuitgraph.interventions.patching.blocks_kept import as_asked

        first, other = self._comparison().alike(a, b, run, "effect")
        as_asked(first, second, corrupt)
        found = self.diff(
            a, b, lens="effect", run=f"{first.id}:{other.id}", alpha=alpha, margin=margin, fdr=fdr,
            seed=seed, scale=scale, memory=memory, device=device,
        )  # fmt: skip
        return found.blocks(second=second, corrupt=corrupt, memory=memory, device=device)

    def hubs(
        self,
        name: str,
        other: str | None = None,
        *,
        kind: str | None = None,
        of: Of = "strength",
        direction: Literal["both", "out", "in"] = "both",
        seed: int = 0,
        samples: int = 200,
        weights: Weights = "absolute",
    ) -> pd.DataFrame:
        """Hubs of one variant with rank intervals, of two side by side, or of their change.

        Parameters
        ----------
        name, other : str
            Variants; one alone has no change.
        kind : str, optional
            Which edges; of change: the lens.
        of : {"strength", "change"}
            ``change``: components at which more edges differ than chance puts there.
        direction : {"both", "out", "in"}
            Of change: which edges of a component count.
        seed, samples : int
            Of the resamples of prompts, and their number.
        weights : {"absolute", "positive", "negative"}
            Of strength: what centralities and communities use.
        """
        comparison = self._comparison()
        if of != "change":
            return comparison.hubs(name, other, kind, weights, seed, samples)
        if other is None:
            raise UsageError("hubs of change are of two variants; name the other one too")
        question = comparison.question(name, other, kind, "checkpoint", None, {})
        found = self._answered(comparison, question, (), mechanism=False)  # why is not asked
        return found.hubs(direction=direction, seed=seed, samples=samples)

    def patch(
        self,
        source: str,
        into: str,
        *,
        parts: str | Sequence[str] = ("components",),
        share: float = 0.8,
        by: By = "share",
        layers: tuple[int, int] | None = None,
        run: str | None = None,
        memory: float | None = None,
        device: str = "cpu",
    ) -> CrossPatch:
        """Put parts of one variant into the other, both ways, and keep the answer.

        Parameters
        ----------
        source, into : str
            Variants of one build with runs on the same prompts.
        parts : str or sequence of str
            Any of ``components``, ``edges``, ``sets``, ``routes``.
        share, by
            What a set must do to be enough, and what that is a share of.
        layers : (int, int), optional
            First and last layer of the routes; None for all.
        run : str, optional
            ``SOURCE_ID:INTO_ID`` chooses among several runs.
        memory, device
            Bytes the process may hold, and where to compute: speed, never results.

        Raises
        ------
        UsageError, InputError
            Before any long work.
        """
        from circuitgraph.interventions import patching

        first, second = self._comparison().alike(source, into, run, None)
        result = patching.cross_patch(
            first, second, self.reporter, within(memory, device), parts=parts, share=share,
            by=by, layers=layers,
        )  # fmt: skip
        patching.keep(result, self.transfers_folder)
        self._load_transfers(result.runs)
        return result

    def _comparison(self, memory: float | None = None, device: str = "cpu") -> Comparison:
        resources = within(memory, device)
        return Comparison(
            self.catalogue(), self.reporter, self._diffs, self.nulls_folder, resources
        )

    def _answered(
        self, comparison: Comparison, question: Question, null: Null, mechanism: bool
    ) -> KeptDiff:
        """The answer to a question, kept in files and, where it is news to it, in the graph."""
        answer = comparison.answer(question, null, mechanism)
        diff = KeptDiff.of(answer.diff, self._diffs, self.reporter)
        if answer.new or self.store_uri not in (None, "", "embedded"):
            self._keep(diff, answer.asked, comparison.catalogue.runs)
        else:
            self._diffs.asked_again(diff, answer.asked)
        return diff

    def _keep(self, diff: Diff, asked: list[list[str]], runs: Sequence[Run]) -> None:
        """The full table as parquet, the claims in the graph."""
        from circuitgraph.store import diff_tables, keep_tables
        from circuitgraph.transfer import load_graph

        keep_tables(tables := diff_tables(diff), self.path, diff.id)
        self._diffs.keep(diff, asked)
        with self.open_store() as store:
            load_graph(store, self.path, runs, but=diff.id)
            store.write_diff(tables)

    def diff_path(self, diff: Diff) -> Path:
        """Where the full table of a diff lies."""
        return self._diffs.file(diff.id, "parquet")
