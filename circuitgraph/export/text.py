"""Values and names as text for files.

XML 1.0 has no place for most control characters, and UTF-8 none for lone surrogates,
while names of components may hold anything. Names that a format can hold are written
verbatim; the others are changed in a way that depends on the name alone and keeps
different names different.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import repeat
from types import MappingProxyType
from typing import Literal

import pandas as pd
from pandas.api.types import is_bool_dtype, is_float_dtype, is_integer_dtype

from circuitgraph.base.components import digest
from circuitgraph.graph.convert import Scalar, plain_values

Type = Literal["boolean", "long", "double", "string"]

NOT_XML = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
NOT_UTF8 = re.compile("[\ud800-\udfff]")
_LONG = 1 << 63


def as_text(value: Scalar) -> str:
    """A value as XML and Java text; floats round-trip exactly.

    Examples
    --------
    >>> as_text(True), as_text(0.1), as_text(float("-inf"))
    ('true', '0.1', '-Infinity')
    """
    if isinstance(value, bool):
        return _boolean(value)
    return _double(value) if isinstance(value, float) else str(value)


def _boolean(value: Scalar) -> str:
    return "true" if value else "false"


def _double(value: Scalar) -> str:
    return repr(value).replace("inf", "Infinity")


SPELLINGS: Mapping[str, Callable[[Scalar], str]] = MappingProxyType(
    {"boolean": _boolean, "long": str, "double": _double, "string": str}
)


def in_attribute(text: str) -> str:
    """Text for an XML attribute in double quotes; line ends and tabs are kept."""
    return in_element(text).replace('"', "&quot;").replace("\n", "&#10;").replace("\t", "&#9;")


def in_element(text: str) -> str:
    """Text for an XML element; characters that XML forbids become U+FFFD."""
    text = NOT_XML.sub("\ufffd", text)
    text = text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return text.replace("\r", "&#13;")


def distinct(names: Sequence[str], illegal: re.Pattern[str]) -> dict[str, str]:
    """Distinct legal names.

    Legal names stay as they are. In the others U+FFFD takes the place of every illegal
    character, and the start of the name's hash follows, as much of it as is needed.
    """
    chosen = {name: name for name in names if not illegal.search(name)}
    taken = set(chosen)
    for name in names:
        if name in chosen:
            continue
        length = 8
        while (new := _replaced(name, illegal, length)) in taken:
            length += 1
        chosen[name] = new
        taken.add(new)
    return chosen


def _replaced(name: str, illegal: re.Pattern[str], length: int) -> str:
    return f"{illegal.sub(chr(0xFFFD), name)} #{(digest(name) * 2)[:length]}"


@dataclass(frozen=True)
class Column:
    """One attribute of all nodes or all edges.

    Attributes
    ----------
    title
        Unique within its graph also when case is ignored.
    type
        ``boolean``, ``long``, ``double`` or ``string``: the narrowest that holds all
        values without loss; without values, what the column was made for.
    values
        One a row; None where there is none.
    """

    title: str
    type: Type
    values: list[Scalar]


def typed_columns(table: pd.DataFrame, reserved: Iterable[str] = ()) -> list[Column]:
    """Columns of a table as typed attributes.

    Parameters
    ----------
    table
        Booleans, numbers, strings; mixed columns become strings.
    reserved
        Titles the format keeps for itself, in lower case; a column of such a name, or
        of one that differs from an earlier one in case only, gets ``_`` behind it.

    Raises
    ------
    InputError
        A value is not a boolean, a number or a string.
    """
    taken = set(reserved)
    columns = []
    for position, name in enumerate(table.columns):
        title = NOT_XML.sub("\ufffd", str(name)) or "column"
        while title.strip().lower() in taken:
            title += "_"
        taken.add(title.strip().lower())
        column = table.iloc[:, position]
        values = plain_values(column)
        kind = _type(values) or _type_of_nothing(column)
        columns.append(Column(title, kind, [_cast(value, kind) for value in values]))
    return columns


def _type(values: list[Scalar]) -> Type | None:
    kinds = {type(value) for value in values if value is not None}
    if not kinds:
        return None
    if kinds == {bool}:
        return "boolean"
    if kinds == {float}:
        return "double"
    if kinds == {int} and all(v is None or -_LONG <= v < _LONG for v in values):  # type: ignore[operator]
        return "long"
    if kinds == {int, float} and all(v is None or float(v) == v for v in values):
        return "double"
    return "string"


def _type_of_nothing(column: pd.Series) -> Type:
    """Type of a column without values, equal in files of all variants."""
    if is_bool_dtype(column):
        return "boolean"
    if is_integer_dtype(column):
        return "long"
    return "double" if is_float_dtype(column) else "string"


def _cast(value: Scalar, kind: Type) -> Scalar:
    if value is None:
        return None
    if kind == "double":
        return float(value)
    return as_text(value) if kind == "string" else value


def spelled(
    columns: Sequence[Column], escape: Callable[[str], str]
) -> Iterator[tuple[str | None, ...]]:
    """Text of every value by row, None for missing ones.

    Only text is escaped, and what repeats (kinds, inputs, verdicts) once: a graph may
    have millions of edges.
    """
    remembered = lru_cache(maxsize=4096)(escape)

    def one(column: Column) -> Iterator[str | None]:
        spell = remembered if column.type == "string" else SPELLINGS[column.type]
        return (None if v is None else spell(v) for v in column.values)

    return zip(*map(one, columns), strict=True) if columns else repeat(())
