"""Graphs of diffs as files beside the runs, and what only the graph holds, read from it.

Everything else in a graph follows from files: runs, exact effects, composition scores and
patches are kept as they were measured. A diff is not: it would have to be computed again.

A damaged file can kill the process that reads it, so another process reads.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Any

import pandas as pd

from circuitgraph.base.errors import CircuitGraphError, InputError
from circuitgraph.runs.artefacts import get, put, records
from circuitgraph.store.embedded import EmbeddedStore
from circuitgraph.store.reading import read_diff, read_run
from circuitgraph.store.tables import GraphTables, node_table, rel_table

FOLDER = Path("diffs") / "graph"


def graph_file(workspace: Path, diff: str) -> Path:
    """Where the graph of a diff lies."""
    return workspace / FOLDER / f"{diff}.json"


def keep_tables(tables: GraphTables, workspace: Path, name: str) -> None:
    """Write the graph of one diff, one JSON file a diff."""
    file = graph_file(workspace, name)
    file.parent.mkdir(parents=True, exist_ok=True)
    record = {"nodes": _columns(tables.nodes), "rels": _columns(tables.rels)}
    put(file, record, indent=None)


def _columns(frames: Any) -> dict[str, dict[str, list[Any]]]:
    found = {}
    for kind, frame in frames.items():
        plain = frame.astype(object).where(frame.notna(), None)
        found[kind] = {str(name): plain[name].tolist() for name in plain}
    return found


def kept_tables(workspace: Path) -> Iterator[tuple[Path, GraphTables]]:
    """All graphs that are kept, with their files.

    Raises
    ------
    InputError
        A file is damaged.
    """
    return records(workspace / FOLDER, _tables, "diff again")


def read_tables(file: Path) -> GraphTables | None:
    """The graph in one file; None where there is none, ``InputError`` where it is damaged."""
    return get(file, _tables, "diff again")


def _tables(record: dict[str, Any]) -> GraphTables:
    nodes = {label: _nodes(label, rows) for label, rows in record["nodes"].items()}
    rels = {kind: _rels(kind, rows) for kind, rows in record["rels"].items()}
    if "Diff" in nodes and "COMPARES" not in rels:
        raise KeyError("COMPARES")
    return GraphTables(nodes, rels).checked()


def _nodes(label: str, rows: dict[str, list[Any]]) -> pd.DataFrame:
    records = zip(*rows.values(), strict=True)
    return node_table(label, [dict(zip(rows, record, strict=True)) for record in records])


def _rels(kind: str, rows: dict[str, list[Any]]) -> pd.DataFrame:
    properties = {k: v for k, v in rows.items() if k not in ("start", "end")}
    return rel_table(kind, rows["start"], rows["end"], properties)


def tables_of(workspace: Path, runs: Collection[str]) -> list[Path]:
    """The files of diffs that compare any of these runs; ``InputError`` where one is damaged."""
    kept = kept_tables(workspace)
    return [file for file, tables in kept if set(runs) & set(tables.rels["COMPARES"]["end"])]


_NO_ROOM = 74
"""Exit code of the reader where it cannot write."""


def salvaged(graph: Path, known: Collection[str]) -> tuple[list[GraphTables], bool]:
    """Runs and diffs of a graph that have no files, as far as it can be read.

    Parameters
    ----------
    graph : Path
        The embedded file; need not exist.
    known : collection of str
        Ids of runs and diffs that need not be read.

    Returns
    -------
    list of GraphTables, bool
        Runs first; and whether the graph could be read to its end.

    Raises
    ------
    InputError
        What was read finds no room among the temporary files.
    """
    if not graph.exists():
        return [], True
    with tempfile.TemporaryDirectory() as folder:
        words = json.dumps([str(graph), sorted(known), folder])
        command = [sys.executable, "-c", f"from {__name__} import read; read()"]
        paths = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
        reader = subprocess.run(
            command, input=words, env=paths, text=True, capture_output=True, check=False
        )
        if reader.returncode == _NO_ROOM:
            raise InputError(f"{folder}: {reader.stderr.strip()}; free some, or set TMPDIR")
        found = [tables for _, tables in kept_tables(Path(folder))]
    return found, reader.returncode == 0


def read() -> None:
    """Subprocess: write one file per run or diff."""
    graph, known, folder = json.load(sys.stdin)
    store = EmbeddedStore(graph)
    try:
        ways = ((read_run, store.run_ids()), (read_diff, store.diff_ids()))
        for way, (part, ids) in enumerate(ways):
            for number, key in enumerate(key for key in ids if key not in known):
                keep_tables(part(store.query, key), Path(folder), f"{way}-{number:06d}")
    except OSError as error:
        sys.stderr.write(error.strerror or str(error))
        raise SystemExit(_NO_ROOM) from None
    except (CircuitGraphError, RuntimeError, MemoryError, ValueError):
        raise SystemExit(1) from None
