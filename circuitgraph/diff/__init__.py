"""What changed between two variants, edge by edge, and how sure one can be."""

from circuitgraph.diff.compare import compare_runs
from circuitgraph.diff.explain import Explanation, explain, explain_edge
from circuitgraph.diff.many import ManyDiff, compare_many
from circuitgraph.diff.record import CLAIMS, COLUMNS, VERDICTS, Diff

__all__ = [
    "CLAIMS",
    "COLUMNS",
    "VERDICTS",
    "Diff",
    "Explanation",
    "ManyDiff",
    "compare_many",
    "compare_runs",
    "explain",
    "explain_edge",
]
