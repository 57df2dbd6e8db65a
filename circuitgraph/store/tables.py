"""Runs and diffs as tables of nodes and relationships.

Pure data: nothing here knows a database. Every id and key is a sha256 over its parts,
so names may hold anything and be of any length.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from circuitgraph.base.components import digest, in_order, parse
from circuitgraph.base.errors import InputError, quoted
from circuitgraph.runs.record import Run, Variant
from circuitgraph.stats.margins import half_width
from circuitgraph.stats.scenarios import balanced_variance, recode
from circuitgraph.store.columns import ENDS, NODES, RELATIONSHIPS

if TYPE_CHECKING:
    from circuitgraph.diff.record import Diff

_EDGE_TYPE = {"correlation": "CORRELATES", "effect": "AFFECTS"}


@dataclass(frozen=True, eq=False)
class GraphTables:
    """A graph, or part of one, as tables.

    Attributes
    ----------
    nodes : mapping of label to DataFrame
        One row a node; columns as in ``columns.NODES``.
    rels : mapping of type to DataFrame
        One row a relationship; columns ``start`` and ``end`` (ids of nodes), then those
        of ``columns.RELATIONSHIPS``.
    """

    nodes: Mapping[str, pd.DataFrame]
    rels: Mapping[str, pd.DataFrame]

    def ids(self, label: str) -> list[str]:
        """Ids of all nodes with a label, in order of the table."""
        return list(self.nodes[label]["id"]) if label in self.nodes else []

    @property
    def rows(self) -> int:
        """Number of nodes and relationships."""
        return sum(map(len, (*self.nodes.values(), *self.rels.values())))

    def checked(self) -> GraphTables:
        """The same tables, checked for unique ids and keys.

        Raises
        ------
        InputError
            An id or key appears twice.
        """
        for label, frame in self.nodes.items():
            _refuse_duplicates(frame["id"], label, frame["name"])
        for kind, frame in self.rels.items():
            if "key" in frame:
                _refuse_duplicates(frame["key"], kind, frame["start"])
        return self


def _refuse_duplicates(keys: pd.Series, what: str, names: pd.Series) -> None:
    twice = keys.duplicated()
    if twice.any():
        first = quoted(names[twice].iloc[0])
        raise InputError(f"{what}: {int(twice.sum())} rows appear twice, the first of {first}")


def components(architecture: str, names: Iterable[str]) -> tuple[dict[str, str], pd.DataFrame]:
    """Ids of components by name, shared by all variants of one architecture, and their nodes."""
    ids = {name: digest("component", architecture, name) for name in dict.fromkeys(names)}
    rows = (
        {**parse(name)._asdict(), "id": key, "architecture": architecture}
        for name, key in ids.items()
    )
    return ids, node_table("Component", rows)


def node_table(label: str, rows: Iterable[Mapping[str, Any]]) -> pd.DataFrame:
    """Nodes of one label from records; a missing property is null."""
    return _typed(pd.DataFrame(list(rows), columns=list(NODES[label])), NODES[label])


def rel_table(
    kind: str, start: Sequence[str], end: Sequence[str], properties: Mapping[str, Any]
) -> pd.DataFrame:
    """Relationships of one type from columns; a missing property is null."""
    length = len(start)
    columns = {"start": "string", "end": "string", **RELATIONSHIPS[kind]}
    given: Mapping[str, Any] = {"start": start, "end": end, **properties}
    data = {name: _filled(given.get(name), length) for name in columns}
    return _typed(pd.DataFrame(data, index=range(length)), columns)


def _filled(values: Any, length: int) -> Any:
    if values is None or np.isscalar(values):
        return [values] * length
    # An array of texts would lose NUL characters at their ends, and pad all to the longest.
    return values.to_numpy() if isinstance(values, pd.Series) else list(values)


def _typed(frame: pd.DataFrame, columns: Mapping[str, str]) -> pd.DataFrame:
    """Columns in the schema's types: text, Int64, float64 without inf and -0.0.

    Neo4j answers ``-0.0 < 0`` with true at run time, and a NaN compares with nothing.
    """
    result: dict[str, pd.Series] = {}
    for name, kind in columns.items():
        column = frame[name]
        if kind == "float":
            numbers = pd.to_numeric(column).to_numpy(dtype=float, na_value=np.nan)
            result[name] = pd.Series(np.where(np.isfinite(numbers), numbers, np.nan) + 0.0)
        elif kind == "int":
            result[name] = pd.to_numeric(column).astype("Int64")
        else:
            texts = column.astype(object)
            result[name] = texts.where(texts.notna(), None)
    return pd.DataFrame(result)


def run_tables(run: Run, edges: pd.DataFrame) -> GraphTables:
    """Graph tables of one run.

    Parameters
    ----------
    run : Run
        The run; its activities give the ``MEASURES`` of a correlation run.
    edges : DataFrame
        One row an edge, columns as ``runs.summaries.edge_table`` makes them.

    Returns
    -------
    GraphTables
        One ``Variant``, one ``Run``, its ``Component`` nodes; ``OF``, ``MEASURES``, and
        ``CORRELATES`` or ``AFFECTS``.
    """
    names = in_order({*run.components, *edges["source"].unique(), *edges["target"].unique()})
    ids, nodes = components(run.variant.architecture, names)
    kind = _EDGE_TYPE[run.kind]
    own = {"run": run.id, "variant": run.variant.name}
    return GraphTables(
        nodes={
            "Variant": node_table("Variant", [variant_row(run.variant)]),
            "Run": node_table("Run", [_run_row(run)]),
            "Component": nodes,
        },
        rels={
            "OF": rel_table("OF", [run.id], [run.variant.id], {}),
            "MEASURES": _measures(run, ids),
            kind: edge_rels(kind, run.id, edges, ids, own),
        },
    ).checked()


def variant_row(variant: Variant) -> dict[str, Any]:
    """Properties of a variant."""
    return {name: getattr(variant, name) for name in NODES["Variant"]}


def _run_row(run: Run) -> dict[str, Any]:
    method = {k: v for k, v in vars(run.method).items() if k in NODES["Run"]}
    words = (run.variant.name, run.kind, run.method.estimator, run.method.activity)
    return {
        **method,
        "id": run.id,
        "name": " ".join(word for word in words if word),
        "variant": run.variant.name,
        "n": run.n_observations,
        "n_scenarios": run.n_scenarios,
        "n_effective": run.n_observations - run.n_scenarios,
        "prompts": run.prompts_fingerprint,
        "version": run.versions.get("circuitgraph", ""),
        "seed": run.seed,
        "created": run.created,
    }


def _measures(run: Run, ids: Mapping[str, str]) -> pd.DataFrame:
    """Mean with its 95% interval, standard deviation (ddof 1) and number of distinct activities."""
    if run.kind != "correlation":
        return rel_table("MEASURES", [], [], {})
    activity = run.activity.astype(float)
    spread = activity.std(axis=0, ddof=1) if run.n > 1 else np.full(activity.shape[1], np.nan)
    end = [ids[name] for name in run.components]
    codes = recode(run.scenarios)
    df = max(run.n - int(codes.max()) - 1, 1)
    half = half_width(np.sqrt(balanced_variance(activity, codes)), df)
    columns = {
        "key": [digest("measures", run.id, name) for name in run.components],
        "mean": activity.mean(axis=0),
        "sd": spread,
        "distinct": [len(np.unique(column)) for column in activity.T],
        "measure": "activity",
        "category": "" if run.method.activity == "norm" else run.method.activity,
        "low": activity.mean(axis=0) - half,
        "high": activity.mean(axis=0) + half,
        "n": run.n,
    }
    return rel_table("MEASURES", [run.id] * len(end), end, columns)


def edge_rels(
    kind: str,
    owner: str,
    edges: pd.DataFrame,
    ids: Mapping[str, str],
    own: Mapping[str, Any],
) -> pd.DataFrame:
    """Relationships between components, one an edge.

    Parameters
    ----------
    kind : str
        Their type.
    owner : str
        Id of the run or diff that they belong to.
    edges : DataFrame
        ``source``, ``target``, ``input``, and properties of the relationships.
    ids : mapping of str to str
        Ids of the components by name.
    own : mapping of str
        Properties that all of them share, or one by one; these win.
    """
    source, target, inputs = (edges[name].tolist() for name in ("source", "target", "input"))
    ends = zip(source, target, inputs, strict=True)
    columns: dict[str, Any] = {name: edges[name] for name in RELATIONSHIPS[kind] if name in edges}
    columns |= {"key": [digest(kind.lower(), owner, *names) for names in ends], **own}
    return rel_table(kind, [ids[s] for s in source], [ids[t] for t in target], columns)


def diff_tables(diff: Diff) -> GraphTables:
    """Graph tables of one diff's claims.

    Parameters
    ----------
    diff : Diff
        Its runs must be in the store before these tables are written.

    Returns
    -------
    GraphTables
        One ``Diff``, the ``Component`` nodes of its claims; ``COMPARES`` to each run of
        each side, and ``REWIRED``.
    """
    claims = diff.claims
    names = in_order({*claims["source"].tolist(), *claims["target"].tolist()})
    ids, nodes = components(diff.runs_a[0].variant.architecture, names)
    extras = diff.extras.reindex(claims.index)
    more = [name for name in RELATIONSHIPS["REWIRED"] if name in extras and name not in claims]
    own = {**extras[more], "diff": diff.id, "a": diff.a, "b": diff.b}
    return GraphTables(
        nodes={
            "Diff": node_table("Diff", [_diff_row(diff)]),
            "Component": nodes,
        },
        rels={
            "COMPARES": compares(diff.id, diff.runs_a, diff.runs_b),
            "REWIRED": edge_rels("REWIRED", diff.id, claims, ids, own),
        },
    ).checked()


def compares(diff: str, runs_a: Sequence[Run], runs_b: Sequence[Run]) -> pd.DataFrame:
    """The ``COMPARES`` of a diff, by its id, to each run of each side."""
    sides = [("a", run.id) for run in runs_a] + [("b", run.id) for run in runs_b]
    ends = [run for _, run in sides]
    return rel_table("COMPARES", [diff] * len(sides), ends, {"side": [side for side, _ in sides]})


def _diff_row(diff: Diff) -> dict[str, Any]:
    return {
        name: getattr(diff, name) if hasattr(diff, name) else diff.summary[name]
        for name in NODES["Diff"]
    }


def merge_tables(parts: Sequence[GraphTables]) -> GraphTables:
    """Merge graphs; shared variants, components and scenarios appear once.

    Raises
    ------
    InputError
        Two parts hold the same run or the same diff.
    """
    nodes = {
        label: _joined([part.nodes[label] for part in parts if label in part.nodes])
        for label in NODES
        if any(label in part.nodes for part in parts)
    }
    for label in nodes.keys() & {"Variant", "Component", "Scenario"}:
        nodes[label] = nodes[label].drop_duplicates("id", keep="last", ignore_index=True)
    rels = {
        kind: _joined([part.rels[kind] for part in parts if kind in part.rels])
        for kind in ENDS
        if any(kind in part.rels for part in parts)
    }
    return GraphTables(nodes, rels).checked()


def _joined(frames: Sequence[pd.DataFrame]) -> pd.DataFrame:
    filled = [frame for frame in frames if len(frame)] or frames[:1]
    return pd.concat(filled, ignore_index=True)
