"""Files kept beside runs and diffs: ``.json``, ``.parquet`` tables, ``.safetensors`` arrays.

All are written atomically, read with a message how to make a damaged one again, and removed
with the runs they belong to.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Iterator, Mapping
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from filelock import FileLock
from safetensors import SafetensorError
from safetensors.numpy import load_file, save

from circuitgraph.base.atomic import write_atomic
from circuitgraph.base.errors import InputError, first_line

T = TypeVar("T")
ByEdge = dict[int, dict[str, np.ndarray]]
"""Arrays of single edges, by column of a run's effects and by name."""


def put(file: Path, kept: Any, *, indent: int | None = 1) -> None:
    """Write a record, a pandas table or arrays by name, by the extension, atomically.

    ``indent`` is of records; None leaves out white space between lines.
    """
    if file.suffix == ".parquet":
        from circuitgraph.base.frames import write_parquet

        write_parquet(kept, file)
    elif file.suffix == ".safetensors":
        write_atomic(file, save({name: np.ascontiguousarray(v) for name, v in kept.items()}))
    else:
        write_atomic(file, json.dumps(kept, ensure_ascii=True, indent=indent).encode("ascii"))


def get(file: Path | None, parse: Callable[[Any], T], again: str) -> T | None:
    """The contents of a file; None where there is none.

    Parameters
    ----------
    parse : callable
        Makes the result of the record, table or arrays; its exceptions mean a damaged file.
    again : str
        How to make the file again, for the message: ``"diff again"``.

    Raises
    ------
    InputError
        The file is damaged.
    """
    if file is None or not file.is_file():
        return None
    try:
        return parse(_read(file))
    except (OSError, SafetensorError, ValueError, LookupError, TypeError, AttributeError) as error:
        why = f"cannot be read ({first_line(error)}); remove the file and {again}"
        raise InputError(f"{file}: {why}") from error


def _read(file: Path) -> Any:
    if file.suffix == ".parquet":
        import pandas as pd

        return pd.read_parquet(file)
    if file.suffix == ".safetensors":
        return load_file(file)
    return json.loads(file.read_text("ascii"))


def records(folder: Path, parse: Callable[[Any], T], again: str) -> Iterator[tuple[Path, T]]:
    """Every record (``*.json``) of a folder with its file; raises as :func:`get`."""
    for file in sorted(folder.glob("*.json")):
        found = get(file, parse, again)
        if found is not None:
            yield file, found


def resting_on(
    runs: Collection[str], folder: Path, named: Callable[[Any], Collection[str]], again: str
) -> list[Path]:
    """Files of every record in a folder that names one of these runs, the record last.

    A record ``ID.json`` owns all ``ID.*``; raises as :func:`get`.
    """
    found: list[Path] = []
    for file, ids in records(folder, named, again):
        if set(runs) & set(ids):
            found += [other for other in sorted(folder.glob(f"{file.stem}.*")) if other != file]
            found.append(file)
    return found


def read_by_edge(file: Path | None) -> ByEdge:
    """Arrays of single edges, by column of a run's effects; raises as :func:`get`."""
    return get(file, _by_edge, "diff again") or {}


def keep_by_edge(file: Path | None, found: ByEdge) -> None:
    """Add arrays of single edges to a file beside a run; nothing where ``file`` is None.

    All edges have the same names; each array is kept with the edge as its last axis.
    """
    if file is None:
        return
    run = file.parent
    with FileLock(run.with_name(f".{run.name}.lock")):  # another process may be adding to it
        known = {**read_by_edge(file), **found}
        columns = sorted(known)
        arrays = {key: np.stack([known[c][key] for c in columns], -1) for key in known[columns[0]]}
        put(file, {"edges": np.array(columns, np.int64), **arrays})


def _by_edge(arrays: Mapping[str, np.ndarray]) -> ByEdge:
    columns = arrays["edges"].tolist()
    rest = {key: array for key, array in arrays.items() if key != "edges"}
    if any(array.shape[-1] != len(columns) for array in rest.values()):
        raise ValueError("not one column an edge")
    return {edge: {key: a[..., i] for key, a in rest.items()} for i, edge in enumerate(columns)}
