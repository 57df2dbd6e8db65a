"""Activation tables: one number per prompt and component, read from a file.

No model, no prompt texts, no torch; names of components stay verbatim.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from circuitgraph.base.components import in_order
from circuitgraph.base.textfiles import file_kind
from circuitgraph.ingest.tables.cells import Wide, check_wide
from circuitgraph.ingest.tables.csv import csv_cells
from circuitgraph.ingest.tables.json import json_cells

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
