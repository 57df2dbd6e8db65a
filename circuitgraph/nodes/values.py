"""Values of components of a run, measured once and kept beside it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from circuitgraph.base.components import digest
from circuitgraph.base.progress import Reporter
from circuitgraph.base.quoting import quoted
from circuitgraph.nodes.record import Measure, Node, NodeValues
from circuitgraph.runs import artefacts
from circuitgraph.runs.record import Run

METHOD = 1
"""Version of all measures; values kept by another version are measured again."""


def values_of(
    run: Run, measure: Measure, reporter: Reporter, extra: Sequence[Any] = ()
) -> NodeValues:
    """All values of a run's model on its prompts.

    Parameters
    ----------
    run
        Of a kind that the measure takes.
    measure
        What is measured.
    extra
        Further arguments of the measure, as plain JSON values.

    Raises
    ------
    UsageError, InputError
        A table, a family without a reader, files that are gone or changed.
    """
    name = f"nodes-{measure.name}-{digest(METHOD, list(extra))[:12]}"
    record, arrays = run.beside(f"{name}.json"), run.beside(f"{name}.safetensors")
    kept = _kept(record, arrays)
    if kept is not None:
        return kept
    from circuitgraph.models.stored import StoredModel

    reporter.remark(f"{measure.name} of {quoted(run.variant.name)}: {run.n} prompts")
    found = measure.measure(StoredModel.open(run, f"nodes {measure.name}"), *extra)
    if record is not None and arrays is not None:
        artefacts.put(arrays, {"values": found.values.astype(np.float32)})
        artefacts.put(record, {"nodes": [list(n) for n in found.nodes], "facts": found.facts})
    return found


def has_values(run: Run, measure: str) -> bool:
    """Whether values of a measure are kept beside a run."""
    return bool(_records(run, measure))


def kept_values(run: Run, measure: str) -> NodeValues | None:
    """The newest kept values of a measure, whatever its further arguments."""
    files = _records(run, measure)
    if not files:
        return None
    newest = max(files, key=lambda file: file.stat().st_mtime)
    return _kept(newest, newest.with_suffix(".safetensors"))


def _records(run: Run, measure: str) -> list[Path]:
    return [] if run.path is None else list(run.path.glob(f"nodes-{measure}-*.json"))


def _kept(record: Path | None, arrays: Path | None) -> NodeValues | None:
    """Values from a record and its arrays; None unless both are there."""
    about: dict[str, Any] | None = artefacts.get(record, dict, "ask again")
    kept = None if about is None else artefacts.get(arrays, dict, "ask again")
    if about is None or kept is None:
        return None
    return NodeValues(tuple(Node(*n) for n in about["nodes"]), kept["values"], about["facts"])
