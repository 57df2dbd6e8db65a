"""Results as HTML for notebooks: every text escaped, at most a screen of rows."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import fields, is_dataclass
from html import escape
from typing import TYPE_CHECKING

from circuitgraph.base.errors import short

if TYPE_CHECKING:
    import pandas as pd

MOST_ROWS = 20


def facts(title: str, told: Mapping[str, object]) -> str:
    """A heading and a table of names and values."""
    rows = "".join(
        f"<tr><th style='text-align:left'>{escape(name)}</th>"
        f"<td style='text-align:left'>{escape(short(str(value), 200))}</td></tr>"
        for name, value in told.items()
        if value not in ("", None)
    )
    return f"<b>{escape(short(title, 200))}</b><table>{rows}</table>"


class Facts:
    """A dataclass that notebooks show as a table of its texts and numbers."""

    def _repr_html_(self) -> str:
        return facts(repr(self), dict(_plain(self)))


def _plain(record: object) -> Iterator[tuple[str, object]]:
    """Texts and numbers of a dataclass and of those in its fields."""
    if not is_dataclass(record):
        return
    for one in fields(record):
        value = getattr(record, one.name)
        if isinstance(value, str | int | float):
            yield one.name, value
        else:
            yield from _plain(value)


def framed(title: str, table: pd.DataFrame) -> str:
    """A heading, the first rows of a table, and how many there are."""
    shown = table.head(MOST_ROWS).to_html(index=False, escape=True, float_format="{:.4g}".format)
    left = len(table) - MOST_ROWS
    more = f"<p>{left} more rows</p>" if left > 0 else ""
    return f"<p><b>{escape(title)}</b></p>{shown}{more}"
