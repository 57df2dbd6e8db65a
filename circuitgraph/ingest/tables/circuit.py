"""A circuit file becomes a run: a score an edge, without anything to test it by."""

from __future__ import annotations

from importlib.metadata import version

import numpy as np

from circuitgraph.base.components import digest
from circuitgraph.prompts.record import RunPrompt
from circuitgraph.runs.circuit_file import CircuitFile
from circuitgraph.runs.record import Method, Run, Variant, now, run_id

FILE = "the file"
"""Stands for the prompts, of which a circuit file says nothing."""


def circuit_run(circuit: CircuitFile, name: str, recipe: str, source: str) -> Run:
    """The effect run of a circuit file (read from ``source``), not yet written.

    Effects [1 × edges] are the scores as float32; no totals and no decisions. It can be compared
    with runs of circuits of the same model size only.
    """
    variant = _variant(circuit, name, recipe)
    method = Method(kind="effect", estimator="imported", inputs="split", granularity="head")
    prints = digest("circuit file")
    return Run(
        id=run_id(variant, method, prints),
        variant=variant,
        method=method,
        prompts=(RunPrompt(FILE, FILE, direction=1),),
        prompts_fingerprint=prints,
        duplicates=0,
        components=(),
        edges=circuit.edges,
        self_check={"source": source},
        versions={package: version(package) for package in ("circuitgraph", "numpy")},
        seed=0,
        created=now(),
        _arrays={"effects": circuit.scores.astype(np.float32)[None]},
    )


def _variant(circuit: CircuitFile, name: str, recipe: str) -> Variant:
    return Variant(
        name=name,
        recipe=recipe,
        base="",
        adapter="",
        architecture=digest("circuit", circuit.layers, circuit.heads),
        model_type="circuit",
        layers=circuit.layers,
        heads=circuit.heads,
        kv_heads=0,
        parameters=0,
        fingerprint=circuit.fingerprint,
        fingerprints={"circuit": circuit.fingerprint},
    )
