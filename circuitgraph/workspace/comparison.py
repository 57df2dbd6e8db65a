"""Comparisons by name: which runs are meant, what is known of them, and what is measured now."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import pandas as pd

from circuitgraph.base.errors import UsageError
from circuitgraph.base.keywords import pairs
from circuitgraph.base.progress import Reporter
from circuitgraph.base.resources import USUAL, Resources
from circuitgraph.diff.decoys import NONE, NullPair, decoy_counts, pair_of, with_decoys
from circuitgraph.diff.kept import METHOD, DiffFolder
from circuitgraph.diff.question import Question
from circuitgraph.diff.random_nulls import RandomNulls, draws_of, with_silence
from circuitgraph.diff.record import Diff
from circuitgraph.lenses.base import Lens, Models, Options
from circuitgraph.lenses.registry import lens_named
from circuitgraph.runs.catalogue import RunCatalogue
from circuitgraph.runs.comparable import require_comparable
from circuitgraph.runs.record import Run, now

if TYPE_CHECKING:
    from circuitgraph.diff.many import ManyDiff
    from circuitgraph.graph.signed import Weights

NO_OPTIONS: Mapping[str, Any] = MappingProxyType({})
Null = str | Iterable[str | tuple[str, str]]


@dataclass(frozen=True)
class Comparison:
    """Names in, diffs out.

    Attributes
    ----------
    catalogue : RunCatalogue
        The runs that names are looked up in.
    reporter : Reporter
        Where remarks and progress go.
    folder : DiffFolder
        Where diffs are kept.
    nulls : Path
        Where the runs of random updates are kept.
    resources : Resources
        Where models are measured, and within what memory.
    """

    catalogue: RunCatalogue
    reporter: Reporter
    folder: DiffFolder
    nulls: Path
    resources: Resources = USUAL

    def question(
        self,
        a: str,
        b: str,
        lens: str | Lens | None = None,
        scope: str = "checkpoint",
        run: str | None = None,
        own: Mapping[str, Any] = NO_OPTIONS,
        *,
        alpha: float = 0.05,
        margin: float | None = None,
        fdr: str = "bh",
        seed: int = 0,
    ) -> Question:
        """Which runs are compared, and how; a remark where there was a choice.

        Parameters
        ----------
        own
            Options of the lens itself; those that are None are left to it.
        alpha, margin, fdr, seed
            Those of every lens; see ``lenses.base.Options``.

        Raises
        ------
        UsageError
            Unknown names or choices, or runs that may not be compared.
        """
        if run is not None:
            runs_a, runs_b = self.catalogue.chosen(run, a, b)
            chosen = lens_named(lens or runs_a[0].kind, given(own))
        else:
            chosen, runs_a, runs_b = self.sides(a, b, lens, scope, own)
        options = Options(chosen, scope, alpha, margin, fdr, seed)
        return Question(a, b, runs_a, runs_b, options)

    def sides(
        self,
        a: str,
        b: str,
        lens: str | Lens | None,
        scope: str,
        own: Mapping[str, Any] = NO_OPTIONS,
    ) -> tuple[Lens, list[Run], list[Run]]:
        """The lens, and the newest runs of both sides that may be compared."""
        names_a, names_b = self.catalogue.side(a, scope), self.catalogue.side(b, scope)
        kind = self.catalogue.kind_of([*names_a, *names_b])
        chosen = lens_named(lens or kind, given(own))
        runs_a, runs_b, choice = self.catalogue.matched(names_a, names_b, chosen.run_kind or kind)
        if choice:
            self.reporter.remark(
                f"several runs can be compared; taking the newest: {runs_a[0].id[:12]} and "
                f"{runs_b[0].id[:12]} (``run=A_ID:B_ID`` chooses)"
            )
        return chosen, runs_a, runs_b

    def alike(self, a: str, b: str, run: str | None, kind: str | None) -> tuple[Run, Run]:
        """Runs of two variants whose components are each other's counterparts.

        Raises
        ------
        UsageError
            Unknown names, or models that do not fit together.
        """
        from circuitgraph.interventions.patching import require_alike

        require_alike(*(self.catalogue.of(name)[-1].variant for name in (a, b)))
        if run is None:
            _, [first], [second] = self.sides(a, b, kind, "checkpoint")
            return first, second
        [first], [second] = self.catalogue.chosen(run, a, b)
        require_comparable([first, second])
        return first, second

    def require_components(
        self, names: Sequence[str], a: str, b: str, lens: str | Lens | None, scope: str
    ) -> None:
        """Refuse components that no run of either side measures."""
        from circuitgraph.diff.explain import require_components

        if lens is not None and lens_named(lens).needs_models:
            return  # models know more components than runs do
        found: set[str] = set()
        for variant in (*self.catalogue.side(a, scope), *self.catalogue.side(b, scope)):
            for run in self.catalogue.of(variant):
                found.update(run.components, *((edge.source, edge.target) for edge in run.edges))
        require_components(names, found)

    def compare(
        self,
        base: str,
        others: Sequence[str],
        lens: str | Lens | None,
        own: Mapping[str, Any],
        *,
        alpha: float,
        margin: float | None,
        fdr: str,
        seed: int,
    ) -> ManyDiff:
        """Many variants against one base; see ``Workspace.compare``."""
        from circuitgraph.diff.many import compare_many

        for name in (base, *others):
            self.catalogue.side(name, "checkpoint")
        kind = self.catalogue.kind_of([base, *others])
        chosen = lens_named(lens or kind, given(own))
        [base_run], runs, _ = self.catalogue.matched([base], others, chosen.run_kind or kind)
        sides = [(name, [run]) for name, run in zip(others, runs, strict=True)]
        options = Options(chosen, "checkpoint", alpha, margin, fdr, seed)
        asked = {name: Question(base, name, [base_run], side, options) for name, side in sides}
        known = {name: kept for name in asked if (kept := self.kept(asked[name]))}
        if len(known) < len(sides):
            chosen.require([base_run, *runs])
        return compare_many(
            (base, [base_run]), sides, lens=chosen, alpha=alpha, margin=margin, fdr=fdr, seed=seed,
            models=self._models, known=known,
        )  # fmt: skip

    def hubs(
        self,
        name: str,
        other: str | None,
        kind: str | None,
        weights: Weights,
        seed: int,
        samples: int,
    ) -> pd.DataFrame:
        """Hubs of one variant, or of two side by side; see ``Workspace.hubs``."""
        from circuitgraph.hubs.ranks import hubs, hubs_compare

        if kind and not lens_named(kind).run_kind:
            raise UsageError(f"{kind} is of two variants: it has hubs of change only")
        kind = kind or self.catalogue.kind_of([name] if other is None else [name, other])
        if other is None:
            run = self.catalogue.of(name, kind)[-1]
            return hubs(run, weights=weights, seed=seed, samples=samples)
        _, [first], [second] = self.sides(name, other, kind, "checkpoint")
        return hubs_compare(first, second, seed=seed, samples=samples)

    def answer(self, question: Question, null: Null, mechanism: bool) -> tuple[Diff, bool]:
        """The diff that answers a question: what is kept, and what must still be measured.

        Null pairs and mechanisms stay with a diff once they are measured. The diff is new (True)
        where it was measured now, or in part, or its sides had other names.
        """
        asked = pairs(null)
        drawn = max((draws_of(pair) or 0 for pair in asked if not self._is_pair(pair)), default=0)
        named = [pair for pair in asked if pair != NONE and not self.is_random(pair)]
        nulls = [self._null(pair, question.options) for pair in named]
        random = RandomNulls(question, self.nulls, self._models) if drawn else None
        record = self.folder.record(question.id)
        known = self._decoys(record)
        kept = self._kept(record, question)
        new = [pair for pair in nulls if not any(pair_of(decoy) == _ids(pair) for decoy in known)]
        question.options.lens.require(  # all models must be there before the first is loaded
            [run for pair in new for run in (*pair[1], *pair[3])]
            + ([] if kept else [*question.runs_a, *question.runs_b])
        )
        counts = (self._counted(pair, question, known) for pair in nulls)
        diff = kept or self._measured(question)
        drawn_counts = random.counts(drawn, known) if random else ()
        diff = with_decoys(diff, [*counts, *drawn_counts], () if NONE in asked else known)
        diff = with_silence(diff, question, self._models)
        if mechanism and "mechanism" not in diff.summary and question.options.lens.has_mechanism:
            from circuitgraph.diff.mechanism import with_mechanism

            diff = with_mechanism(diff, self._models)
        same = kept is not None and diff.table is kept.table and diff.name == record["name"]
        return diff, not same

    def kept(self, question: Question) -> Diff | None:
        """The kept answer under the names of the question; None where there is none."""
        return self._kept(self.folder.record(question.id), question)

    def _kept(self, record: Mapping[str, Any], question: Question) -> Diff | None:
        """The diff as it was measured before, under the names of the question."""
        if record.get("asked") != question.asked:
            return None
        kept = self.folder.read(record, self.catalogue.by_id)
        if kept is None:
            return None
        a, b = question.a, question.b
        return replace(kept, a=a, b=b, name=f"{a} → {b}", created=now())

    def _measured(self, question: Question) -> Diff:
        from circuitgraph.diff.compare import compare_runs

        chosen = {each.name: getattr(question.options, each.name) for each in fields(Options)}
        options: dict[str, Any] = {"name_a": question.a, "name_b": question.b, **chosen}
        return compare_runs(question.runs_a, question.runs_b, **options, models=self._models)

    def _decoys(self, record: Mapping[str, Any]) -> list[dict[str, Any]]:
        """Null pairs counted before, of runs that are still there."""
        if record.get("method", METHOD) != METHOD:
            return []
        return [
            decoy
            for decoy in record.get("summary", {}).get("decoys", ())
            if decoy.get("random")
            or self.catalogue.by_id.keys()
            >= {*decoy.get("runs_a", [""]), *decoy.get("runs_b", [""])}
        ]

    def _is_pair(self, text: str | tuple[str, str]) -> bool:
        """Whether a null names two variants, one of which may be called random."""
        if not isinstance(text, str):
            return True
        names = self.catalogue.variants()
        return any(
            text[:i] in names and text[i + 1 :] in names for i, c in enumerate(text) if c == ":"
        )

    def is_random(self, text: str | tuple[str, str]) -> bool:
        """Whether a null asks for random updates."""
        return not self._is_pair(text) and draws_of(text) is not None

    def names(self, pair: str | tuple[str, str], scope: str) -> tuple[str, str]:
        """Both names of a null pair."""
        return self.catalogue.pair(pair, scope) if isinstance(pair, str) else pair

    def _null(self, pair: str | tuple[str, str], options: Options) -> NullPair:
        a, b = self.names(pair, options.scope)
        _, runs_a, runs_b = self.sides(a, b, options.lens, options.scope)
        return a, runs_a, b, runs_b, None

    def _counted(
        self, pair: NullPair, question: Question, known: Sequence[Mapping[str, Any]]
    ) -> dict[str, Any]:
        """What the same test claims on a null pair, counted now where it never was."""
        a, runs_a, b, runs_b, _ = pair
        for decoy in known:
            if pair_of(decoy) == _ids(pair):
                return {**decoy, "a": a, "b": b}
        apart = None
        if runs_a[0].variant.base and runs_b[0].variant.base:
            from circuitgraph.models.distance import drift

            apart = drift(runs_a[0], runs_b[0])
        counted = [(a, runs_a, b, runs_b, apart)]
        return decoy_counts(counted, question.options, question.margin, self._models)[0]

    @property
    def _models(self) -> Models:
        """Leave to load the models behind the runs."""
        return Models(self.reporter, self.catalogue.runs, resources=self.resources)


def given(own: Mapping[str, Any]) -> dict[str, Any]:
    """Options of a lens that are not left to it."""
    return {name: value for name, value in own.items() if value is not None}


def _ids(pair: NullPair) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The runs of both sides of a null pair."""
    _, runs_a, _, runs_b, _ = pair
    return tuple(run.id for run in runs_a), tuple(run.id for run in runs_b)
