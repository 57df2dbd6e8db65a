"""What the page's script draws: one diff as plain JSON, columns rather than rows."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from circuitgraph.base.components import parse
from circuitgraph.diff.confirm import as_compared
from circuitgraph.diff.record import CLAIMS, MECHANISMS, VERDICTS, Diff
from circuitgraph.nodes.entry import table_of
from circuitgraph.nodes.measures import MEASURES
from circuitgraph.nodes.values import kept_values
from circuitgraph.report.layers import components_of, strength_by_layer

MOST_EDGES = 60_000
"""Edges a page holds (about 80 bytes each); claims first, then by size of the change."""
MOST_DETAILED = 2_000
"""Claims whose change is told scenario by scenario."""
MOST_WITH_PROMPTS = 200
"""Claims that come with example prompts."""
MOST_SCENARIOS = 60
MEAN = "mean: "
HUB_SAMPLES = 100
"""Resamples of the prompts behind the intervals of hubs."""
NUMBERS = ("weight_a", "weight_b", "delta", "low", "high", "p", "q")


def payload(diff: Diff, hubs: pd.DataFrame | None = None) -> dict[str, Any]:
    """Everything the script needs of one diff; its hubs of change are computed where not given.

    Returns
    -------
    dict
        Plain JSON types. Numbers have six digits, what is not finite is null; ``edges`` are
        columns, in which components, inputs, verdicts and mechanisms stand by their index.
    """
    table = _shown(diff.table)
    names, grid = components_of(diff)
    inputs = sorted({*table["input"].astype(str)})
    claims = diff.details.index[:MOST_DETAILED].intersection(table.index)
    return {
        "id": diff.id,
        "a": diff.a,
        "b": diff.b,
        "lens": diff.lens,
        "scope": diff.scope,
        "margin": diff.margin,
        "signed": diff.signed,
        "directed": diff.asks.directed,
        "heads": dict(diff.asks.heads(diff.scope)),
        "total": len(diff.table),
        "claims": int(diff.summary["n_claims"]),
        "nodes": {
            "name": names,
            "layer": [parse(name).layer for name in names],
            "x": [x for x, _ in grid.places],
            "y": [y for _, y in grid.places],
        },
        "columns": grid.columns,
        "rows": grid.rows,
        "verdicts": VERDICTS,
        "mechanisms": MECHANISMS,
        "inputs": inputs,
        "edges": _edges(table, names, inputs),
        "scenarios": _scenarios(diff),
        "details": _details(diff, claims, table),
        "examples": _examples(diff, claims[:MOST_WITH_PROMPTS], table),
        "hubs": _hubs(diff, hubs),
        "layers": _by_layer(diff),
        "trajectories": _trajectories(diff),
    }


def _by_layer(diff: Diff) -> dict[str, Any]:
    layers = strength_by_layer(diff)
    sides = {side: rounded(layers[f"weight_{side}"]) for side in "ab"}
    return {"labels": [*layers.index], **sides}


def _shown(table: pd.DataFrame) -> pd.DataFrame:
    """All edges, or all claims and the largest changes beside them."""
    if len(table) <= MOST_EDGES:
        return table
    claimed = table["verdict"].isin(CLAIMS).to_numpy()
    size = np.nan_to_num(table["delta"].abs().to_numpy())
    order = np.lexsort((-size, ~claimed))[:MOST_EDGES]
    return table.iloc[np.sort(order)]


def _edges(table: pd.DataFrame, names: Sequence[str], inputs: Sequence[str]) -> dict[str, list]:
    known = {
        "source": names, "target": names, "input": inputs,
        "verdict": VERDICTS, "mechanism": MECHANISMS,
    }  # fmt: skip
    coded: dict[str, list] = {
        column: pd.Categorical(table[column], categories=list(order)).codes.tolist()
        for column, order in known.items()
    }
    coded["reason"] = table["reason"].astype(object).tolist()
    return coded | {column: rounded(table[column]) for column in NUMBERS}


def rounded(values: Any) -> list[float | None]:
    """Six significant digits; None where a number is not finite."""
    return [float(f"{v:.6g}") if np.isfinite(v) else None for v in np.asarray(values, float)]


def _scenarios(diff: Diff) -> list[str]:
    named = [str(name) for name in diff.details if str(name).startswith(MEAN)]
    return [name.removeprefix(MEAN) for name in named[:MOST_SCENARIOS]]


def _details(diff: Diff, claims: pd.Index, table: pd.DataFrame) -> dict[str, dict[str, Any]]:
    """Of each claim what the table has no column for, by the edge's place in ``edges``."""
    found = diff.details.loc[claims]
    means = found[[MEAN + name for name in _scenarios(diff)]].to_numpy()
    others = found[[name for name in found if not str(name).startswith(MEAN)]]
    numbers = others.select_dtypes("number")
    told = {str(name): rounded(column) for name, column in numbers.items()}
    return {
        str(row): {name: values[i] for name, values in told.items()} | {"means": rounded(means[i])}
        for i, row in enumerate(table.index.get_indexer(claims))
    }


def _examples(diff: Diff, claims: pd.Index, table: pd.DataFrame) -> dict[str, Any]:
    """The prompts on which each claim changes most, as the median, and least."""
    if claims.empty:
        return {"prompts": [], "columns": [], "by_edge": {}}
    matched = diff.asks.lined_up(*as_compared(diff))
    found = list(diff.asks.by_prompt(matched, diff.table.loc[claims], diff.lens_details))
    columns = [name for name in found[0] if name != "direction"]
    change = "change" if "change" in columns else columns[-1]
    used: dict[int, int] = {}
    by_edge = {}
    for row, numbers in zip(table.index.get_indexer(claims), found, strict=True):
        order = np.argsort(-np.abs(np.asarray(numbers[change], float)), kind="stable")
        chosen = dict.fromkeys((order[0], order[len(order) // 2], order[-1]))
        by_edge[str(row)] = [
            [used.setdefault(int(i), len(used)), *rounded([numbers[c][i] for c in columns])]
            for i in chosen
        ]
    prompts = [
        {"id": p.id, "scenario": p.scenario, "prompt": p.prompt, "corrupt": p.corrupt}
        for p in (matched.prompts[i] for i in used)
    ]
    return {"prompts": prompts, "columns": columns, "by_edge": by_edge}


def _hubs(diff: Diff, hubs: pd.DataFrame | None) -> list[dict[str, Any]]:
    """Components with changed edges, their rank and its 95% interval, most changed first."""
    if diff.insufficient or diff.claims.empty:
        return []
    from circuitgraph.hubs.change import hubs_of_change

    found = hubs_of_change(diff, samples=HUB_SAMPLES) if hubs is None else hubs
    kept = found[found["degree"] > 0].sort_values("weighted", ascending=False, kind="stable")
    columns = ["component", "degree", "edges", "weighted", "rank", "rank_low", "rank_high", "q"]
    kept = kept[[*columns, "verdict"]].astype({"component": str, "verdict": str})
    return [
        {str(k): (rounded([v])[0] if isinstance(v, float) else v) for k, v in row.items()}
        for row in kept.to_dict("records")
    ]


def _trajectories(diff: Diff) -> dict[str, Any] | None:
    """The logit lens of both sides, where it was measured (``nodes --measure logit-lens``)."""
    sides = {}
    for side, runs in (("a", diff.runs_a), ("b", diff.runs_b)):
        found = kept_values(runs[0], "logit-lens")
        if not found:
            return None
        newest = next(iter(found.values()))
        table = table_of(runs[0], MEASURES["logit-lens"], newest)
        sides[side] = table[table["category"] == ""]
    first = sides["a"]
    labels = first["component"].astype(str).tolist()
    return {"labels": labels} | {
        side: {column: rounded(table[column]) for column in ("value", "low", "high")}
        for side, table in sides.items()
    }
