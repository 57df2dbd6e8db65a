"""Load, push, pull and export the graph of a workspace.

Runs on disk are the truth, the embedded graph beside them holds their summaries, and a
server may hold a copy of that.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Sequence
from pathlib import Path

from circuitgraph.base.errors import UsageError, short
from circuitgraph.base.progress import Reporter
from circuitgraph.behaviour.kept import lacking_decisions, with_decisions
from circuitgraph.composition.kept import lacking_composition, with_composition
from circuitgraph.diff.kept import FOLDER as DIFFS
from circuitgraph.diff.kept import DiffFolder
from circuitgraph.diff.record import Diff
from circuitgraph.export import (
    ExportGraph,
    export_graph,
    require_file,
    write_mib,
    write_neo4j_admin,
)
from circuitgraph.export.files import targets
from circuitgraph.export.model import strongest
from circuitgraph.interventions.patching import FOLDER as TRANSFERS
from circuitgraph.interventions.patching import load_transfers
from circuitgraph.nodes.graph import lacking_measures, with_measures
from circuitgraph.runs.catalogue import RunCatalogue
from circuitgraph.runs.record import Run, read_confirmed
from circuitgraph.runs.summaries import edge_table
from circuitgraph.store import (
    FILE_NAME,
    Copied,
    EmbeddedStore,
    GraphTables,
    Store,
    copy_graph,
    diff_tables,
    graph_file,
    kept_tables,
    merge_tables,
    open_store,
    read_tables,
    run_tables,
    salvaged,
)

Compare = Callable[[str, str], Diff]
NOTHING = "nothing is claimed, and of a diff only claims are written"


def load_runs(store: Store, runs: Iterable[Run]) -> int:
    """Load runs that a store lacks; returns their number."""
    there = set(store.run_ids())
    missing = [run for run in runs if run.id not in there]
    if missing:
        store.write_all([_graph_of(run) for run in missing], replace=False)
    return len(missing)


def refresh_runs(store: Store, runs: Iterable[Run]) -> None:
    """Update runs with later results: exact edges, composition scores,
    decisions in games, measures of components."""
    runs = list(runs)
    lacking = {run.id for run in lacking_composition(store, runs)}
    lacking |= {run.id for run in lacking_decisions(store, runs)}
    lacking |= {run.id for run in lacking_measures(store, runs)}
    stale = [
        run for run in runs if run.id in lacking or (run.kind == "effect" and _is_stale(store, run))
    ]
    if stale:
        store.write_all([_graph_of(run) for run in stale])


def _is_stale(store: Store, run: Run) -> bool:
    known = len(read_confirmed(run))
    if not known:
        return False
    count = "MATCH ()-[e:AFFECTS]->() WHERE e.run = $run RETURN count(e.screen) AS n"
    return int(store.query(count, {"run": run.id})["n"].iloc[0]) != known


def _graph_of(run: Run) -> GraphTables:
    measured = run_tables(run, edge_table(run, screen=run.kind == "effect"))
    return with_measures(with_decisions(with_composition(measured, run), run), run)


def load_graph(
    store: Store, folder: Path, runs: Iterable[Run], but: str = "", new: Collection[str] = ()
) -> int:
    """Load runs, diffs and transfers that a store lacks.

    ``but`` is the id of a diff that the caller writes, ``new`` are two runs with new transfers.

    Returns
    -------
    int
        How many runs.
    """
    runs = list(runs)
    loaded = load_runs(store, runs)
    refresh_runs(store, runs)
    load_transfers(store, folder / TRANSFERS, new)  # also those that a refresh took away
    if isinstance(store, EmbeddedStore):
        load_diffs(store, folder, but)
    return loaded


def load_diffs(store: Store, folder: Path, but: str = "") -> None:
    """Load kept diffs (except ``but``) that a store lacks or has in an older version, and the time
    at which each was last used, which makes one the newest."""
    dates = "MATCH (d:Diff) RETURN d.id AS id, d.created AS created"
    there = dict(store.query(dates).itertuples(index=False, name=None))
    for record in DiffFolder(folder / DIFFS).measured():
        diff, created, measured = record["id"], record["created"], record["measured"]
        if diff == but or there.get(diff) == created:
            continue
        if there.get(diff, "") < measured:
            tables = read_tables(graph_file(folder, diff))
            if tables is None or not {*record["runs_a"], *record["runs_b"]} <= {*store.run_ids()}:
                continue
            store.write_diff(tables)
        if created != measured:
            asked = "MATCH (d:Diff) WHERE d.id = $id SET d.created = $created"
            store.query(asked, {"id": diff, "created": created}, read_only=False)


def rebuild(folder: Path, runs: Sequence[Run]) -> tuple[Copied, bool]:
    """Rebuild the embedded graph from the files beside it.

    Runs and diffs that no file holds (pulled from a server, or kept by an older version)
    are taken over from the old graph where it can be read.

    Returns
    -------
    Copied, bool
        What the new graph holds; whether the old one could be read to its end.
    """
    store = EmbeddedStore(folder / FILE_NAME)
    parts = [_graph_of(run) for run in runs]
    there = {run.id for run in runs}
    diffs = [tables for _, tables in kept_tables(folder)]
    diffs = [tables for tables in diffs if there >= set(tables.rels["COMPARES"]["end"])]
    known = there | {key for tables in diffs for key in tables.ids("Diff")}
    older, whole = salvaged(store.path, known)
    parts += diffs + older
    store.write_anew(parts)
    load_diffs(store, folder)
    patches = load_transfers(store, folder / TRANSFERS)
    edges = sum(len(rows) for part in parts for rows in part.rels.values())
    n_runs, n_diffs = (sum(len(part.ids(label)) for part in parts) for label in ("Run", "Diff"))
    return Copied(n_runs, n_diffs, edges, 0, patches), whole


def push(folder: Path, runs: Sequence[Run], uri: str | None, reporter: Reporter) -> Copied:
    """Copy the graph of a workspace to a server.

    Parameters
    ----------
    folder : Path
        Of the workspace.
    runs : sequence of Run
        All runs on disk.
    uri : str or None
        The server; see :func:`circuitgraph.store.open_store`.
    reporter : Reporter
        Where progress goes.

    Raises
    ------
    UsageError
        ``uri`` means the embedded graph.
    StoreUnreachable
        The server does not answer; the same call later goes on.
    """
    with _server(folder, uri) as target, EmbeddedStore(folder / FILE_NAME) as source:
        load_graph(source, folder, runs)
        there = set(target.run_ids())
        refresh_runs(target, [run for run in runs if run.id in there])
        return _copied(source, target, reporter, "push")


def pull(folder: Path, uri: str | None, reporter: Reporter) -> Copied:
    """Copy the graph of a server into the embedded graph of a workspace.

    The graph holds summaries only: what was measured prompt by prompt stays where it was
    measured, so pulled runs can be asked but not compared anew.

    Parameters, errors: as for :func:`push`.
    """
    with _server(folder, uri) as source, EmbeddedStore(folder / FILE_NAME) as target:
        return _copied(source, target, reporter, "pull")


def write_files(
    catalogue: RunCatalogue,
    compare: Compare,
    names: Sequence[str],
    format: str,
    path: Path,
    reporter: Reporter,
    kind: str | None = None,
    top: int | None = None,
    least: float = 0.0,
) -> list[Path]:
    """Write variants, or diffs named ``A:B``, one file (or folder) each.

    Parameters
    ----------
    catalogue : RunCatalogue
        All runs.
    compare : callable
        Makes the diff of two variants.
    names, format, path
        As in :func:`circuitgraph.export.files.targets`.
    reporter
        Where remarks go: edges that a file cannot hold, or that were not asked for.
    kind, top, least
        As in :func:`circuitgraph.export.model.strongest`; not of mib.
    """
    if format == "mib":
        return _write_circuits(catalogue, names, path)
    graphs = []
    for name in names:
        pair = _pair(catalogue, name)
        runs = {} if pair else {run.kind: run for run in catalogue.of(name)}
        graphs.append(
            ExportGraph.from_diff(compare(*pair))
            if pair
            else ExportGraph.from_runs(list(runs.values()))
        )
    written: list[Path] = []
    for name, graph, target in zip(names, graphs, targets(names, format, path), strict=True):
        shown = strongest(graph, kind=kind, top=top, least=least)
        if not len(shown.edges):
            why = NOTHING if not len(graph.edges) and ":" in name else "none is left"
            reporter.remark(f"the file of {short(graph.name)} holds no edge: {why}")
        written += export_graph(shown, format, target)
        if len(shown.edges) < len(graph.edges):
            reporter.remark(
                f"{len(shown.edges)} of {len(graph.edges)} edges of {short(graph.name)} are written"
            )
        if graph.dropped:
            reporter.remark(
                f"{graph.dropped} edges of {short(graph.name)} whose value is 0 or undefined are "
                "left out: Gephi takes no edge of weight 0"
            )
    return written


def _write_circuits(catalogue: RunCatalogue, names: Sequence[str], path: Path) -> list[Path]:
    """The newest effect run of each variant as a circuit file."""
    diffs = [name for name in names if _pair(catalogue, name)]
    if diffs:
        raise UsageError(
            f"{short(diffs[0])}: a circuit file holds the edges of one variant, not a change; name "
            "variants, or export the diff as neuronpedia"
        )
    runs = [catalogue.of(name)[::-1] for name in names]
    for target in (found := targets(names, "mib", path)):
        require_file(target, "mib")
    return [write_mib(each, target) for each, target in zip(runs, found, strict=True)]


def write_bulk(
    catalogue: RunCatalogue, compare: Compare, names: Sequence[str], path: Path, folder: Path
) -> list[Path]:
    """Write variants and diffs ``A:B`` into one folder for an offline import into Neo4j.

    All runs of a variant are written, and all runs a diff compares; without names the
    whole graph of the workspace ``folder``.
    """
    if not names:
        store = EmbeddedStore(folder / FILE_NAME)
        load_graph(store, folder, catalogue.runs)
        return write_neo4j_admin(store.read_all(), path)
    runs: dict[str, Run] = {}
    diffs: dict[str, GraphTables] = {}
    for name in names:
        pair = _pair(catalogue, name)
        diff = compare(*pair) if pair else None
        found = (*diff.runs_a, *diff.runs_b) if diff else catalogue.of(name)
        runs |= {run.id: run for run in found}
        diffs |= {diff.id: diff_tables(diff)} if diff else {}
    parts = [_graph_of(run) for run in runs.values()]
    return write_neo4j_admin(merge_tables([*parts, *diffs.values()]), path)


def _pair(catalogue: RunCatalogue, name: str) -> tuple[str, str] | None:
    """Both names of a diff ``A:B``; None for the name of a variant."""
    if name in catalogue.variants() or ":" not in name:
        return None
    return catalogue.pair(name, "checkpoint")


def _server(folder: Path, uri: str | None) -> Store:
    store = open_store(uri, folder)
    if isinstance(store, EmbeddedStore):
        raise UsageError(
            "push and pull copy between this workspace and a server: say which one, such as "
            '``store="neo4j://localhost:7687"``'
        )
    return store


def _copied(source: Store, target: Store, reporter: Reporter, label: str) -> Copied:
    total = len(source.run_ids()) + len(source.diff_ids())
    with reporter.progress(total, label, unit="run") as bar:
        return copy_graph(source, target, bar.advance)
