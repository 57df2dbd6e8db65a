"""Which connections between a transformer's parts did fine-tuning change?

The public API; the command line says the same.

Examples
--------
>>> from circuitgraph import Workspace
>>> workspace = Workspace("study")  # doctest: +SKIP
>>> workspace.ingest("./base", name="base", prompts="prompts.jsonl")  # doctest: +SKIP
>>> workspace.diff("base", "tuned").claims  # doctest: +SKIP
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from circuitgraph import plant
    from circuitgraph.base.errors import (
        CircuitGraphError,
        InputError,
        StoreUnreachable,
        UsageError,
    )
    from circuitgraph.diff.record import Diff
    from circuitgraph.models.tasks import make_prompts
    from circuitgraph.models.variants import LoadedVariant, load_variant
    from circuitgraph.prompts import Prompt, PromptSet, read_prompts
    from circuitgraph.runs.record import Run, Variant
    from circuitgraph.updates.entry import check
    from circuitgraph.updates.record import Check
    from circuitgraph.workspace import Workspace

__all__ = [
    "Check",
    "CircuitGraphError",
    "Diff",
    "InputError",
    "LoadedVariant",
    "Prompt",
    "PromptSet",
    "Run",
    "StoreUnreachable",
    "UsageError",
    "Variant",
    "Workspace",
    "check",
    "load_variant",
    "make_prompts",
    "plant",
    "read_prompts",
]


_PLACES = {
    "base.errors": ("CircuitGraphError", "InputError", "StoreUnreachable", "UsageError"),
    "diff.record": ("Diff",),
    "models.tasks": ("make_prompts",),
    "models.variants": ("LoadedVariant", "load_variant"),
    "prompts": ("Prompt", "PromptSet", "read_prompts"),
    "runs.record": ("Run", "Variant"),
    "updates.entry": ("check",),
    "updates.record": ("Check",),
    "workspace": ("Workspace",),
}


def __getattr__(name: str) -> Any:
    # Nothing is imported before it is used: help takes no tables, and tables take no torch.
    if name == "plant":
        return import_module("circuitgraph.plant")
    for module, names in _PLACES.items():
        if name in names:
            return getattr(import_module(f"circuitgraph.{module}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return __all__
