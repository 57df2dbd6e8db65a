"""Runs and diffs that only a graph holds, pulled from a server.

A damaged file can kill the process that reads it, so another process reads.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Collection
from pathlib import Path

from circuitgraph.base.errors import CircuitGraphError, InputError
from circuitgraph.store.embedded import EmbeddedStore
from circuitgraph.store.kept import keep_tables, kept_tables
from circuitgraph.store.reading import read_diff, read_run
from circuitgraph.store.tables import GraphTables

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
