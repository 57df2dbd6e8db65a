"""CSV files that ``neo4j-admin database import full`` reads, and the command for them.

The import is offline and many times as fast as any other way into Neo4j. Every text is
quoted, so that an empty text and a missing one stay two things; names are verbatim, line
ends included.
"""

from __future__ import annotations

import math
import shlex
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from circuitgraph.base.errors import InputError
from circuitgraph.export.files import write_together
from circuitgraph.store.columns import ENDS, NODES, RELATIONSHIPS
from circuitgraph.store.frames import plain_rows
from circuitgraph.store.tables import GraphTables

_TYPES = {"string": "string", "int": "long", "float": "double"}


def write_neo4j_admin(tables: GraphTables, folder: Path) -> list[Path]:
    """Write one file per label and relationship type.

    Parameters
    ----------
    tables : GraphTables
        What to write; kinds without a row get no file.
    folder : Path
        Made if missing; files of those names are replaced, those of other kinds of
        ours removed, so that the folder holds this graph and nothing else of ours.

    Returns
    -------
    list of Path
        Nodes first.

    Raises
    ------
    InputError
        The folder or a file cannot be written.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        written = write_together(_parts(tables, folder))
        for name in (*NODES, *ENDS):
            if _file(folder, name) not in written:
                _file(folder, name).unlink(missing_ok=True)
    except OSError as error:
        raise InputError(f"{folder}: cannot be written to ({error.strerror})") from error
    return written


def _parts(tables: GraphTables, folder: Path) -> Iterator[tuple[Path, Iterator[str]]]:
    for label, frame in tables.nodes.items():
        header = {"id": f"id:ID({label})", **_header(NODES[label])}
        yield _file(folder, label), _lines(frame, header)
    for kind, frame in tables.rels.items():
        if len(frame):
            start, end = ENDS[kind]
            ends = {"start": f":START_ID({start})", "end": f":END_ID({end})"}
            header = {**ends, **_header(RELATIONSHIPS[kind])}
            yield _file(folder, kind), _lines(frame, header)


def import_command(files: Sequence[Path]) -> str:
    """Command that imports the files into a stopped server."""
    stems = [file.absolute() for file in files]
    words = ["neo4j-admin", "database", "import", "full", "neo4j"]
    words += ["--overwrite-destination", "--multiline-fields=true"]
    words += [f"--report-file={file.parent / 'import.report'}" for file in stems[:1]]
    words += [f"--nodes={file.stem}={file}" for file in stems if file.stem in NODES]
    words += [f"--relationships={file.stem}={file}" for file in stems if file.stem in ENDS]
    return shlex.join(words)


def _file(folder: Path, name: str) -> Path:
    return folder / f"{name}.csv"


def _header(columns: Mapping[str, str]) -> dict[str, str]:
    return {name: f"{name}:{_TYPES[kind]}" for name, kind in columns.items() if name != "id"}


def _lines(frame: pd.DataFrame, header: Mapping[str, str]) -> Iterator[str]:
    yield ",".join(header.values()) + "\n"
    for row in plain_rows(frame, list(header)):
        yield ",".join(map(_cell, row)) + "\n"


def _cell(value: Any) -> str:
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return ""
    return '"' + value.replace('"', '""') + '"' if isinstance(value, str) else repr(value)
