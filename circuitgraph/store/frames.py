"""Between pandas and Arrow, so that every store hands out the same plain types."""

from __future__ import annotations

from collections.abc import Mapping

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
    """The answer of a query with plain columns.

    Integers are int64, or Int64 where some are null; sums that come as decimals are
    numbers again; texts are ``object`` with None for null; nodes, relationships, maps
    and lists are plain dicts and lists.
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
    return pd.Series(values.to_pylist(), dtype=object)


def _integers(values: pa.ChunkedArray) -> pd.Series:
    if values.null_count:
        return pd.Series(values.to_pylist(), dtype="Int64")
    return values.to_pandas().astype("int64")


def _decimals(values: pa.ChunkedArray) -> pd.Series:
    """Integers where every decimal is whole and fits 64 bits, else floats."""
    given = [v for v in values.to_pylist() if v is not None]
    whole = all(v == v.to_integral_value() and abs(v) < 1 << 63 for v in given)
    if not whole:
        return values.cast(pa.float64()).to_pandas()
    return _integers(values.cast(pa.int64()))
