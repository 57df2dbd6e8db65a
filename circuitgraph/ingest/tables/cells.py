"""Cells of all table formats, and checks of them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from circuitgraph.base.errors import quoted
from circuitgraph.base.textfiles import fail, undecodable

KEYS = ("prompt_id", "scenario")
LONG = (*KEYS, "component", "value")

MAX_CELLS = 20_000_000
MAX_COMPONENTS = 10_000
"""A graph of 10,000 components has 50 million edges; nothing downstream is made for more."""

_LARGEST = float(np.finfo(np.float32).max)


@dataclass(frozen=True)
class Wide:
    """A table as read: rows are prompts, values are float64 [rows × columns].

    ``place`` names a row in messages: ``line 3``, ``row 3``.
    """

    prompt_ids: Sequence[str]
    scenarios: Sequence[str]
    components: Sequence[str]
    values: np.ndarray
    place: Callable[[int], str]


@dataclass(frozen=True)
class Coded:
    """One column of names in a long table: the distinct names and one code a row."""

    names: Sequence[str]
    codes: np.ndarray


@dataclass(frozen=True)
class Long:
    """A table as read, one cell a row."""

    prompts: Coded
    scenarios: Coded
    components: Coded
    values: np.ndarray
    place: Callable[[int], str]


def is_long(path: Path, names: Sequence[str], line: int | None, named: str) -> bool:
    """Whether a table with these columns is long: one cell a row.

    ``line`` (of the header) and ``named`` (such as ``"the header names"``) are for the message.

    Raises
    ------
    InputError
        A column that such a table needs is missing, or there twice.
    """
    long = "component" in names and "value" in names
    for name in LONG if long else KEYS:
        if names.count(name) != 1:
            many = "no column" if name not in names else "more than one column"
            fail(path, line, f"{many} {name!r}; {named} {quoted(', '.join(names))}")
    return long


def check_size(path: Path, rows: int, components: int) -> None:
    """Refuse tables that are too large, before they are read."""
    if components > MAX_COMPONENTS:
        many = f"{components:,} components make {components * (components - 1) // 2:,} edges"
        fail(path, None, f"{many}; keep at most {MAX_COMPONENTS:,} of them")
    if rows * components > MAX_CELLS:
        fail(path, None, f"{rows:,} × {components:,} values are too many (at most {MAX_CELLS:,})")


def widen(path: Path, long: Long) -> Wide:
    """A long table as a wide one.

    Raises
    ------
    InputError
        A prompt in two scenarios, a repeated or missing cell, a value that is not finite.
    """
    n, c = len(long.prompts.names), len(long.components.names)
    _, first = np.unique(long.prompts.codes, return_index=True)
    cells = long.prompts.codes * c + long.components.codes
    _check_one_scenario(path, long, first)
    _check_once(path, long, cells)
    _check_complete(path, long)
    check_size(path, n, c)
    order = np.empty(n * c, dtype=np.int64)
    order[cells] = np.arange(n * c)
    wide = Wide(
        long.prompts.names,
        [long.scenarios.names[code] for code in long.scenarios.codes[first]],
        long.components.names,
        long.values[order].reshape(n, c),
        lambda row: long.place(int(first[row])),
    )
    check_values(path, wide, lambda row, column: long.place(int(order[row * c + column])))
    return wide


def _check_one_scenario(path: Path, long: Long, first: np.ndarray) -> None:
    codes = long.scenarios.codes
    wrong = np.flatnonzero(codes[first][long.prompts.codes] != codes)
    if len(wrong):
        prompt = long.prompts.codes[wrong[0]]
        one, two = (quoted(long.scenarios.names[codes[row]]) for row in (first[prompt], wrong[0]))
        what = f"prompt {quoted(long.prompts.names[prompt])} is in two scenarios"
        there = long.place(int(first[prompt]))
        fail(path, long.place(int(wrong[0])), f"{what}, {two} here and {one} in {there}")


def _check_once(path: Path, long: Long, cells: np.ndarray) -> None:
    order = np.argsort(cells, kind="stable")
    again = np.flatnonzero(np.diff(cells[order]) == 0)
    if len(again):
        k = again[order[again + 1].argmin()]
        first, second = int(order[k]), int(order[k + 1])
        cell = _cell(long, long.prompts.codes[second], long.components.codes[second])
        fail(path, long.place(second), f"{cell} stands already in {long.place(first)}")


def _check_complete(path: Path, long: Long) -> None:
    names = long.components.names
    short = np.flatnonzero(np.bincount(long.prompts.codes) < len(names))
    if len(short):
        there = long.components.codes[long.prompts.codes == short[0]]
        absent = np.setdiff1d(np.arange(len(names)), there)[0]
        cell = _cell(long, short[0], absent)
        fail(path, None, f"{cell} is missing; every prompt needs a value of every component")


def _cell(long: Long, prompt: int, component: int) -> str:
    names = quoted(long.prompts.names[prompt]), quoted(long.components.names[component])
    return "the value of prompt {} and component {}".format(*names)


def check_values(path: Path, wide: Wide, place: Callable[[int, int], str]) -> None:
    """Every value is finite in float32."""
    bad = np.argwhere(~(np.abs(wide.values) <= _LARGEST))
    if len(bad):
        row, column = bad[0]
        value = wide.values[row, column]
        what = "larger than float32 can hold" if np.isfinite(value) else "not a finite number"
        names = quoted(wide.prompt_ids[row]), quoted(wide.components[column])
        where = "prompt {}, component {}".format(*names)
        fail(path, place(row, column), f"{where}: {value} is {what}; leave the prompt out")


def check_wide(path: Path, wide: Wide) -> None:
    """Check values and names of rows and columns.

    Raises
    ------
    InputError
        No rows or columns, a value that is not finite, an empty, repeated or unwritable name.
    """
    if not len(wide.prompt_ids) or not len(wide.components):
        fail(path, None, "the table holds no values; it needs prompts and components")
    check_values(path, wide, lambda row, column: wide.place(row))
    _check_names(path, wide.prompt_ids, "prompt_id", wide.place)
    for row, scenario in enumerate(wide.scenarios):
        _check_name(path, scenario, "scenario", wide.place(row))
    _check_names(path, wide.components, "component", lambda i: f"component {i + 1}")


def _check_names(path: Path, names: Sequence[str], what: str, place: Callable[[int], str]) -> None:
    known: dict[str, int] = {}
    for i, name in enumerate(names):
        _check_name(path, name, what, place(i))
        first = known.setdefault(name, i)
        if first != i:
            fail(path, place(i), f"the {what} {quoted(name)} stands already in {place(first)}")


def _check_name(path: Path, name: str, what: str, place: str) -> None:
    if not name:
        fail(path, place, f"the {what} is empty; give it a name, or leave out an index column")
    if undecodable(name):
        fail(path, place, f"the {what} {quoted(name)} holds half a character (a lone surrogate)")
