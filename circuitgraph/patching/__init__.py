"""Cross-model patching: which parts of one variant carry its decisions into another."""

from circuitgraph.patching.kept import FOLDER, discard, graph_parts, keep, load_transfers
from circuitgraph.patching.measure import cross_patch, require_alike
from circuitgraph.patching.record import CrossPatch

__all__ = [
    "FOLDER",
    "CrossPatch",
    "cross_patch",
    "discard",
    "graph_parts",
    "keep",
    "load_transfers",
    "require_alike",
]
