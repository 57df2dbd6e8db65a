"""``nodes.csv`` and ``edges.csv`` for Gephi's spreadsheet import.

Column names are Gephi's own. Names of components are written verbatim, also those
that begin with ``=``, ``+``, ``-`` or ``@``: they are keys, and changing them would
break every join. Whoever opens these files in a spreadsheet program instead should
import them as text. Gephi trims the cells of a spreadsheet: names that differ in white
space or control characters at their ends only become one node there; GEXF keeps them
apart.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from circuitgraph.base.errors import InputError
from circuitgraph.export.files import write_together
from circuitgraph.export.model import ExportGraph
from circuitgraph.export.text import NOT_UTF8, Column, distinct, spelled, typed_columns
from circuitgraph.graph.convert import Scalar

NODE_RESERVED = ("id", "label")
EDGE_RESERVED = ("source", "target", "type", "id", "label", "weight", "kind")
QUOTED = re.compile('[,"\r\n]|^\\s|\\s$')


def write_gephi_csv(graph: ExportGraph, folder: Path) -> list[Path]:
    """Write ``nodes.csv`` and ``edges.csv`` into a folder, which is made if missing.

    Parameters
    ----------
    graph
        What to write. ``Weight`` is the size of the value and ``signed`` the value;
        ``Kind`` tells parallel edges apart.
    folder
        Where the two files go; files of that name are replaced.

    Returns
    -------
    list of Path
        The two files.

    Raises
    ------
    InputError
        The folder cannot be made or written to.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"{folder}: cannot be made a folder ({error.strerror})") from error
    ids = distinct(graph.nodes["name"].tolist(), NOT_UTF8)
    return write_together(
        [
            (folder / "nodes.csv", _rows(_nodes(graph, ids))),
            (folder / "edges.csv", _rows(_edges(graph, ids))),
        ]
    )


def _nodes(graph: ExportGraph, ids: dict[str, str]) -> list[Column]:
    names: list[Scalar] = [ids[name] for name in graph.nodes["name"]]
    own = [Column("Id", "string", names), Column("Label", "string", names)]
    return own + typed_columns(graph.nodes.drop(columns=["name", "x", "y"]), NODE_RESERVED)


def _edges(graph: ExportGraph, ids: dict[str, str]) -> list[Column]:
    table = graph.edges
    relation = table["relation"].tolist()
    own: dict[str, list[Scalar]] = {
        "Source": [ids[name] for name in table["source"]],
        "Target": [ids[name] for name in table["target"]],
        "Type": ["Directed" if graph.directed else "Undirected"] * len(table),
        "Id": [f"e{row}" for row in range(len(table))],
        "Label": relation,
        "Weight": table["weight"].tolist(),
        "Kind": relation,
    }
    columns = [
        Column(title, "double" if title == "Weight" else "string", values)
        for title, values in own.items()
    ]
    # Gephi reads titles without regard to case, so a column "kind" would be its "Kind".
    shown = ["source", "target", "relation", "weight", "kind"]
    rest = table.drop(columns=shown, errors="ignore")
    return columns + typed_columns(rest, EDGE_RESERVED)


def _rows(columns: list[Column]) -> Iterator[str]:
    yield ",".join(_cell(column.title) for column in columns) + "\n"
    for row in spelled(columns, _cell):
        yield ",".join("" if text is None else text for text in row) + "\n"


def _cell(text: str) -> str:
    """Quoted where needed; the csv module leaves a lone carriage return bare."""
    text = NOT_UTF8.sub("\ufffd", text)
    return '"' + text.replace('"', '""') + '"' if QUOTED.search(text) else text
