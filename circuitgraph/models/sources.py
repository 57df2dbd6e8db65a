"""Checks, before long work, that the models of runs exist and can be read."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from circuitgraph.base.errors import InputError, quoted
from circuitgraph.engine.families import require_one_mlp, require_reader
from circuitgraph.models.memory import require_held
from circuitgraph.models.variants import fingerprints
from circuitgraph.runs.comparable import require_model
from circuitgraph.runs.record import Run, Variant


def require_readable(runs: Sequence[Run], command: str) -> None:
    """Refuse tables and families without a reader, and models no longer in memory."""
    for run in runs:
        require_model(run.variant)
        if run.variant.in_memory:
            require_held(run.variant)
        require_reader(run.variant.model_type, command)


def require_sources(runs: Sequence[Run]) -> None:
    """Refuse runs whose models the wiring lens cannot load.

    Raises
    ------
    UsageError
        As :func:`require_readable`; a mixture of experts.
    InputError
        Files that are gone, or no longer those ingested.
    """
    require_readable(runs, "wiring")
    for run in runs:
        require_one_mlp(run.variant.model_type, "wiring")
    variants = {run.variant.id: run.variant for run in runs}
    for variant in variants.values():
        _require_files(variant)


def _require_files(variant: Variant) -> None:
    if variant.in_memory:
        return  # asked for above
    adapter = Path(variant.adapter) if variant.adapter else None
    found = fingerprints(variant.base, adapter)
    changed = [part for part in found if found[part] != variant.fingerprints.get(part)]
    if changed:
        raise InputError(
            f"variant {quoted(variant.name)}: the {changed[0]} in "
            f"{variant.adapter if changed[0] == 'adapter' else variant.base} are no longer those "
            "ingested; remove the variant and ingest it again"
        )
