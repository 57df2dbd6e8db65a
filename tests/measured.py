"""Runs in memory for the tests of statistics and diffs."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from circuitgraph.base.components import Edge, digest
from circuitgraph.prompts.record import RunPrompt
from circuitgraph.runs.record import Method, Run, Variant


def variant(name: str, recipe: str = "", architecture: str = "tiny") -> Variant:
    return Variant(name, recipe, "", "", architecture, "llama", 2, 2, 2, 9, digest(name))


def table_run(
    activity: np.ndarray,
    scenarios: Sequence[object],
    name: str = "A",
    *,
    components: Sequence[str] | None = None,
    ids: Sequence[str] | None = None,
    recipe: str = "",
) -> Run:
    """An activation table; components ``unit0`` … and prompts ``p000`` … by default."""
    n, c = np.shape(activity)
    names = tuple(components or [f"unit{i}" for i in range(c)])
    ids = ids or [f"p{i:03d}" for i in range(n)]
    prompts = tuple(RunPrompt(i, str(s)) for i, s in zip(ids, scenarios, strict=True))
    arrays = {"activity": np.asarray(activity, np.float32)}
    return Run(
        id=digest(name, arrays["activity"].tobytes().hex()),
        variant=variant(name, recipe, "table"),
        method=Method("correlation", granularity="table", activity="table"),
        prompts=prompts,
        prompts_fingerprint="",
        duplicates=0,
        components=names,
        edges=(),
        self_check={},
        versions={},
        seed=0,
        created="2026-01-01T00:00:00",
        _arrays=arrays,
    )


def effect_run(
    effects: np.ndarray,
    scenarios: Sequence[object],
    name: str = "A",
    *,
    directions: Sequence[int | None] | None = None,
    templates: Sequence[str] | None = None,
    totals: np.ndarray | None = None,
    decisions: np.ndarray | None = None,
    mass: np.ndarray | None = None,
    recipe: str = "",
    method: Method | None = None,
    fingerprint: str = "prompts",
) -> Run:
    """An effect run; edges ``L0H0 → L1H0``, ``L0H1 → L1H0`` …, all directions +1 by default."""
    effects = np.asarray(effects, np.float32)
    n, e = effects.shape
    directions = directions if directions is not None else [1] * n
    prompts = tuple(
        RunPrompt(f"p{i}", str(s), direction=d, template=templates[i] if templates else None)
        for i, (s, d) in enumerate(zip(scenarios, directions, strict=True))
    )
    arrays = {
        "effects": effects,
        "totals": np.ones(n, np.float32) if totals is None else np.asarray(totals, np.float32),
        "decisions": np.zeros(n, np.float32) if decisions is None else np.float32(decisions),
        "mass": np.full(n, 0.9, np.float32) if mass is None else np.float32(mass),
    }
    return Run(
        id=digest(name, *(a.tobytes().hex() for a in arrays.values())),
        variant=variant(name, recipe),
        method=method or Method("effect", estimator="exact", inputs="joint", ablation="corrupt"),
        prompts=prompts,
        prompts_fingerprint=fingerprint,
        duplicates=0,
        components=(),
        edges=tuple(Edge(f"L0H{i}", "L1H0", "all") for i in range(e)),
        self_check={},
        versions={},
        seed=0,
        created="2026-01-01T00:00:00",
        _arrays=arrays,
    )
