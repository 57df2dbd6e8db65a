"""Cross-model patching: which parts of one variant carry its decisions into another."""

from circuitgraph.patching.blocks import BlockTests, confirm_blocks
from circuitgraph.patching.corruption import second_corruption
from circuitgraph.patching.kept import FOLDER, graph_parts, keep, kept_of, load_transfers
from circuitgraph.patching.measure import cross_patch, require_alike
from circuitgraph.patching.record import CrossPatch

__all__ = [
    "FOLDER",
    "BlockTests",
    "CrossPatch",
    "confirm_blocks",
    "cross_patch",
    "graph_parts",
    "keep",
    "kept_of",
    "load_transfers",
    "require_alike",
    "second_corruption",
]
