"""Activation tables in parquet, long or wide; sizes are checked first."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from circuitgraph.base.errors import quoted
from circuitgraph.base.textfiles import fail
from circuitgraph.ingest.tables.cells import (
    KEYS,
    LONG,
    MAX_CELLS,
    Coded,
    Long,
    Wide,
    check_size,
    is_long,
    widen,
)

MAX_BYTES = 1 << 30
"""Compressed columns of repeated text grow without bound, so their size is checked first."""


def parquet_cells(path: Path) -> Wide:
    """Read a parquet table; long where it has columns ``component`` and ``value``."""
    try:
        with pq.ParquetFile(path) as file:
            return _cells(path, file)
    except (pa.ArrowException, OSError, ValueError) as error:
        reason = quoted(" ".join(str(error).split()), 100)
        fail(path, None, f"cannot be read as parquet ({reason}); it may be cut off, write it again")


def _cells(path: Path, file: pq.ParquetFile) -> Wide:
    schema = file.schema_arrow
    long = is_long(path, schema.names, None, "there are")
    components = [] if long else _components(schema)
    rows = file.metadata.num_rows
    check_size(path, rows, 1 if long else len(components))
    _check_bytes(path, file)
    # names stay dictionary-encoded: a long one repeated a million times stays one name
    texts = [
        name for name in LONG[:3] if name in schema.names and _is_text(schema.field(name).type)
    ]
    with pq.ParquetFile(
        path, metadata=file.metadata, read_dictionary=texts, page_checksum_verification=True
    ) as encoded:
        table = encoded.read(columns=list(LONG) if long else None)
    table.validate(full=True)
    return _long(path, table) if long else _wide(path, table, components)


def _components(schema: pa.Schema) -> list[int]:
    """Columns that are components: neither keys nor the index of pandas."""
    written = (schema.pandas_metadata or {}).get("index_columns", [])
    index = {name for name in written if isinstance(name, str)}
    return [i for i, name in enumerate(schema.names) if name not in KEYS and name not in index]


def _check_bytes(path: Path, file: pq.ParquetFile) -> None:
    groups = [file.metadata.row_group(i) for i in range(file.metadata.num_row_groups)]
    size = sum(group.total_byte_size for group in groups)
    if size > MAX_BYTES or sum(group.num_rows for group in groups) > MAX_CELLS:
        limit = f"at most {MAX_BYTES >> 20} MiB and {MAX_CELLS:,} rows"
        fail(path, None, f"{size >> 20} MiB once unpacked are too many ({limit})")


def _wide(path: Path, table: pa.Table, columns: Sequence[int]) -> Wide:
    prompts, scenarios = (_names(path, table, name) for name in KEYS)
    values = np.empty((table.num_rows, len(columns)))
    for k, i in enumerate(columns):
        values[:, k] = _numbers(path, table, i)
    return Wide(
        [prompts.names[code] for code in prompts.codes],
        [scenarios.names[code] for code in scenarios.codes],
        [table.schema.names[i] for i in columns],
        values,
        _place,
    )


def _long(path: Path, table: pa.Table) -> Wide:
    prompts, scenarios, components = (_names(path, table, name) for name in LONG[:3])
    values = _numbers(path, table, table.schema.names.index("value"))
    return widen(path, Long(prompts, scenarios, components, values, _place))


def _place(row: int) -> str:
    return f"row {row + 1}"


def _names(path: Path, table: pa.Table, name: str) -> Coded:
    """A column of text or whole numbers as distinct texts and codes."""
    column = table.column(name)
    kind = column.type.value_type if pa.types.is_dictionary(column.type) else column.type
    if not _is_text(kind) and not pa.types.is_integer(kind):
        fail(path, None, f"column {name!r} holds {kind}, not text")
    _check_nulls(path, table, column, f"column {name!r}")
    if not pa.types.is_dictionary(column.type):
        column = column.dictionary_encode()
    known: dict[str, int] = {}
    codes = [np.empty(0, np.int64)]
    for chunk in column.chunks:
        if chunk.dictionary.null_count:
            fail(path, None, f"column {name!r} names a row nothing; give every row a name")
        own = [known.setdefault(str(v), len(known)) for v in chunk.dictionary.to_pylist()]
        codes.append(np.array(own, np.int64)[chunk.indices.to_numpy()])
    used, compact = np.unique(np.concatenate(codes), return_inverse=True)
    names = list(known)
    return Coded([names[code] for code in used], compact)


def _is_text(kind: pa.DataType) -> bool:
    tests = (pa.types.is_string, pa.types.is_large_string, pa.types.is_string_view)
    return any(test(kind) for test in tests)


def _numbers(path: Path, table: pa.Table, i: int) -> np.ndarray:
    column, name = table.column(i), quoted(table.schema.names[i])
    kind = column.type
    if not (pa.types.is_floating(kind) or pa.types.is_integer(kind) or pa.types.is_decimal(kind)):
        what = f"column {name} holds {kind}, not numbers"
        fail(path, None, f"{what}; all columns but {' and '.join(KEYS)} are components")
    _check_nulls(path, table, column, f"column {name}")
    if pa.types.is_decimal(kind):
        column = pc.cast(column, pa.float64())
    return column.to_numpy().astype(np.float64)


def _check_nulls(path: Path, table: pa.Table, column: pa.ChunkedArray, what: str) -> None:
    if column.null_count:
        row = int(pc.index(pc.is_null(column), True).as_py())
        fail(path, _place(row), f"{what} is empty there; every prompt needs a value")
