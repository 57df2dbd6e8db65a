"""Cross-model activation patching, and tests of blocks of claims."""

from circuitgraph.interventions.patching.blocks import BlockTests, confirm_blocks
from circuitgraph.interventions.patching.corruption import second_corruption
from circuitgraph.interventions.patching.kept import (
    FOLDER,
    keep,
    keep_moved,
    kept_of,
    kept_patch,
    load_transfers,
)
from circuitgraph.interventions.patching.measure import cross_patch, require_alike
from circuitgraph.interventions.patching.record import CrossPatch, Options

__all__ = [
    "FOLDER",
    "BlockTests",
    "CrossPatch",
    "Options",
    "confirm_blocks",
    "cross_patch",
    "keep",
    "keep_moved",
    "kept_of",
    "kept_patch",
    "load_transfers",
    "require_alike",
    "second_corruption",
]
