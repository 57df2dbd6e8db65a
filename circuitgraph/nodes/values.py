"""Values of components of a run, measured once and kept beside it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from circuitgraph.base.components import digest
from circuitgraph.base.errors import quoted
from circuitgraph.base.progress import Reporter
from circuitgraph.nodes.record import Measure, Node, NodeValues
from circuitgraph.runs import artefacts
from circuitgraph.runs.record import Run

LABELLED = ("probe",)
"""Measures of which several are kept beside a run, one a label."""
METHOD = 2
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
    kept = _kept(record, arrays, measure.name)
    if kept is not None:
        return kept
    from circuitgraph.models.hooked import opened

    model = opened(run, f"nodes {measure.name}")
    reporter.remark(f"{measure.name} of {quoted(run.variant.name)}: {run.n} prompts")
    found = measure.measure(model, *extra)
    if record is not None and arrays is not None:
        groups = {} if found.groups is None else {"groups": found.groups}
        artefacts.put(arrays, {"values": found.values.astype(np.float32), **groups})
        artefacts.put(record, {"nodes": [list(n) for n in found.nodes], "facts": found.facts})
    return found


def kept_values(run: Run, measure: str) -> dict[str, NodeValues]:
    """Newest kept values of a measure of a run, by the label of probes; "" of other measures."""
    found: dict[str, NodeValues] = {}
    for file in sorted(_records(run, measure), key=lambda file: file.stat().st_mtime):
        values = _kept(file, file.with_suffix(".safetensors"), measure)
        if values is not None and (measure not in LABELLED or "label" in values.facts):
            found[str(values.facts.get("label", ""))] = values
    return found


def kept_labels(run: Run, measure: str) -> list[str]:
    """The keys of :func:`kept_values`, without reading arrays."""
    if measure not in LABELLED:
        return [""] if _records(run, measure) else []
    records = (artefacts.get(file, dict, "ask again") or {} for file in _records(run, measure))
    labels = {record.get("facts", {}).get("label") for record in records}
    return sorted(str(label) for label in labels if label is not None)


def _records(run: Run, measure: str) -> list[Path]:
    return [] if run.path is None else list(run.path.glob(f"nodes-{measure}-*.json"))


def _kept(record: Path | None, arrays: Path | None, measure: str) -> NodeValues | None:
    """Values from a record and its arrays; None unless both are there, or without their groups."""
    about: dict[str, Any] | None = artefacts.get(record, dict, "ask again")
    kept = None if about is None else artefacts.get(arrays, dict, "ask again")
    if about is None or kept is None or (measure in LABELLED and "groups" not in kept):
        return None
    nodes = tuple(Node(*n) for n in about["nodes"])
    return NodeValues(nodes, kept["values"], about["facts"], kept.get("groups"))
