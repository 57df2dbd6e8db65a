"""Runs made of files: activation tables, and circuit files of other programs."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from importlib.metadata import version

import numpy as np

from circuitgraph.base.components import digest
from circuitgraph.base.errors import UsageError
from circuitgraph.base.textfiles import undecodable
from circuitgraph.ingest.tables.table import FILE, ActivationTable
from circuitgraph.prompts.record import RunPrompt
from circuitgraph.runs.circuit_file import CircuitFile
from circuitgraph.runs.record import Method, Run, Variant, now, run_id


def table_run(table: ActivationTable, name: str, recipe: str = "") -> Run:
    """The correlation run of one activation table, not yet written.

    Activities are float32 (bfloat16, float16 and float32 values stay exact). The id depends on the
    name, the numbers and the names of rows and columns, never on their order or the file's format.

    Raises
    ------
    UsageError
        A name that is empty or cannot be written.
    """
    for text in (name, recipe):
        if undecodable(text) or not name:
            raise UsageError(f"{text!r} cannot be the name of a variant; choose another ``name``")
    table = table.canonical()
    activity = table.values.astype(np.float32) + np.float32(0)  # -0.0 becomes 0.0
    values = hashlib.sha256(activity.astype("<f4").tobytes()).hexdigest()
    prints = {"values": values, "components": digest(table.components)}
    variant = _variant(name, recipe, "table", "table", digest("table", *prints.values()), prints)
    method = Method(kind="correlation", granularity="table", activity="table")
    prompts = tuple(map(RunPrompt, table.prompt_ids, table.scenarios))
    fingerprint = digest("table", [(p.id, p.scenario) for p in prompts])
    run = _run(variant, method, prompts, fingerprint, table.source, {"activity": activity})
    return replace(run, components=table.components)


def circuit_run(circuit: CircuitFile, name: str, recipe: str, source: str) -> Run:
    """The effect run of a circuit file (read from ``source``), not yet written.

    Effects [1 × edges] are the scores as float32; no totals and no decisions. It can be compared
    with runs of circuits of the same model size only.
    """
    architecture = digest("circuit", circuit.layers, circuit.heads)
    prints = {"circuit": circuit.fingerprint}
    variant = _variant(name, recipe, "circuit", architecture, circuit.fingerprint, prints)
    variant = replace(variant, layers=circuit.layers, heads=circuit.heads)
    method = Method(kind="effect", estimator="imported", inputs="split", granularity="head")
    prompts = (RunPrompt(FILE, FILE, direction=1),)
    arrays = {"effects": circuit.scores.astype(np.float32)[None]}
    run = _run(variant, method, prompts, digest("circuit file"), source, arrays)
    return replace(run, edges=circuit.edges)


def _variant(
    name: str,
    recipe: str,
    kind: str,
    architecture: str,
    fingerprint: str,
    fingerprints: dict[str, str],
) -> Variant:
    """A variant without a model, of which nothing but a file is known."""
    return Variant(
        name=name,
        recipe=recipe,
        base="",
        adapter="",
        architecture=architecture,
        model_type=kind,
        layers=0,
        heads=0,
        kv_heads=0,
        parameters=0,
        fingerprint=fingerprint,
        fingerprints=fingerprints,
    )


def _run(
    variant: Variant,
    method: Method,
    prompts: tuple[RunPrompt, ...],
    fingerprint: str,
    source: str,
    arrays: dict[str, np.ndarray],
) -> Run:
    """A run of a file, without its columns."""
    return Run(
        id=run_id(variant, method, fingerprint),
        variant=variant,
        method=method,
        prompts=prompts,
        prompts_fingerprint=fingerprint,
        duplicates=0,
        components=(),
        edges=(),
        self_check={"source": source},
        versions={package: version(package) for package in ("circuitgraph", "numpy")},
        seed=0,
        created=now(),
        _arrays=arrays,
    )
