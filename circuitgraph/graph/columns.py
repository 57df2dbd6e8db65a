"""Columns of a table as plain Python values, and the parts of components' names.

Graph libraries and file formats know ``bool``, ``int``, ``float`` and ``str`` only, no numpy
scalars, pandas missing values or categories.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable

import numpy as np
import pandas as pd

from circuitgraph.base.components import parse
from circuitgraph.base.errors import InputError

Scalar = bool | int | float | str | None


def plain_values(column: pd.Series) -> list[Scalar]:
    """Values of a column as ``bool``, ``int``, ``float``, ``str``; missing ones (NaN too) are None.

    Raises
    ------
    InputError
        A value is something else, such as a list.

    Examples
    --------
    >>> plain_values(pd.Series([1.5, float("nan")]))
    [1.5, None]
    """
    if isinstance(column.dtype, pd.CategoricalDtype):
        texts = plain_values(column.cat.categories.to_series())
        return [None if code < 0 else texts[code] for code in column.cat.codes.tolist()]
    missing = column.isna().tolist()
    rows = zip(column.tolist(), missing, strict=True)
    if isinstance(column.dtype, np.dtype) and column.dtype.kind in "biuf":
        return [None if gone else value for value, gone in rows]
    name = column.name
    return [None if gone else _scalar(v, name, i) for i, (v, gone) in enumerate(rows)]


def _scalar(value: object, column: Hashable, row: int) -> Scalar:
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, bool | int | float | str):
        return value
    raise InputError(
        f"column {column!r}, row {row + 1}: a {type(value).__name__} cannot be an attribute of "
        "a graph; give text, numbers or booleans"
    )


def endpoints(edges: pd.DataFrame) -> list[str]:
    """Every name that occurs as source or target, in order of first appearance."""
    both = pd.concat([edges["source"].astype(object), edges["target"].astype(object)])
    return [str(name) for name in pd.unique(both)]


def node_table(names: Iterable[str]) -> pd.DataFrame:
    """One row a component: ``name``, ``kind`` (``head``, ``mlp`` …), ``layer``, ``head``."""
    parts = [parse(name) for name in names]
    return pd.DataFrame(
        {
            # Plain objects: pandas' own strings cannot hold lone surrogates.
            "name": pd.Series([part.name for part in parts], dtype=object),
            "kind": pd.Series([part.kind for part in parts], dtype=object),
            "layer": pd.Series([part.layer for part in parts], dtype="Int64"),
            "head": pd.Series([part.head for part in parts], dtype="Int64"),
        }
    )
