"""Which run or diff a text names, and defaults that other queries look up."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from circuitgraph.base.errors import UsageError, quoted
from circuitgraph.store.protocol import Store

_SHORTEST = 6
"""Characters of an id that may stand for it."""


def find_run(store: Store, text: str, kind: str = "") -> str:
    """Id of the run that a text names.

    Parameters
    ----------
    store : Store
        The graph that is asked.
    text : str
        An id, the start of one, a run's name, or a variant (its newest run).
    kind : str
        Only runs of this kind, where given.

    Raises
    ------
    UsageError
        No run, or several, are meant.
    """
    rows = store.query(
        "MATCH (r:Run) WHERE (r.id = $text OR r.name = $text OR r.variant = $text"
        " OR ($prefix <> '' AND r.id STARTS WITH $prefix)) AND ($kind = '' OR r.kind = $kind)"
        " RETURN r.id AS id, r.name AS name, r.variant AS variant"
        " ORDER BY r.created DESC, id",
        {"text": text, "prefix": _prefix(text), "kind": kind},
    )
    return _one(rows[["id", "name", "variant"]].values.tolist(), text, "run")


def find_diff(store: Store, text: str, lens: str = "") -> str:
    """Id of the diff with this id, beginning of an id, or name.

    Only diffs of this lens are meant, where one is given.

    Raises
    ------
    UsageError
        No diff, or several, are meant.
    """
    rows = store.query(
        "MATCH (d:Diff) WHERE (d.id = $text OR d.name = $text"
        " OR ($prefix <> '' AND d.id STARTS WITH $prefix)) AND ($lens = '' OR d.lens = $lens)"
        " RETURN d.id AS id, d.name AS name ORDER BY d.created DESC, id",
        {"text": text, "prefix": _prefix(text), "lens": lens},
    )
    return _one(rows[["id", "name"]].values.tolist(), text, "diff")


def _prefix(text: str) -> str:
    """The text if it can be the beginning of an id, else ""."""
    return text if len(text) >= _SHORTEST and set(text) <= set("0123456789abcdef") else ""


def _one(rows: list[list[str]], text: str, what: str) -> str:
    """The newest with this id, name or variant, else the one id that begins so."""
    for place in range(len(rows[0]) if rows else 0):
        exact = [row[0] for row in rows if row[place] == text]
        if exact:
            return exact[0]
    if len(rows) == 1:
        return rows[0][0]
    found = f"several {what}s" if rows else f"no {what}"
    raise UsageError(f"{quoted(text)} names {found}; `circuitgraph query {what}s` lists them")


@dataclass(frozen=True)
class Phrase:
    """One column of the first row of a named query.

    Attributes
    ----------
    query, column : str
        Which query, and which of its columns.
    arguments : mapping
        Fixed parameters of that query.
    """

    query: str
    column: str
    arguments: Mapping[str, str]


PHRASES: Mapping[str, Phrase] = MappingProxyType(
    {
        "newest run": Phrase("runs", "id", {}),
        "newest correlation run": Phrase("runs", "id", {"kind": "correlation"}),
        "newest effect run": Phrase("runs", "id", {"kind": "effect"}),
        "newest diff": Phrase("diffs", "id", {"of": "edges"}),
        "newest attribution diff": Phrase("diffs", "id", {"lens": "attribution"}),
        "newest attention diff": Phrase("diffs", "id", {"lens": "attention"}),
        "newest logit lens diff": Phrase("diffs", "id", {"lens": "logit-lens"}),
        "newest correlation diff": Phrase("diffs", "id", {"lens": "correlation"}),
        "newest effect diff": Phrase("diffs", "id", {"lens": "effect"}),
        "first run compared": Phrase("compared-runs", "run", {"side": "a"}),
        "second run compared": Phrase("compared-runs", "run", {"side": "b"}),
        "strongest component": Phrase("hubs", "component", {}),
        "strongest source": Phrase("strongest-edges", "source", {}),
        "strongest target": Phrase("strongest-edges", "target", {}),
        "strongest claimed source": Phrase("rewired", "source", {}),
        "strongest claimed target": Phrase("rewired", "target", {}),
        "first recipe": Phrase("recipes", "recipe", {}),
        "another recipe": Phrase("recipes", "recipe", {}),
    }
)
