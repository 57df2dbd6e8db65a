"""Tables as text, CSV, JSON and parquet, and their columns of text in few bytes."""

from __future__ import annotations

import csv
import json
import math
import re
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from circuitgraph.base.atomic import whole, write_atomic
from circuitgraph.base.errors import InputError, UsageError, short

if TYPE_CHECKING:
    import pandas as pd

Rows = Sequence[Mapping[str, Any]]
"""A table without pandas, which takes half a second to import: rows with the same keys."""
Format = Literal["table", "csv", "json", "parquet"]
FORMATS = ("table", "csv", "json", "parquet")
SHOWN = 40
ANSWER = "verdict"
"""The column that is never left out."""

_NARROWEST = 24
_LEAST = 7
_HASH = re.compile(r"[0-9a-f]{64}")
_TIME = re.compile(r"(\d{4}-\d\d-\d\d)T(\d\d:\d\d)[\d:.+Z]*")
_FIXED = re.compile(f"|{_HASH.pattern}|{_TIME.pattern}")
_NUMBERS = ("i", "u", "f", "c")
_CHANCE = re.compile(r"(.+_)?[pq]")


def write_frame(frame: pd.DataFrame, format: Format, path: Path) -> None:
    """Write a table to a file, atomically.

    Raises
    ------
    InputError
        The file cannot be written.
    """
    try:
        if format == "parquet":
            write_parquet(frame, path)
        else:
            write_atomic(path, to_text(frame, format, whole=True).encode("utf-8"))
    except OSError as error:
        raise InputError(f"{path}: cannot be written ({error.strerror or error})") from error


def write_parquet(frame: pd.DataFrame, path: Path) -> None:
    """Write parquet atomically; zstd keeps repeated names small."""
    with whole(path) as partial:
        frame.to_parquet(partial, index=False, compression="zstd", compression_level=1)


def copy_whole(source: Path, target: Path) -> None:
    """Copy a file atomically.

    Raises
    ------
    InputError
        It cannot be written.
    """
    try:
        with whole(target) as partial:
            shutil.copyfile(source, partial)
    except OSError as error:
        raise InputError(f"{target}: cannot be written ({error.strerror or error})") from error


def to_text(
    frame: pd.DataFrame | Rows,
    format: Format,
    whole: bool = False,
    width: int | None = None,
    must: int = 1,
) -> str:
    """A table as text.

    ``table`` is for reading: unless ``whole`` it shows the first rows, shortens long
    texts and ids, and leaves out columns that do not fit ``width``, saying so. The first
    ``must`` columns stay, their texts shortened further, while that makes room for them.

    Raises
    ------
    UsageError
        Parquet is not text.
    """
    if format == "csv":
        return _csv(as_frame(frame))
    if format == "json":
        return json.dumps(records(frame), ensure_ascii=False, indent=1) + "\n"
    if format == "table":
        if whole:
            return _joined(_columns(frame, cut=False))
        return _for_reading(frame, width, must)
    raise UsageError("parquet is binary: name a file with -o FILE")


def _csv(frame: pd.DataFrame) -> str:
    # A bare carriage return would end a line for most readers; the csv module quotes only \n.
    columns = [frame.iloc[:, i] for i in range(frame.shape[1])]
    texts = [column.unique().tolist() for column in columns if not _numeric(column)]
    risky = any("\r" in str(text) for part in ([*frame.columns], *texts) for text in part)
    return frame.to_csv(index=False, quoting=csv.QUOTE_NONNUMERIC if risky else csv.QUOTE_MINIMAL)


def as_frame(table: pd.DataFrame | Rows) -> pd.DataFrame:
    """Rows as a pandas table."""
    import pandas as pd

    return table if isinstance(table, pd.DataFrame) else pd.DataFrame(table)


def coded(codes: np.ndarray, names: Sequence[str]) -> pd.Categorical:
    """``names[codes]`` as a categorical column with the categories in the order of ``names``.

    One or two bytes a row: diffs have millions.
    """
    import pandas as pd

    small = codes.astype(np.min_scalar_type(-max(len(names), 1)))
    return pd.Categorical.from_codes(small, categories=pd.Index(list(names), dtype="str"))


def constant(text: str, length: int) -> pd.Categorical:
    """One text in every row."""
    return coded(np.zeros(length, np.int8), [text])


def texts(values: Sequence[str]) -> pd.Categorical:
    """Texts as a categorical column with the categories in order of first appearance."""
    place: dict[str, int] = {}
    codes = np.array([place.setdefault(value, len(place)) for value in values], dtype=int)
    return coded(codes, list(place))


def records(frame: pd.DataFrame | Rows) -> list[dict[str, Any]]:
    """Rows as plain objects; missing and non-finite values are null."""
    if isinstance(frame, Sequence):
        return [{name: _plain(value) for name, value in row.items()} for row in frame]
    columns = {str(name): [_plain(v) for v in frame.iloc[:, i]] for i, name in enumerate(frame)}
    return [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]


def _plain(value: Any) -> Any:
    if hasattr(value, "item"):
        value = value.item()
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return None if type(value).__name__ in ("NAType", "NaTType") else value  # pandas' own


@dataclass(frozen=True)
class _Column:
    """One column as text.

    Attributes
    ----------
    right
        Numbers stand to the right.
    rigid
        Cells that mean nothing when cut: numbers, times, ids.
    """

    name: str
    cells: list[str]
    right: bool = False
    rigid: bool = False

    @property
    def width(self) -> int:
        return max(map(len, (self.name, *self.cells)))

    def narrowed(self, width: int) -> _Column:
        return _Column(short(self.name, width), [short(c, width) for c in self.cells])

    def lines(self) -> list[str]:
        align: Callable[[str, int], str] = str.rjust if self.right else str.ljust
        return [align(cell, self.width) for cell in (self.name, *self.cells)]


def _answer_first(columns: list[_Column]) -> list[_Column]:
    """The answer before the numbers, where it would else be left out."""
    numbers = [i for i, column in enumerate(columns) if column.right]
    place = numbers[0] if numbers else 0
    found = next(column for column in columns if column.name == ANSWER)
    rest = [column for column in columns if column is not found]
    return [*rest[:place], found, *rest[place:]]


def _for_reading(frame: pd.DataFrame | Rows, width: int | None, must: int) -> str:
    columns = _columns(frame[:SHOWN], cut=True)
    fitting = columns if width is None else _fitted(columns, width, must)
    if ANSWER in [column.name for column in columns[len(fitting) :]]:
        columns = _answer_first(columns)
        fitting = _fitted(columns, width or 0, must)
    hidden = [short(column.name, 20) for column in columns[len(fitting) :]]
    if hidden and len(frame) == 1:
        return _record(columns)
    rest = [f"{len(frame) - SHOWN} of {len(frame)} rows"] if len(frame) > SHOWN else []
    if hidden:
        rest.append(f"the columns {', '.join(hidden)}")
    note = f"… and {', and '.join(rest)}: CSV, JSON and files hold all\n" if rest else ""
    return _joined(fitting) + note


def _record(columns: list[_Column]) -> str:
    """One row as text, one line per column."""
    left = max(len(column.name) for column in columns)
    return "".join(
        f"{column.name:<{left}}  {column.cells[0]}".rstrip() + "\n" for column in columns
    )


def _joined(columns: list[_Column]) -> str:
    rows = zip(*(column.lines() for column in columns), strict=True)
    return "".join("  ".join(row).rstrip() + "\n" for row in rows)


def _fitted(columns: list[_Column], width: int, must: int = 1) -> list[_Column]:
    """Shorten long texts, the widest first, then leave out columns from the right.

    Before one of the first ``must`` columns goes, texts are shortened to next to nothing.
    """
    fitted = _narrowed(columns, width, _NARROWEST)
    while _total(fitted) > width and len(fitted) > max(1, must):
        fitted.pop()
    fitted = _narrowed(fitted, width, _LEAST)
    while _total(fitted) > width and len(fitted) > 1:
        fitted.pop()
    # What was left out may leave room for longer texts.
    return fitted if len(fitted) == len(columns) else _fitted(columns[: len(fitted)], width, must)


def _narrowed(columns: list[_Column], width: int, least: int) -> list[_Column]:
    """Shorten texts until all columns fit, the widest first, none below ``least``."""
    fitted = list(columns)
    while _total(fitted) > width:
        texts = [c for c in fitted if not c.rigid and c.width > least]
        if not texts:
            break
        widest = max(texts, key=lambda column: column.width)
        fitted[fitted.index(widest)] = widest.narrowed(widest.width - 1)
    return fitted


def _total(columns: list[_Column]) -> int:
    return sum(column.width for column in columns) + 2 * (len(columns) - 1)


def _columns(table: pd.DataFrame | Rows, cut: bool) -> list[_Column]:
    if isinstance(table, Sequence):
        names = list(table[0]) if table else []
        return [_of_objects(name, [row[name] for row in table], cut) for name in names]
    columns = [(str(name), table.iloc[:, i]) for i, name in enumerate(table.columns)]
    return [_written(name, values, values.dtype.kind, cut) for name, values in columns]


def _of_objects(name: str, values: list[Any], cut: bool) -> _Column:
    kinds = {type(value) for value in values}
    kind = "f" if float in kinds and kinds <= {int, float} else "i" if kinds == {int} else "O"
    return _written(name, values, kind, cut)


def _written(name: str, values: Any, kind: str, cut: bool) -> _Column:
    """Format a column by its numpy kind."""
    title = short(name) if cut else short(name, len(name) * 10)
    if kind == "f":
        write = _chance if _CHANCE.fullmatch(name) else _like(np.asarray(values, float))
        cells = ["" if v != v else write(v) for v in np.asarray(values, float).tolist()]
        return _Column(title, cells, right=True, rigid=True)
    texts = ["" if _plain(v) is None else _word(v) for v in values]
    if kind in _NUMBERS:
        return _Column(title, texts, right=True, rigid=True)
    cells = [_brief(text) if cut else short(text, len(text) * 10) for text in texts]
    return _Column(title, cells, rigid=cut and all(map(_FIXED.fullmatch, texts)))


def _numeric(values: pd.Series) -> bool:
    return values.dtype.kind in _NUMBERS


def _word(value: Any) -> str:
    if isinstance(value, bool | np.bool_):
        return "yes" if value else "no"
    if isinstance(value, list | tuple | np.ndarray):
        return ", ".join(_word(part) for part in value)
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def _brief(text: str) -> str:
    if _HASH.fullmatch(text):
        return text[:12]
    time = _TIME.fullmatch(text)
    return f"{time[1]} {time[2]}" if time else short(text)


def _chance(value: float) -> str:
    """Format a p- or q-value with two significant digits."""
    return f"{value:.0e}" if 0 < value < 1e-3 else f"{value:.2g}"


def _like(values: np.ndarray) -> Callable[[float], str]:
    """Format numbers with the decimals that give the largest four digits."""
    sizes = np.abs(values[np.isfinite(values)])
    largest = float(sizes.max()) if len(sizes) else 0.0
    if largest and not 1e-4 <= largest < 1e7:
        return "{:.3g}".format
    if not (sizes % 1).any():
        return "{:z.0f}".format
    decimals = min(6, max(0, 3 - math.floor(math.log10(largest))))
    return lambda value: f"{value:z.{decimals}f}"
