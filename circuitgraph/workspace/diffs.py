"""Comparisons in a workspace: diffs, and what is computed from them."""

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
from circuitgraph.workspace.kept_diff import KeptDiff, within

if TYPE_CHECKING:
    from circuitgraph.diff.explain import Explanation
    from circuitgraph.diff.many import ManyDiff
    from circuitgraph.graph.signed import Weights
    from circuitgraph.interventions.patching import BlockTests
    from circuitgraph.prompts.reader import Source

Scope = Literal["checkpoint", "recipe"]
Fdr = Literal["bh", "by"]
Scale = Literal["share", "logit"]
Form = Literal["weights", "functional"]
Of = Literal["strength", "change"]
Direction = Literal["both", "out", "in"]
Second = Literal["mean", "zero"]


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
        scale: Scale | None = None,
        rank: bool | None = None,
        form: Form | None = None,
        shared_basis: bool | None = None,
        memory: float | None = None,
        device: str = "cpu",
    ) -> KeptDiff:
        """Compare two variants (or recipes) edge by edge, and keep the diff.

        The same question again returns the kept diff.

        Parameters
        ----------
        a, b : str
            Variants; at recipe scope recipes, variants, or several with commas.
        lens : str or Lens, optional
            Kind of comparison: correlations, effects, or wiring, which compares weights and loads
            both models again [default: effect where both have such runs, else correlation]. In
            Python also a lens with its options, such as Wiring(form="functional").
        scope : {"checkpoint", "recipe"}
            Claim that these two models differ, or that their training does it (needs three
            variants or more a side).
        null : pairs of names
            A pair known not to differ, or random:K for A with K random updates (4) as large as
            B's: counts the claims of the same test there; repeatable. Kept with the diff until
            none drops them.
        run : str, optional
            Choose among several runs by their ids.
        mechanism : bool
            Effect lens: measure why claimed effects changed (about a second a claim).
        alpha : float
            False discovery rate of the claims.
        margin : float, optional
            Smallest change that matters [default: 0.1 of r, 0.01 of effect shares, 0.02 of
            channels].
        fdr : {"bh", "by"}
            Benjamini-Hochberg, or Benjamini-Yekutieli for any dependence.
        seed : int
            Of the bootstrap samples; wiring: of the random updates.
        scale : {"share", "logit"}, optional
            Effect lens: shares of the norm of all edge effects, or log-odds [default: share].
        rank : bool, optional
            Correlation lens: normal scores of ranks, not values.
        form : {"weights", "functional"}, optional
            Wiring lens: weights applied to signals of both models, or outputs of receivers
            (blind to rewrites that keep the function) [default: weights].
        shared_basis : bool, optional
            Wiring lens: compare weights although the models are neither adapters of one base nor
            similar; only if both residual streams share a basis.
        memory, device
            Bytes the process may hold, and where to compute: speed, never results.

        Raises
        ------
        UsageError
            Unknown names, or runs or options that do not fit together.
        InputError
            Missing models or files.
        """
        comparison = self._comparison(memory, device)
        own = {"scale": scale, "rank": rank, "form": form, "shared_basis": shared_basis}
        question = comparison.question(
            a, b, lens, scope, run, own, alpha=alpha, margin=margin, fdr=fdr, seed=seed
        )
        return self._answered(comparison, question, null, mechanism)

    def load_diff(self, id: str) -> KeptDiff:
        """A kept diff by its id, or the beginning of it, without measuring anything.

        Raises
        ------
        UsageError
            No kept diff, or more than one, has such an id.
        InputError
            It was written by an older version, or its files are damaged.
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
        scale: Scale | None = None,
        rank: bool | None = None,
        form: Form | None = None,
        shared_basis: bool | None = None,
        memory: float | None = None,
        device: str = "cpu",
    ) -> ManyDiff:
        """Compare many variants with one base: changes shared, opposite, or in one variant only.

        Parameters
        ----------
        base : str
            Side A of all comparisons.
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
        scale: Scale | None = None,
        rank: bool | None = None,
        form: Form | None = None,
        shared_basis: bool | None = None,
        memory: float | None = None,
        device: str = "cpu",
    ) -> Explanation:
        """One edge in two variants: per prompt, per scenario, and in words.

        Parameters
        ----------
        source, target : str
            Components.
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
        scale: Scale | None = None,
        rank: bool | None = None,
        form: Form | None = None,
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
        from circuitgraph.report.files import require_page

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
        second: Second | None = None,
        corrupt: Source | None = None,
        run: str | None = None,
        alpha: float = 0.05,
        margin: float | None = None,
        fdr: Fdr = "bh",
        seed: int = 0,
        scale: Scale | None = None,
        memory: float | None = None,
        device: str = "cpu",
    ) -> BlockTests:
        """Patch the blocks of correlated claims of an effect diff as circuits; keep the results.

        Parameters
        ----------
        a, b : str
            Variants of one build with effect runs on the same prompts.
        second : {"mean", "zero"}, optional
            Second corruption [default: mean ablation, or zero where the runs have mean].
        corrupt : prompts, optional
            Prompt file with other corrupt texts for the same prompts: the second corruption.
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
        direction: Direction = "both",
        seed: int = 0,
        samples: int = 200,
        weights: Weights = "absolute",
    ) -> pd.DataFrame:
        """Components by strength with rank intervals, of one or two variants, or by changed edges.

        Parameters
        ----------
        name, other : str
            One or two variants.
        kind : str, optional
            Kind of edges; with ``of="change"`` the lens [default: effect where there are such, else
            correlation].
        of : {"strength", "change"}
            Hubs by strength, or (of two variants) by the number of changed edges beyond chance.
        direction : {"both", "out", "in"}
            With ``of="change"``: count edges out of a component, into it, or both [default: both].
        seed : int
            Of the bootstrap samples.
        samples : int
            Bootstrap samples of the prompts behind each interval.
        weights : {"absolute", "positive", "negative"}
            Weights of centralities and communities.
        """
        comparison = self._comparison()
        if of != "change":
            return comparison.hubs(name, other, kind, weights, seed, samples)
        if other is None:
            raise UsageError("hubs of change are of two variants; name the other one too")
        question = comparison.question(name, other, kind)
        found = self._answered(comparison, question, (), mechanism=False)  # why is not asked
        return found.hubs(direction=direction, seed=seed, samples=samples)

    def _comparison(self, memory: float | None = None, device: str = "cpu") -> Comparison:
        resources = within(memory, device)
        return Comparison(
            self.catalogue(), self.reporter, self._diffs, self.nulls_folder, resources
        )

    def _answered(
        self, comparison: Comparison, question: Question, null: Null, mechanism: bool
    ) -> KeptDiff:
        """The diff that answers a question, kept in files and, if new, in the graph."""
        found, new = comparison.answer(question, null, mechanism)
        diff = KeptDiff.of(found, self._diffs, self.reporter)
        if new or self.store_uri not in (None, "", "embedded"):
            self._keep(diff, question.asked, comparison.catalogue.runs)
        else:
            self._diffs.asked_again(diff, question.asked)
        return diff

    def _keep(self, diff: Diff, asked: list[list[str]], runs: Sequence[Run]) -> None:
        """Keep the full table as parquet and the claims in the graph."""
        from circuitgraph.store import diff_tables, keep_tables

        keep_tables(tables := diff_tables(diff), self.path, diff.id)
        self._diffs.keep(diff, asked)
        with self._loaded(runs, but=diff.id) as store:
            store.write_diff(tables)

    def diff_path(self, diff: Diff) -> Path:
        """File of a diff's full table."""
        return self._diffs.file(diff.id, "parquet")
