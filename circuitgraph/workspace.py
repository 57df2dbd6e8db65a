"""A workspace: the folder that holds runs and their graph, and all one can do with it.

The command line says the same as this class. Runs on disk are the truth; the graph
database holds their summaries, and what is missing there is loaded when next asked for.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import pandas as pd

from circuitgraph.base.frames import write_parquet
from circuitgraph.base.keywords import listed, named_keywords
from circuitgraph.base.progress import Reporter
from circuitgraph.base.textfiles import DEFAULT_FOLDER, expanded
from circuitgraph.comparison import Comparison, blocks_path, keep_diff, kept_of, tested_blocks
from circuitgraph.composition.scores import composition
from circuitgraph.diff.explain import Explanation
from circuitgraph.diff.many import ManyDiff
from circuitgraph.diff.record import Diff
from circuitgraph.intake import as_kinds, take_model, take_table
from circuitgraph.interventions import patching
from circuitgraph.interventions.circuits.faithfulness import Faithfulness, faithfulness
from circuitgraph.planning.plan import Plan, Question, plan
from circuitgraph.prompts.reader import Source
from circuitgraph.runs.catalogue import Shelf
from circuitgraph.runs.conventions import forget_unused, list_settled
from circuitgraph.runs.record import Run, discard_run
from circuitgraph.runs.summaries import edge_table
from circuitgraph.store import Copied, Store, diff_tables, keep_tables, open_store, tables_of
from circuitgraph.transfer import load_graph, pull, push, rebuild, write_bulk, write_files


@named_keywords
class Workspace:
    """A folder of runs and the graph made of them.

    Args:
        path: the folder; made when first written to.
        store: where the graph lives; None for the embedded file in the folder.
        reporter: where remarks and progress go; silent by default.
    """

    def __init__(
        self,
        path: str | os.PathLike[str] = DEFAULT_FOLDER,
        store: str | None = None,
        reporter: Reporter | None = None,
    ) -> None:
        self.path = expanded(path)
        self.store_uri = store
        self.reporter = reporter or Reporter()

    @property
    def runs_folder(self) -> Path:
        """Where runs lie."""
        return self.path / "runs"

    @property
    def diffs_folder(self) -> Path:
        """Where the full tables of diffs lie."""
        return self.path / "diffs"

    @property
    def transfers_folder(self) -> Path:
        """Where the tables of cross-model patches lie."""
        return self.path / patching.FOLDER

    def shelf(self) -> Shelf:
        """All runs, for looking up names."""
        return Shelf(tuple(list_settled(self.runs_folder)))

    # Ingest

    def ingest(
        self,
        model: str | os.PathLike[str],
        *,
        name: str,
        prompts: Source,
        adapter: str | os.PathLike[str] | None = None,
        recipe: str = "",
        edges: str | Sequence[str] | None = None,
        split_inputs: bool = False,
        load: bool = True,
        **options: Any,
    ) -> list[Run]:
        """Measure one variant on a prompt set and put its graph into the store.

        Args:
            model: a Hugging Face folder (or hub name).
            name: of the variant.
            prompts: a file, a pandas table, dictionaries, or prompts already read.
            adapter: a LoRA folder.
            recipe: shared by variants trained alike with other seeds.
            edges: ``correlation``, ``effect`` or both; None takes what the file allows.
            split_inputs: effects of q, k and v one by one.
            load: put the graph into the store now; else the next query or diff does.
            **options: ``estimator``, ``granularity`` …; see ``ingest.jobs.Request``.

        Returns:
            One run an edge kind; the same ingest again finds the same runs.

        Raises:
            InputError, UsageError: before any long work; ClusterError (``ray``): also later.
        """
        kinds, inputs = as_kinds(edges), "split" if split_inputs else "joint"
        runs = take_model(
            os.fspath(model),
            None if adapter is None else os.fspath(adapter),
            name,
            recipe,
            prompts,
            {"kinds": kinds, "inputs": inputs, **options},
            self.shelf(),
            self.runs_folder,
            self.reporter,
        )
        if load:
            self.sync()
        return runs

    def ingest_table(self, path: str | os.PathLike[str], *, name: str, recipe: str = "") -> Run:
        """Take an activation table of somebody else's as one variant's correlation run."""
        run = take_table(expanded(path), name, recipe, self.shelf(), self.runs_folder)
        self.sync()
        return run

    # The graph store

    def open_store(self) -> Store:
        """The graph store; use it in a ``with`` statement."""
        return open_store(self.store_uri, self.path)

    def sync(self) -> int:
        """Load runs the graph does not hold yet; returns how many."""
        if not (runs := list_settled(self.runs_folder)):
            return 0
        with self.open_store() as store:
            return load_graph(store, self.path, runs)

    def push(self) -> Copied:
        """Copy the workspace's graph into the server that is its ``store``."""
        return push(self.path, list_settled(self.runs_folder), self.store_uri, self.reporter)

    def pull(self) -> Copied:
        """Copy the graph of the server that is its ``store`` into the workspace's file."""
        return pull(self.path, self.store_uri, self.reporter)

    def rebuild(self) -> tuple[Copied, bool]:
        """Make the embedded graph again from the files beside it; see ``transfer.rebuild``."""
        return rebuild(self.path, list_settled(self.runs_folder))

    def query(self, name: str, **parameters: Any) -> pd.DataFrame:
        """Answer of a named query; see ``queries.list_queries``."""
        from circuitgraph.queries import run_query

        self.sync()
        with self.open_store() as store:
            return run_query(store, name, parameters)

    def cypher(self, text: str, parameters: Mapping[str, Any] | None = None) -> pd.DataFrame:
        """Answer of a Cypher statement that reads; values travel as parameters."""
        self.sync()
        with self.open_store() as store:
            return store.query(text, dict(parameters or {}))

    # What is there

    def variants(self) -> pd.DataFrame:
        """One row a variant."""
        return self.shelf().variant_table()

    def runs(self) -> pd.DataFrame:
        """One row a run, oldest first."""
        return self.shelf().run_table()

    def remove(self, name: str) -> int:
        """Remove a variant, its runs and their diffs; returns the number of runs."""
        shelf = self.shelf()
        runs = shelf.of(name)
        gone = {run.id for run in runs}
        kept = [*kept_of(self.diffs_folder, gone), *tables_of(self.path, gone)]
        kept += patching.kept_of(self.transfers_folder, gone)
        with self.open_store() as store:
            store.remove_variant(name)
        for file in kept:
            file.unlink(missing_ok=True)
        for run in runs:
            discard_run(run)
        forget_unused(self.runs_folder, runs, [r for r in shelf.runs if r.id not in gone])
        return len(runs)

    def edges(self, name: str, kind: str | None = None) -> pd.DataFrame:
        """The edges of a variant's newest run of one kind (both kinds where None)."""
        shelf = self.shelf()
        kinds = [kind] if kind else sorted({run.kind for run in shelf.of(name)})
        tables = [edge_table(shelf.of(name, k)[-1]) for k in kinds]
        return tables[0] if len(tables) == 1 else pd.concat(tables, ignore_index=True)

    # Comparisons

    def diff(
        self,
        a: str,
        b: str,
        *,
        lens: str | None = None,
        scope: str = "checkpoint",
        null: str | Iterable[str | tuple[str, str]] = (),
        run: str | None = None,
        **options: Any,
    ) -> Diff:
        """Compare two variants (or recipes) edge by edge, and keep the answer.

        Args:
            a, b: variants; at recipe scope recipes, variants, or several with commas.
            lens: ``correlation``, ``effect`` or ``wiring``; None: effects where both have them.
            scope: ``checkpoint`` or ``recipe``.
            null: pairs known not to differ, "A:B" or (A, B), kept until "none" drops them.
            run: ``A_ID:B_ID`` chooses among several runs.
            **options: ``alpha``, ``margin`` …; see ``diff.compare_runs``. ``mechanism=False``
                does not measure why effects changed.

        Raises:
            UsageError: unknown names, or runs that may not be compared.
        """
        sides: dict[str, Any] = {"lens": lens, "scope": scope, "null": null, "run": run}
        found = self._comparison().diff(a, b, **sides, **options)
        self._keep(found)
        return found

    def compare(
        self, base: str, others: str | Sequence[str], *, lens: str | None = None, **options: Any
    ) -> ManyDiff:
        """Many variants against one base in one table: shared, opposite, only in one."""
        return self._comparison().compare(base, listed(others), lens=lens, **options)

    def explain(self, source: str, target: str, a: str, b: str, **options: Any) -> Explanation:
        """One edge in two variants: per prompt, per scenario, and in words."""
        diff, told = self._comparison().explain(source, target, a, b, **options)
        self._keep(diff)
        return told

    def patch(
        self, source: str, into: str, *, run: str | None = None, **options: Any
    ) -> patching.CrossPatch:
        """Put parts of one variant into the other, both ways, and keep the answer.

        Args:
            source, into: variants of one build with runs on the same prompts.
            run: ``SOURCE_ID:INTO_ID`` chooses among several runs.
            **options: ``parts`` (any of ``components``, ``edges``, ``sets``, ``routes``),
                ``share``, ``by``, ``layers``; see ``patching.measure.Options``.

        Raises:
            UsageError, InputError: before any long work.
        """
        first, second = self._comparison().patched(source, into, run)
        result = patching.cross_patch(first, second, self.reporter, **options)
        self.sync()
        with self.open_store() as store:
            store.write_all(patching.graph_parts(result))
        patching.keep(result, self.transfers_folder)
        return result

    def blocks(
        self,
        a: str,
        b: str,
        *,
        corrupt: Source | None = None,
        **options: Any,
    ) -> patching.BlockTests:
        """Test the blocks of correlated claims of an effect diff as circuits, and keep both.

        Args:
            a, b: variants of one build with effect runs on the same prompts.
            corrupt: the same prompts with other corrupt texts, for the second corruption.
            **options: ``second`` (``mean`` or ``zero``), ``run`` (``A_ID:B_ID``), and the
                options of ``diff``.

        Raises:
            UsageError, InputError: before any long work.
        """
        found = self._comparison().blocks(a, b, corrupt=corrupt, **options)
        self._keep(found.diff)
        write_parquet(found.table, blocks_path(self.diffs_folder, found.diff.id))
        return found

    def _comparison(self) -> Comparison:
        return Comparison(self.shelf(), self.reporter, self.diffs_folder)

    def _keep(self, diff: Diff) -> None:
        """The full table as parquet, the claims in the graph."""
        keep_diff(diff, self.diffs_folder)
        keep_tables(tables := diff_tables(diff), self.path, diff.id)
        self.sync()
        with self.open_store() as store:
            store.write_diff(tables)

    def diff_path(self, diff: Diff) -> Path:
        """Where the full table of a diff lies."""
        return self.diffs_folder / f"{diff.id}.parquet"

    # Graph analyses and files

    def hubs(
        self,
        name: str,
        other: str | None = None,
        *,
        kind: str | None = None,
        of: str = "strength",
        **options: Any,
    ) -> pd.DataFrame:
        """Hubs of one variant with rank intervals, of two side by side, or of their change.

        With ``of="change"``: components at which more edges differ than chance puts there,
        by the lens that ``kind`` names; takes ``direction``, see ``hubs.change``.
        """
        return self._comparison().hubs(name, other, kind, of, **options)

    def faithfulness(self, name: str, **options: Any) -> Faithfulness:
        """What a variant's strongest edges alone recover of its decision, over their number.

        Takes ``sizes``, ``random``, ``seed``, ``rank``, ``run``; see
        ``circuitgraph.interventions.circuits.faithfulness``.
        """
        return faithfulness(self.shelf(), name, reporter=self.reporter, **options)

    def plan(self, model: str | os.PathLike[str] | None = None, **options: Any) -> Plan:
        """What a design can show: the smallest visible change, with hours and bytes.

        Args:
            model: a model folder, for hours and bytes.
            **options: ``prompts`` (a number or a file), ``scenarios``, ``seeds``, ``pilot``
                …; see ``planning.Question``.

        Raises:
            UsageError, InputError: numbers, names or files that cannot be.
        """
        path = None if model is None else os.fspath(model)
        return plan(Question(model=path, **options), self.shelf(), self.reporter)

    def compose(
        self, name: str, other: str | None = None, *, shared_basis: bool = False
    ) -> pd.DataFrame:
        """Composition scores of a variant from its weights alone, kept as ``COMPOSES``.

        Args:
            name: an ingested variant with heads.
            other: another of the same build; then ``delta`` is the relative change of
                every virtual weight, 0 to 1.
            shared_basis: the caller's word that both share a basis.

        Raises:
            UsageError, InputError: before any long work.
        """
        options: dict[str, Any] = {"shared_basis": shared_basis, "reporter": self.reporter}
        table = composition(self.shelf(), name, other, **options)
        self.sync()
        return table

    def export(
        self,
        names: str | Sequence[str],
        format: str,
        path: str | os.PathLike[str],
        *,
        lens: str | None = None,
    ) -> list[Path]:
        """Write variants, or the diff of two (``A:B``), for other programs.

        One name writes ``path`` (for csv a folder); several names write one file each into
        the folder ``path``. ``neo4j-admin`` writes all of them into one folder, and the
        whole graph where there are no names. ``lens`` is that of the diffs.
        """
        compare, names, path = partial(self.diff, lens=lens), listed(names), expanded(path)
        if format == "neo4j-admin":
            return write_bulk(self.shelf(), compare, names, path, self.path)
        return write_files(self.shelf(), compare, names, format, path, self.reporter)

    def report(self, a: str, b: str, path: str | os.PathLike[str], **options: Any) -> Diff:
        """Write a self-contained HTML page about two variants; returns its diff."""
        from circuitgraph.report.page import require_page, write_report

        require_page(path := expanded(path))
        diff = self._comparison().diff(a, b, **options)
        write_report(diff, path, tested_blocks(self.diffs_folder, diff))
        self._keep(diff)
        return diff
