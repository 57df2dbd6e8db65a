"""``nodes.csv`` and ``edges.csv`` as Gephi's spreadsheet import takes them.

Column names are Gephi's own. Names of components are written verbatim, also those
that begin with ``=``, ``+``, ``-`` or ``@``: they are keys, and changing them would
break every join. Whoever opens these files in a spreadsheet program instead should
import them as text. Gephi trims the cells of a spreadsheet: names that differ in white
space or control characters at their ends only become one node there; GEXF keeps them
apart.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from itertools import chain
from pathlib import Path

from circuitgraph.errors import InputError
from circuitgraph.export.files import write_lines
from circuitgraph.export.model import ExportGraph
from circuitgraph.export.text import NOT_UTF8, Column, as_text, distinct, typed_columns
from circuitgraph.graph.columns import Scalar

NODE_RESERVED = ("id", "label")
EDGE_RESERVED = ("source", "target", "type", "id", "label", "weight")
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
    return [
        write_lines(folder / "nodes.csv", _rows(*_nodes(graph, ids))),
        write_lines(folder / "edges.csv", _rows(*_edges(graph, ids))),
    ]


def _nodes(graph: ExportGraph, ids: dict[str, str]) -> tuple[list[str], list[list[Scalar]]]:
    columns = typed_columns(graph.nodes.drop(columns=["name", "x", "y"]), NODE_RESERVED)
    names: list[Scalar] = [ids[name] for name in graph.nodes["name"]]
    return ["Id", "Label", *_titles(columns)], [names, names, *(c.values for c in columns)]


def _edges(graph: ExportGraph, ids: dict[str, str]) -> tuple[list[str], list[list[Scalar]]]:
    table = graph.edges
    rest = table.drop(columns=["source", "target", "relation", "weight"])
    # Gephi reads titles without regard to case, so a column "kind" would be its "Kind".
    columns = typed_columns(rest.drop(columns="kind", errors="ignore"), (*EDGE_RESERVED, "kind"))
    kind = "Directed" if graph.directed else "Undirected"
    relation = table["relation"].tolist()
    own: list[list[Scalar]] = [
        [ids[name] for name in table["source"]],
        [ids[name] for name in table["target"]],
        [kind] * len(table),
        [f"e{row}" for row in range(len(table))],
        relation,
        table["weight"].tolist(),
        relation,
    ]
    titles = ["Source", "Target", "Type", "Id", "Label", "Weight", "Kind"]
    return titles + _titles(columns), own + [column.values for column in columns]


def _titles(columns: Iterable[Column]) -> list[str]:
    return [NOT_UTF8.sub("\ufffd", column.title) for column in columns]


def _rows(titles: list[str], columns: list[list[Scalar]]) -> Iterator[str]:
    for row in chain([titles], zip(*columns, strict=True)):
        yield ",".join("" if value is None else _cell(value) for value in row) + "\n"


def _cell(value: Scalar) -> str:
    """Quoted where needed; the csv module leaves a lone carriage return bare."""
    text = NOT_UTF8.sub("\ufffd", as_text(value))
    return '"' + text.replace('"', '""') + '"' if QUOTED.search(text) else text
