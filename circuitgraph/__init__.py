"""Which connections between a transformer's parts did fine-tuning change?

The public API; the command line says the same.

Example:
    >>> from circuitgraph import Workspace
    >>> workspace = Workspace("study")  # doctest: +SKIP
    >>> workspace.ingest("./base", name="base", prompts="prompts.jsonl")  # doctest: +SKIP
    >>> workspace.diff("base", "tuned").claims  # doctest: +SKIP
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from circuitgraph.base.errors import CircuitGraphError, InputError, StoreUnreachable, UsageError
from circuitgraph.diff.record import Diff
from circuitgraph.prompts import Prompt, PromptSet, read_prompts
from circuitgraph.runs.record import Run, Variant
from circuitgraph.workspace import Workspace

if TYPE_CHECKING:
    from circuitgraph import plant
    from circuitgraph.models.variants import LoadedVariant, load_variant

__all__ = [
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
    "load_variant",
    "plant",
    "read_prompts",
]


def __getattr__(name: str) -> Any:
    # Tables and diffs must not wait for torch.
    if name == "plant":
        return import_module("circuitgraph.plant")
    if name in ("load_variant", "LoadedVariant"):
        from circuitgraph.models import variants

        return getattr(variants, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
