"""Comparisons by name: which runs are meant, what measures more of them, and what is kept."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from circuitgraph.base.atomic import write_atomic
from circuitgraph.base.errors import InputError, UsageError
from circuitgraph.base.frames import write_parquet
from circuitgraph.base.keywords import pairs
from circuitgraph.base.progress import Reporter
from circuitgraph.diff.compare import compare_runs
from circuitgraph.diff.decoys import NONE, with_decoys
from circuitgraph.diff.explain import Explanation, explain_edge, require_components
from circuitgraph.diff.many import ManyDiff, compare_many
from circuitgraph.diff.mechanism import mechanism_record, with_kept_mechanism, with_mechanism
from circuitgraph.diff.record import Diff
from circuitgraph.interventions import patching
from circuitgraph.lenses.base import Lens, Models
from circuitgraph.lenses.registry import lens_named
from circuitgraph.prompts import read_prompts
from circuitgraph.prompts.reader import Source
from circuitgraph.runs.catalogue import Shelf
from circuitgraph.runs.comparable import require_comparable
from circuitgraph.runs.record import Run


@dataclass(frozen=True)
class Comparison:
    """Names in, diffs out.

    Attributes:
        shelf: the runs that names are looked up in.
        reporter: where remarks and progress go.
        folder: where diffs are kept; None for nowhere.
    """

    shelf: Shelf
    reporter: Reporter
    folder: Path | None = None

    def diff(
        self,
        a: str,
        b: str,
        *,
        lens: str | Lens | None = None,
        scope: str = "checkpoint",
        null: str | Iterable[str | tuple[str, str]] = (),
        run: str | None = None,
        mechanism: bool = True,
        scale: str = "share",
        rank: bool = False,
        form: str = "weights",
        shared_basis: bool = False,
        **options: Any,
    ) -> Diff:
        """Compare two variants or recipes; see ``Workspace.diff``."""
        own = {"scale": scale, "rank": rank, "form": form, "shared_basis": shared_basis}
        if run is not None:
            runs_a, runs_b = self.shelf.chosen(run, a, b)
            lens = lens_named(lens or runs_a[0].kind, **own)
            lens.require([*runs_a, *runs_b])
        else:
            lens, runs_a, runs_b = self.sides(a, b, lens, scope, **own)
        asked = pairs(null)
        nulls = [self._null(pair, lens, scope) for pair in asked if pair != NONE]
        sides: dict[str, Any] = {"name_a": a, "name_b": b, "lens": lens, "scope": scope}
        options |= {**sides, "nulls": nulls, "models": self.models}
        found = self._as_known(compare_runs(runs_a, runs_b, **options), drop=NONE in asked)
        known = "mechanism" in found.summary
        return with_mechanism(found, self.models) if mechanism and not known else found

    def _as_known(self, diff: Diff, drop: bool) -> Diff:
        """The diff with what was looked at beside it before: null pairs, if not to be dropped,
        and mechanisms."""
        record = kept_record(self.folder, diff.id)
        there = {run.id for run in self.shelf.runs}
        decoys = [
            decoy
            for decoy in record.get("summary", {}).get("decoys", ())
            if not drop
            and there.issuperset([*decoy.get("runs_a", [""]), *decoy.get("runs_b", [""])])
        ]
        return with_kept_mechanism(with_decoys(diff, decoys), record.get("mechanism"))

    def explain(
        self, source: str, target: str, a: str, b: str, **options: Any
    ) -> tuple[Diff, Explanation]:
        """The diff of two variants and one of its edges; unknown components are refused first."""
        lens = options.get("lens")
        if lens is None or not lens_named(lens).needs_models:  # which know more than runs do
            scope = options.get("scope", "checkpoint")
            names = {*self.shelf.side(a, scope), *self.shelf.side(b, scope)}
            require_components((source, target), _components(self.shelf, names))
        diff = self.diff(a, b, **options)
        return diff, explain_edge(diff, source, target)

    def compare(
        self,
        base: str,
        others: Sequence[str],
        *,
        lens: str | Lens | None = None,
        scale: str = "share",
        rank: bool = False,
        form: str = "weights",
        shared_basis: bool = False,
        **options: Any,
    ) -> ManyDiff:
        """Many variants against one base; see ``Workspace.compare``."""
        for name in (base, *others):
            self.shelf.side(name, "checkpoint")
        own = {"scale": scale, "rank": rank, "form": form, "shared_basis": shared_basis}
        kind = self.shelf.kind_of([base, *others])
        lens = lens_named(lens or kind, **own)
        [base_run], runs, _ = self.shelf.matched([base], others, lens.run_kind or kind)
        lens.require([base_run, *runs])
        pairs = [(name, [run]) for name, run in zip(others, runs, strict=True)]
        return compare_many((base, [base_run]), pairs, lens=lens, models=self.models, **options)

    def blocks(
        self,
        a: str,
        b: str,
        *,
        run: str | None = None,
        second: str | None = None,
        corrupt: Source | None = None,
        **options: Any,
    ) -> patching.BlockTests:
        """The effect diff of two variants, its blocks tested; see ``Workspace.blocks``."""
        twins = None if corrupt is None else read_prompts(corrupt)
        newest = (self.shelf.of(name)[-1].variant for name in (a, b))
        patching.require_alike(*newest)
        if run is None:
            _, [first], [other] = self.sides(a, b, "effect", "checkpoint")
            run = f"{first.id}:{other.id}"
        else:
            [first], _ = self.shelf.chosen(run, a, b)
        recorrupt = patching.second_corruption(first, second, twins)
        diff = self.diff(a, b, lens="effect", run=run, **options)
        return patching.confirm_blocks(diff, recorrupt, self.reporter)

    def patched(self, source: str, into: str, run: str | None) -> tuple[Run, Run]:
        """The two runs behind a cross-model patch.

        Raises:
            UsageError: unknown names, or models that do not fit together.
        """
        newest = (self.shelf.of(name)[-1].variant for name in (source, into))
        patching.require_alike(*newest)
        if run is None:
            _, [first], [second] = self.sides(source, into, None, "checkpoint")
            return first, second
        [first], [second] = self.shelf.chosen(run, source, into)
        require_comparable([first, second])
        return first, second

    def sides(
        self, a: str, b: str, lens: str | Lens | None, scope: str, **own: Any
    ) -> tuple[Lens, list[Run], list[Run]]:
        """The lens, and the runs of both sides; says on the way where it had to choose."""
        names_a, names_b = self.shelf.side(a, scope), self.shelf.side(b, scope)
        kind = self.shelf.kind_of([*names_a, *names_b])
        lens = lens_named(lens or kind, **own)
        runs_a, runs_b, choice = self.shelf.matched(names_a, names_b, lens.run_kind or kind)
        lens.require([*runs_a, *runs_b])
        if choice:
            self.reporter.remark(
                f"several runs can be compared; taking the newest: {runs_a[0].id[:12]} and "
                f"{runs_b[0].id[:12]} (--run A_ID:B_ID chooses)"
            )
        return lens, runs_a, runs_b

    def hubs(
        self, name: str, other: str | None, kind: str | None, of: str, **options: Any
    ) -> pd.DataFrame:
        """Hubs of one variant, of two side by side, or of their change; see ``Workspace.hubs``."""
        if of == "change":
            return self._hubs_of_change(name, other, kind, **options)
        from circuitgraph.hubs.ranks import hubs, hubs_compare

        if kind and not lens_named(kind).run_kind:
            raise UsageError(f"{kind} is of two variants: it has hubs of change only")
        kind = kind or self.shelf.kind_of([name] if other is None else [name, other])
        if other is None:
            return hubs(self.shelf.of(name, kind)[-1], **options)
        _, runs_a, runs_b = self.sides(name, other, kind, "checkpoint")
        return hubs_compare(runs_a[0], runs_b[0], **options)

    def _hubs_of_change(
        self, a: str, b: str | None, lens: str | None, **options: Any
    ) -> pd.DataFrame:
        """Components at which most changes meet; see ``hubs.change``."""
        from circuitgraph.hubs.change import hubs_of_change

        if b is None:
            raise UsageError("hubs of change are of two variants; name the other one too")
        diff = self.diff(a, b, lens=lens, mechanism=False)  # why they changed is not asked
        return hubs_of_change(diff, **options)

    @property
    def models(self) -> Models:
        """Leave to load the models behind the runs."""
        return Models(self.reporter, self.shelf.runs)

    def _null(self, pair: str | tuple[str, str], lens: Lens, scope: str) -> tuple:
        a, b = self.shelf.pair(pair, scope) if isinstance(pair, str) else pair
        _, runs_a, runs_b = self.sides(a, b, lens, scope)
        apart = None
        if runs_a[0].variant.base and runs_b[0].variant.base:
            from circuitgraph.models.distance import drift

            apart = drift(runs_a[0], runs_b[0])
        return a, runs_a, b, runs_b, apart


def _components(shelf: Shelf, names: Iterable[str]) -> set[str]:
    """All components that runs of these variants measure."""
    found: set[str] = set()
    for run in (run for name in names for run in shelf.of(name)):
        found.update(run.components)
        for source, target, _ in run.edges:
            found |= {source, target}
    return found


def keep_diff(diff: Diff, folder: Path) -> None:
    """The full table as parquet, its summary and runs as JSON beside it."""
    folder.mkdir(parents=True, exist_ok=True)
    write_parquet(diff.table, folder / f"{diff.id}.parquet")
    record = {
        "id": diff.id,
        "name": diff.name,
        "runs_a": [run.id for run in diff.runs_a],
        "runs_b": [run.id for run in diff.runs_b],
        "summary": diff.summary,
        "mechanism": mechanism_record(diff),
    }
    data = json.dumps(record, ensure_ascii=True, indent=1).encode("ascii")
    write_atomic(folder / f"{diff.id}.json", data)


def kept_record(folder: Path | None, diff: str) -> dict[str, Any]:
    """What :func:`keep_diff` wrote of a diff beside its table; empty where it never did.

    Raises:
        InputError: the file is damaged.
    """
    file = None if folder is None else folder / f"{diff}.json"
    if file is None or not file.is_file():
        return {}
    try:
        return dict(json.loads(file.read_text("ascii")))
    except (OSError, ValueError, TypeError) as error:
        raise InputError(f"{file}: cannot be read ({error}); remove it and diff again") from error


def blocks_path(folder: Path, diff: str) -> Path:
    """Where the tested blocks of a diff lie, beside its table."""
    return folder / f"{diff}.blocks.parquet"


def tested_blocks(folder: Path, diff: Diff) -> pd.DataFrame | None:
    """The blocks of a diff as they were tested last; None where they never were.

    Raises:
        InputError: the file is damaged.
    """
    file = blocks_path(folder, diff.id)
    if not file.is_file():
        return None
    try:
        return pd.read_parquet(file)
    except (OSError, ValueError) as error:
        raise InputError(f"{file}: cannot be read ({error}); remove it and test again") from error


def kept_of(folder: Path, runs: Collection[str]) -> list[Path]:
    """What is kept of diffs that rest on any of these runs.

    Raises:
        InputError: a file is damaged.
    """
    found: list[Path] = []
    for file in sorted(folder.glob("*.json")):
        try:
            record = json.loads(file.read_text("ascii"))
            compared = {*record["runs_a"], *record["runs_b"]}
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise InputError(
                f"{file}: this diff cannot be read ({error!r}); remove the file and diff again"
            ) from error
        if set(runs) & compared:
            found += [file.with_suffix(".parquet"), blocks_path(folder, file.stem), file]
    return found
