"""Edge-by-edge comparison of two variants, with verdicts and evidence."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from circuitgraph.diff.compare import compare_runs
    from circuitgraph.diff.explain import Explanation, explain_edge
    from circuitgraph.diff.many import ManyDiff, compare_many
    from circuitgraph.diff.record import CLAIMS, COLUMNS, VERDICTS, Diff

_PLACES = {
    "compare": ("compare_runs",),
    "explain": ("Explanation", "explain_edge"),
    "many": ("ManyDiff", "compare_many"),
    "record": ("CLAIMS", "COLUMNS", "VERDICTS", "Diff"),
}

__all__ = [
    "CLAIMS",
    "COLUMNS",
    "VERDICTS",
    "Diff",
    "Explanation",
    "ManyDiff",
    "compare_many",
    "compare_runs",
    "explain_edge",
]


def __getattr__(name: str) -> Any:
    # A kept diff is shown without what measures one.
    for module, names in _PLACES.items():
        if name in names:
            return getattr(import_module(f"circuitgraph.diff.{module}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
