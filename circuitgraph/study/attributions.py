"""Are the parts the same: direct contributions of components to the decision, compared."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from circuitgraph.nodes.compare import NodeDiff
from circuitgraph.study.design import BASE, TAUGHT, Comparison

MEASURE = "attribution"


def of_components() -> Iterator[Comparison]:
    """Recipes, single variants, nulls, and two seeds of one recipe."""
    for a, b in (("deontological", "utilitarian"), ("strategic", TAUGHT)):
        yield Comparison(a, b, MEASURE, "recipe")
    yield Comparison("self", "random", MEASURE, "recipe", "null")
    for a, b in (("deontological-0", "utilitarian-0"), ("strategic-0", f"{TAUGHT}-0")):
        yield Comparison(a, b, MEASURE, "checkpoint")
    for name in ("strategic", "deontological", "utilitarian", TAUGHT):
        yield Comparison(f"{name}-0", f"{name}-1", MEASURE, "checkpoint", "seeds")
    yield Comparison(BASE, "self-0", MEASURE, "checkpoint", "null")
    yield Comparison("self-0", "random-0", MEASURE, "checkpoint", "null")


def attribution_row(one: Comparison, found: NodeDiff) -> dict[str, Any]:
    """Counts of a comparison, and ``alike``: Pearson's r over components of both sides' means."""
    told = found.summary
    table = found.table[found.table["component"] != "LOGITS"]  # the bias of the unembedding
    values = table[["value_a", "value_b"]].dropna().to_numpy(float)
    largest = table.iloc[int(np.nanargmax(table["change"].abs()))]
    return {
        "scope": one.scope, "role": one.role, "a": one.a, "b": one.b,
        "components": len(table), "testable": told["n_testable"], "claims": told["n_claims"],
        "evidence": told["evidence"], "margin": told["margin"],
        "alike": float(np.corrcoef(values.T)[0, 1]) if len(values) > 2 else None,
        "largest": largest["component"], "change": float(largest["change"]),
    }  # fmt: skip
