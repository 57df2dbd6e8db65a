"""Files become runs: activation tables, one number per prompt and component, and circuit files.

No model, no prompt texts, no torch; names of components stay verbatim.
"""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass, replace
from importlib.metadata import version
from pathlib import Path

import numpy as np

from circuitgraph.base.components import digest, in_order
from circuitgraph.base.errors import UsageError
from circuitgraph.base.textfiles import file_kind, undecodable
from circuitgraph.ingest.tables.cells import Wide, check_wide
from circuitgraph.ingest.tables.csv import csv_cells
from circuitgraph.ingest.tables.json import json_cells
from circuitgraph.prompts.record import RunPrompt
from circuitgraph.runs.circuit_file import CircuitFile
from circuitgraph.runs.record import Method, Run, Variant, now, run_id

FILE = "the file"
"""Stands for the prompts, of which a circuit file says nothing."""
READS = "reads activation tables from csv, parquet and json; never from pickle or npz"


@dataclass(frozen=True)
class ActivationTable:
    """Activities of components on prompts, as in a file.

    Attributes
    ----------
    prompt_ids, scenarios : tuple of str
        Of every row; ids are distinct.
    components : tuple of str
        Of every column, verbatim and distinct.
    values : float64 [prompts × components]
        Finite, in the table's own units.
    source : str
        The file.
    """

    prompt_ids: tuple[str, ...]
    scenarios: tuple[str, ...]
    components: tuple[str, ...]
    values: np.ndarray
    source: str

    def canonical(self) -> ActivationTable:
        """The same table with rows sorted by prompt id and columns in order of computation."""
        rows = sorted(range(len(self.prompt_ids)), key=self.prompt_ids.__getitem__)
        column = {name: i for i, name in enumerate(self.components)}
        components = in_order(self.components)
        return ActivationTable(
            tuple(self.prompt_ids[i] for i in rows),
            tuple(self.scenarios[i] for i in rows),
            tuple(components),
            self.values[np.ix_(rows, [column[name] for name in components])],
            self.source,
        )


def read_table(path: str | os.PathLike[str]) -> ActivationTable:
    """Read an activation table; file order is kept, duplicates included.

    Parameters
    ----------
    path
        ``.csv`` or ``.parquet``, long (columns ``prompt_id, scenario, component, value``;
        others are ignored) or wide (``prompt_id``, ``scenario`` and one column a
        component); or ``.json``: a list of objects ``{model_id, scenario, variant,
        component_activations: {component: value}}``, whose prompt ids become
        ``<scenario>_v<variant>``.

    Raises
    ------
    InputError
        A missing column or cell, a value that is not finite, an empty or repeated name, a prompt
        in two scenarios, a file that is truncated, too large or something else; with line, row
        or column.
    """
    path = Path(path)
    kind = file_kind(path, (".csv", ".parquet", ".json"), READS)
    if kind == ".parquet":
        # pyarrow takes a third of a second to import, which the other formats need not wait for
        from circuitgraph.ingest.tables.parquet import parquet_cells

        wide = parquet_cells(path)
    else:
        wide = csv_cells(path) if kind == ".csv" else json_cells(path)
    check_wide(path, wide)
    return _table(wide, path)


def _table(wide: Wide, path: Path) -> ActivationTable:
    return ActivationTable(
        tuple(wide.prompt_ids),
        tuple(wide.scenarios),
        tuple(wide.components),
        wide.values,
        str(path),
    )


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
