"""Activation tables in CSV, long or wide, without pandas: ``NA`` is a name, not a gap."""

from __future__ import annotations

from array import array
from collections.abc import Iterator, Sequence
from operator import itemgetter
from pathlib import Path

import numpy as np

from circuitgraph.base.errors import quoted
from circuitgraph.base.textfiles import csv_header, csv_rows, fail
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

Rows = Iterator[tuple[int, list[str]]]


def csv_cells(path: Path) -> Wide:
    """Read a CSV table; long where the header names ``component`` and ``value``."""
    rows = csv_rows(path)
    header = csv_header(path, rows)
    long = is_long(path, header, 1, "the header names")
    whole = _whole(path, rows, len(header))
    return _long(path, header, whole) if long else _wide(path, header, whole)


def _whole(path: Path, rows: Rows, width: int) -> Rows:
    for line, row in rows:
        if len(row) != width:
            count = f"{len(row)} cells under {width} column names"
            fail(path, line, f"{count}; the file may be cut off, or a name wants quotes")
        yield line, row


def _wide(path: Path, header: list[str], rows: Rows) -> Wide:
    components = [name for name in header if name not in KEYS]
    columns = [i for i, name in enumerate(header) if name not in KEYS]
    prompt_at, scenario_at = map(header.index, KEYS)
    prompt_ids: list[str] = []
    scenarios: list[str] = []
    lines: list[int] = []
    values = array("d")
    for line, row in rows:
        prompt_ids.append(row[prompt_at])
        scenarios.append(row[scenario_at])
        lines.append(line)
        values.extend(_numbers(path, line, [row[i] for i in columns], components))
        check_size(path, len(lines), len(components))
    matrix = np.array(values).reshape(len(lines), len(components))
    return Wide(prompt_ids, scenarios, components, matrix, lambda row: f"line {lines[row]}")


def _numbers(path: Path, line: int, cells: list[str], components: Sequence[str]) -> list[float]:
    found = []
    for name, cell in zip(components, cells, strict=True):
        try:
            found.append(_float(cell))
        except ValueError:
            fail(path, line, f"component {quoted(name)}: {_what(cell)}")
    return found


def _float(cell: str) -> float:
    if "_" in cell:  # Python reads 1_000, and L0_MLP must never come close to a number
        raise ValueError
    return float(cell)


def _what(cell: str) -> str:
    if not cell.strip():
        return "the cell is empty; every prompt needs a value of every component"
    return f"{quoted(cell)} is not a number; all columns but {' and '.join(KEYS)} are components"


def _long(path: Path, header: list[str], rows: Rows) -> Wide:
    pick = itemgetter(*(header.index(name) for name in LONG))
    names: tuple[dict[str, int], ...] = ({}, {}, {})
    codes = (array("q"), array("q"), array("q"))
    lines, values = array("q"), array("d")
    columns = tuple(zip(names, codes, strict=True))
    for line, row in rows:
        *keys, cell = pick(row)
        for (known, column), key in zip(columns, keys, strict=True):
            column.append(known.setdefault(key, len(known)))
        try:
            values.append(_float(cell))
        except ValueError:
            fail(path, line, f"value: {_what(cell)}")
        lines.append(line)
        if len(lines) > MAX_CELLS:
            fail(path, line, f"more than {MAX_CELLS:,} values are too many")
    prompts, scenarios, components = (
        Coded(list(known), np.array(column)) for known, column in columns
    )

    def place(row: int) -> str:
        return f"line {lines[row]}"

    return widen(path, Long(prompts, scenarios, components, np.array(values), place))
