"""Graph files for Gephi, Cytoscape, networkx and igraph."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from circuitgraph.base.errors import InputError, UsageError
from circuitgraph.export.cx2 import write_cx2
from circuitgraph.export.files import SUFFIXES
from circuitgraph.export.gephi_csv import write_gephi_csv
from circuitgraph.export.gexf import write_gexf
from circuitgraph.export.graphml import write_graphml
from circuitgraph.export.mib import write_mib
from circuitgraph.export.model import ExportGraph
from circuitgraph.export.neo4j_admin import import_command, write_neo4j_admin
from circuitgraph.export.neuronpedia import write_neuronpedia

_WRITERS: dict[str, Callable[[ExportGraph, Path], Path | list[Path]]] = {
    "gexf": write_gexf,
    "graphml": write_graphml,
    "csv": write_gephi_csv,
    "cx2": write_cx2,
    "neuronpedia": write_neuronpedia,
}
FORMATS = tuple(_WRITERS)

__all__ = [
    "FORMATS",
    "ExportGraph",
    "export_graph",
    "import_command",
    "require_file",
    "write_mib",
    "write_neo4j_admin",
]


def export_graph(graph: ExportGraph, format: str, path: str | Path) -> list[Path]:
    """Write a graph in one of the formats.

    Parameters
    ----------
    graph
        From :meth:`ExportGraph.from_runs` or :meth:`ExportGraph.from_diff`.
    format
        ``gexf``, ``graphml``, ``cx2``, ``neuronpedia`` (one file each) or ``csv`` (``nodes.csv``
        and ``edges.csv`` in the folder ``path``).
    path
        The file, or for ``csv`` the folder.

    Returns
    -------
    list of Path
        The files written; each appears only when whole.

    Raises
    ------
    UsageError
        Unknown format, or a folder where a file is asked for.
    InputError
        The files cannot be written.
    """
    path = Path(path)
    if format not in FORMATS:
        raise UsageError(f"unknown format {format!r}; choose one of {', '.join(FORMATS)}")
    if format != "csv":
        require_file(path, format)
    written = _WRITERS[format](graph, path)
    return written if isinstance(written, list) else [written]


def require_file(path: Path, format: str) -> None:
    """Require a path that a file can be written to; raises UsageError."""
    if path.is_dir():
        example = f"graph.{SUFFIXES.get(format, format)}"
        raise UsageError(f"{path} is a folder; name the file to write, such as {example}")
    if not path.parent.is_dir():
        raise InputError(f"{path}: there is no folder {path.parent}; make it first")
