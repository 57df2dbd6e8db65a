"""Activation tables become runs: one number per prompt and component.

No model, no prompt texts, no torch; names of components stay verbatim.
"""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass
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
from circuitgraph.runs.record import Method, Run, Variant, now, run_id

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
    variant = _variant(table.components, activity, name, recipe)
    method = Method(kind="correlation", granularity="table", activity="table")
    prompts = tuple(map(RunPrompt, table.prompt_ids, table.scenarios))
    fingerprint = digest("table", [(p.id, p.scenario) for p in prompts])
    return Run(
        id=run_id(variant, method, fingerprint),
        variant=variant,
        method=method,
        prompts=prompts,
        prompts_fingerprint=fingerprint,
        duplicates=0,
        components=table.components,
        edges=(),
        self_check={"source": table.source},
        versions={package: version(package) for package in ("circuitgraph", "numpy")},
        seed=0,
        created=now(),
        _arrays={"activity": activity},
    )


def _variant(components: tuple[str, ...], activity: np.ndarray, name: str, recipe: str) -> Variant:
    values = hashlib.sha256(activity.astype("<f4").tobytes()).hexdigest()
    fingerprints = {"values": values, "components": digest(components)}
    return Variant(
        name=name,
        recipe=recipe,
        base="",
        adapter="",
        architecture="table",
        model_type="table",
        layers=0,
        heads=0,
        kv_heads=0,
        parameters=0,
        fingerprint=digest("table", *fingerprints.values()),
        fingerprints=fingerprints,
    )
