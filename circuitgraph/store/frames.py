"""Conversion between pandas and Arrow with plain types."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from datetime import date, time
from typing import Any

import pandas as pd
import pyarrow as pa

_ARROW = {"string": pa.large_string(), "int": pa.int64(), "float": pa.float64()}


def to_arrow(frame: pd.DataFrame, columns: Mapping[str, str]) -> pa.Table:
    """A typed table for bulk loading; missing values become null.

    Texts are ``large_string``: one column may hold more than 2 GiB of long names.
    """
    arrays = {
        name: pa.array(frame[name], type=_ARROW[kind], from_pandas=True)
        for name, kind in columns.items()
    }
    return pa.table(arrays)


def from_arrow(table: pa.Table) -> pd.DataFrame:
    """Result of a query with plain columns.

    Integers are int64, or Int64 where some are null; sums that come as decimals are
    numbers again; texts are ``object`` with None for null; maps and lists are plain dicts
    and lists; nodes, relationships and paths as in :func:`plain`.
    """
    columns = [_column(table.column(i)) for i in range(table.num_columns)]
    frame = pd.DataFrame(dict(enumerate(columns)), index=range(table.num_rows))
    frame.columns = pd.Index(table.column_names, dtype=object)
    return frame


def _column(values: pa.ChunkedArray) -> pd.Series:
    kind = values.type
    if pa.types.is_floating(kind):
        return values.to_pandas()
    if pa.types.is_integer(kind):
        return _integers(values)
    if pa.types.is_decimal(kind):
        return _decimals(values)
    if pa.types.is_boolean(kind) and not values.null_count:
        return values.to_pandas()
    return pd.Series([plain(value) for value in values.to_pylist()], dtype=object)


def _integers(values: pa.ChunkedArray) -> pd.Series:
    if values.null_count:
        return pd.Series(values.to_pylist(), dtype="Int64")
    return values.to_pandas().astype("int64")


def _decimals(values: pa.ChunkedArray) -> pd.Series:
    """Decimals as integers if all are whole and fit 64 bits, else floats."""
    given = [v for v in values.to_pylist() if v is not None]
    whole = all(v == v.to_integral_value() and abs(v) < 1 << 63 for v in given)
    if not whole:
        return values.cast(pa.float64()).to_pandas()
    return _integers(values.cast(pa.int64()))


def from_records(names: Sequence[str], rows: Sequence[Sequence[Any]]) -> pd.DataFrame:
    """The answer of a query given as rows of Python values, in the types of `from_arrow`."""
    cells = zip(*rows, strict=True) if rows else ([] for _ in names)
    columns = {i: _from_values(list(values)) for i, values in enumerate(cells)}
    frame = pd.DataFrame(columns, index=range(len(rows)))
    frame.columns = pd.Index(names, dtype=object)
    return frame


def _from_values(values: list[Any]) -> pd.Series:
    kinds = {type(value) for value in values}
    if kinds == {bool}:
        return pd.Series(values, dtype=bool)
    if kinds and kinds <= {int, float, type(None)} and float in kinds:
        return pd.Series(values, dtype=float)
    if int in kinds and kinds <= {int, type(None)}:
        return pd.Series(values, dtype="Int64" if type(None) in kinds else "int64")
    return pd.Series([plain(value) for value in values], dtype=object)


def plain(value: Any) -> Any:
    """A value as dicts, lists, texts and numbers, alike for all stores.

    Nodes and relationships are their properties and ``_LABEL``; a property that is null
    is left out. Paths are ``{"_NODES": [...], "_RELS": [...]}``. Times are ISO texts.
    """
    # Where nobody imported the driver, nothing is the driver's.
    if "neo4j" in sys.modules and (found := _of_a_server(value)) is not None:
        return found
    if isinstance(value, Mapping):
        inner = ("_ID", "_SRC", "_DST")
        entity = "_LABEL" in value
        return {
            name: plain(item)
            for name, item in value.items()
            if not entity or (name not in inner and item is not None)
        }
    if isinstance(value, list):
        return [plain(item) for item in value]
    return value.isoformat() if isinstance(value, date | time) else value


def _of_a_server(value: Any) -> Any:
    """What the driver of Neo4j hands out as builtin types; None for anything else."""
    from neo4j.graph import Node, Path, Relationship
    from neo4j.time import Date, DateTime, Duration, Time

    if isinstance(value, Path):
        return {"_NODES": plain(list(value.nodes)), "_RELS": plain(list(value.relationships))}
    if isinstance(value, Node):
        return {"_LABEL": ":".join(sorted(value.labels)), **plain(dict(value))}
    if isinstance(value, Relationship):
        return {"_LABEL": value.type, **plain(dict(value))}
    if isinstance(value, Date | DateTime | Duration | Time):
        return value.iso_format()
    return None


def plain_rows(frame: pd.DataFrame, names: Sequence[str]) -> list[list[Any]]:
    """Rows of some columns as lists of Python values, None for what is missing."""
    columns = []
    for name in names:
        values = frame[name]
        missing = values.isna()
        cells = values.astype(object)
        columns.append((cells.where(~missing, None) if missing.any() else cells).tolist())
    return [list(row) for row in zip(*columns, strict=True)]
