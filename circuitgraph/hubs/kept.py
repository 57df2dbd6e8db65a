"""Hubs of change kept beside their diff, and read again instead of computed again."""

from __future__ import annotations

import contextlib

import pandas as pd

from circuitgraph.base.errors import InputError
from circuitgraph.diff.kept import AGAIN, DiffFolder
from circuitgraph.diff.record import Diff
from circuitgraph.hubs.change import facts_of, hubs_of_change
from circuitgraph.runs.artefacts import get, put


def kept_hubs(
    diff: Diff, folder: DiffFolder, direction: str, seed: int, samples: int
) -> pd.DataFrame:
    """The table of :func:`hubs_of_change`; raises as that."""
    file = folder.hubs_file(diff.id, direction, seed, samples)
    with contextlib.suppress(InputError):  # a damaged file is written anew
        table = get(file, pd.DataFrame, AGAIN)
        if table is not None:
            table = table.astype(dict.fromkeys(("component", "kind"), object))
            table.attrs = facts_of(diff, seed)
            return table
    table = hubs_of_change(diff, direction=direction, seed=seed, samples=samples)
    put(file, table)
    return table
