"""The named queries, read from the ``.cypher`` files beside this module.

A file begins with comments: one line that says what the query answers, then one line a
parameter, ``// NAME: TYPE = DEFAULT | meaning``. Types are ``string``, ``int``,
``float``, and ``run`` and ``diff`` for what names one of them. A default is a literal
or a phrase of :data:`circuitgraph.queries.naming.PHRASES`.

Most files are for every store. Where the dialects differ there is one file a dialect,
``NAME.embedded.cypher`` and ``NAME.neo4j.cypher``, that begin alike.
"""

from __future__ import annotations

import difflib
import functools
import itertools
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from importlib import resources
from typing import Any

import pandas as pd

from circuitgraph.base.errors import UsageError, quoted
from circuitgraph.queries.naming import PHRASES, Phrase, find_diff, find_run
from circuitgraph.store.protocol import Store

_PARAMETER = re.compile(r"(\w+): (string|int|float|run|diff) = (.*?) \| (.+)")


@dataclass(frozen=True)
class Parameter:
    """One parameter of a named query.

    Attributes
    ----------
    name : str
        As in ``--param name=value``.
    type : str
        ``string``, ``int``, ``float``, ``run`` or ``diff``.
    default : str, int or float
        A value, or the words for one that is looked up when the query runs.
    meaning : str
        One line.
    """

    name: str
    type: str
    default: str | int | float
    meaning: str


@dataclass(frozen=True)
class NamedQuery:
    """A named query: summary, parameters and Cypher.

    Attributes
    ----------
    name : str
        As in ``circuitgraph query NAME``.
    summary : str
        What it answers, in one line.
    parameters : tuple of Parameter
        In the order in which their defaults are found.
    texts : mapping of str to str
        The Cypher, header included, by dialect; the one that all understand under "".
    """

    name: str
    summary: str
    parameters: tuple[Parameter, ...]
    texts: Mapping[str, str]

    def cypher(self, dialect: str) -> str:
        """The text for a store of this dialect."""
        return self.texts.get(dialect) or self.texts[""]


@functools.cache
def list_queries() -> tuple[NamedQuery, ...]:
    """All named queries by name."""
    files = (f for f in resources.files(__package__).iterdir() if f.name.endswith(".cypher"))
    texts: dict[str, dict[str, str]] = {}
    for file in files:
        name, _, dialect = file.name.removesuffix(".cypher").partition(".")
        texts.setdefault(name, {})[dialect] = file.read_text("utf-8")
    return tuple(parse_query(name, texts[name]) for name in sorted(texts))


def parse_query(name: str, texts: Mapping[str, str]) -> NamedQuery:
    """A named query from the text of its file, or its files by dialect.

    Raises
    ------
    ValueError
        The header is not as described in this module, or not the same in all dialects.
    """
    header, *others = [_header(text) for text in texts.values()]
    if any(other != header for other in others):
        raise ValueError(f"{name}: the headers of its dialects differ")
    parameters = []
    for line in header[1:]:
        match = _PARAMETER.fullmatch(line)
        if match is None:
            raise ValueError(f"{name}.cypher: no parameter can be read from {line!r}")
        key, kind, default, meaning = match.groups()
        parameters.append(Parameter(key, kind, _literal(default, kind), meaning))
    return NamedQuery(name, header[0], tuple(parameters), texts)


def _header(cypher: str) -> list[str]:
    lines = itertools.takewhile(lambda line: line.startswith("//"), cypher.splitlines())
    return [line.removeprefix("//").strip() for line in lines]


def _literal(text: str, kind: str) -> str | int | float:
    if kind in ("int", "float"):
        return {"int": int, "float": float}[kind](text)
    return "" if text == "''" else text


def catalogue_json() -> list[dict[str, Any]]:
    """The catalogue in plain JSON types: ``name``, ``summary`` and ``parameters``."""
    return [
        {
            "name": query.name,
            "summary": query.summary,
            "parameters": [asdict(parameter) for parameter in query.parameters],
        }
        for query in list_queries()
    ]


def get_query(name: str) -> NamedQuery:
    """The query with this name.

    Raises
    ------
    UsageError
        There is none; the message lists those there are.
    """
    known = {query.name: query for query in list_queries()}
    if name not in known:
        near = difflib.get_close_matches(name[:80], known, 3)
        meant = f"did you mean {', '.join(near)}? " if near else ""
        raise UsageError(f"no query is named {quoted(name)}; {meant}there are {', '.join(known)}")
    return known[name]


def run_query(store: Store, name: str, params: Mapping[str, Any] | None = None) -> pd.DataFrame:
    """Answer a named query.

    Parameters
    ----------
    store : Store
        The graph that is asked.
    name : str
        Name of the query.
    params : mapping, optional
        Values, as text or of the declared type; what is left out takes its default.

    Returns
    -------
    DataFrame
        One row an answer; in an empty graph no rows, with the same columns.

    Raises
    ------
    UsageError
        An unknown query or parameter, a value of the wrong type, an unknown run or diff.
    """
    query = get_query(name)
    given = dict(params or {})
    _refuse_unknown(query, given)
    values: dict[str, Any] = {}
    for parameter in query.parameters:
        if parameter.name in given:
            values[parameter.name] = _coerced(store, query, parameter, given[parameter.name])
        else:
            values[parameter.name] = _default(store, parameter, values)
    return store.query(query.cypher(store.dialect), values)


def _refuse_unknown(query: NamedQuery, given: Mapping[str, Any]) -> None:
    known = [parameter.name for parameter in query.parameters]
    for name in given:
        if name not in known:
            raise UsageError(
                f"query {query.name} has no parameter {quoted(name)}; it has {', '.join(known)}"
            )


def _coerced(store: Store, query: NamedQuery, parameter: Parameter, value: Any) -> Any:
    try:
        if parameter.type in ("int", "float"):
            return _number(parameter, value)
        text = str(value)
    except (ValueError, OverflowError) as error:
        what = "a number" if parameter.type == "float" else "a whole number from 0 to 2147483647"
        raise UsageError(
            f"query {query.name}: {parameter.name} takes {what}, not {quoted(str(value))}"
        ) from error
    if parameter.type == "run":
        return find_run(store, text, _phrase(parameter).arguments.get("kind", ""))
    if parameter.type == "diff":
        return find_diff(store, text, _phrase(parameter).arguments.get("lens", ""))
    return text


def _number(parameter: Parameter, value: Any) -> int | float:
    if parameter.type == "float":
        return float(value)
    number = int(str(value)) if not isinstance(value, int) else int(value)
    if not 0 <= number < 1 << 31:
        raise ValueError("counts only")
    return number


def _phrase(parameter: Parameter) -> Phrase:
    return PHRASES.get(str(parameter.default), Phrase("", "", {}))


def _default(store: Store, parameter: Parameter, values: Mapping[str, Any]) -> Any:
    """A literal default, or the first row of another query; "" without rows.

    The other query is asked about the same run, source … wherever both have one, so
    that a given ``source`` decides which ``target`` is meant.
    """
    phrase = _phrase(parameter)
    if not phrase.query:
        return parameter.default
    shared = {p.name for p in get_query(phrase.query).parameters} & values.keys()
    chosen = {name: values[name] for name in shared if values[name] != ""}
    rows = run_query(store, phrase.query, {**chosen, **phrase.arguments, "limit": 1})
    return rows[phrase.column].iloc[0] if len(rows) else ""
