"""The edges of one run as a table, with their units, for ``circuitgraph edges`` and graphs."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

import numpy as np
import pandas as pd

from circuitgraph.base.components import in_order
from circuitgraph.base.frames import coded, constant, texts
from circuitgraph.runs import aligned
from circuitgraph.runs.record import Run, read_confirmed
from circuitgraph.stats import triangle
from circuitgraph.stats.correlations import (
    ZERO,
    atanh_error,
    interval,
    pooled_correlation,
    standardise,
    zero_error,
)
from circuitgraph.stats.evidence import degenerate, distinct_rows
from circuitgraph.stats.margins import adjusted, half_width, treat_p
from circuitgraph.stats.scenarios import balanced_mean, balanced_variance, chunks, recode

LOG_ODDS = "log-odds"
"""The decision's units: log p(answer) − log p(wrong answer)."""
CORRELATION = "correlation within scenarios (r)"

EDGE_UNITS: Mapping[str, str] = MappingProxyType({"correlation": CORRELATION, "effect": LOG_ODDS})
"""Of the weights of one variant's edges, by kind."""

EDGE_HEADS: Mapping[str, str] = MappingProxyType({"correlation": "r", "effect": "effect"})


COLUMNS = (
    "source",
    "target",
    "kind",
    "input",
    "estimator",
    "weight",
    "pooled",
    "low",
    "high",
    "p",
    "q",
    "n",
)


def edge_table(
    run: Run,
    *,
    screen: bool = False,
    confirmed: bool = True,
) -> pd.DataFrame:
    """Every edge of one run with its weight, interval and test against 0.

    Parameters
    ----------
    screen : bool
        Add the column ``screen``: the estimate of edges that were measured exactly since.
    confirmed : bool
        Show exact numbers where there are some, not only the run's own estimator.

    Returns
    -------
    DataFrame
        Columns ``source, target, kind, input, estimator, weight, pooled, low, high, p, q, n``,
        for effects also ``raw``. Correlations: ``weight`` is within scenarios, ``pooled`` over
        all distinct prompts. Effects, in the decision's units: ``weight`` is signed with equal
        weight of scenarios, ``pooled`` signed with equal weight of prompts, ``raw`` the plain
        mean. ``low`` and ``high`` bound ``weight`` at 95%; ``p`` tests weight = 0. NaN where
        undefined. ``estimator`` says which edges of a screened run are exact.
    """
    if run.kind == "correlation":
        return _correlations(run)
    known = read_confirmed(run) if confirmed else {}
    table = _effects(run, run.effects)
    if not known:
        return table.assign(screen=np.nan) if screen else table
    edges = sorted(known)
    effects = run.effects.copy()
    effects[:, edges] = np.stack([known[edge] for edge in edges], 1)
    exact = _effects(run, effects)
    estimator = np.full(len(exact), run.method.estimator, dtype=object)
    estimator[edges] = "exact"
    exact["estimator"] = pd.Categorical(estimator)
    estimate = np.full(len(exact), np.nan)
    estimate[edges] = table["weight"].to_numpy()[edges]
    return exact.assign(screen=estimate) if screen else exact


def _correlations(run: Run) -> pd.DataFrame:
    names = in_order(run.components)
    activity = run.activity[:, [run.components.index(name) for name in names]]
    scenarios = run.scenarios
    if run.method.granularity == "table":
        keep = np.unique(distinct_rows(activity))
        activity, scenarios = activity[keep], recode(scenarios[keep])
    scores = standardise(activity, scenarios)
    first, second = triangle.pair_codes(len(names))
    r = triangle.upper(np.clip(scores.z.T @ scores.z / scores.n, -1, 1))
    r[np.abs(r) < ZERO] = 0.0
    r[~(scores.alive[first] & scores.alive[second])] = np.nan
    se = atanh_error(scores, r, first, second)
    p = treat_p(r, zero_error(scores, r, first, second), scores.df)
    coarse = degenerate(activity, scenarios)
    unsure = coarse[first] | coarse[second]
    se[unsure] = p[unsure] = np.nan
    numbers = {"weight": r, "pooled": triangle.upper(pooled_correlation(activity))}
    numbers["low"], numbers["high"] = interval(r, se, scores.df)
    source, target = coded(first, names), coded(second, names)
    return _table(run, source, target, "", numbers | {"p": p}, len(activity))


def _effects(run: Run, found: np.ndarray) -> pd.DataFrame:
    seen = aligned.Observations.of_run(run)
    scenarios = recode(run.scenarios[seen.first])
    n, size = len(seen.first), len(run.edges)
    df = n - int(scenarios.max(initial=-1) + 1)
    weight, pooled, raw, variance = (np.empty(size) for _ in range(4))
    for part in chunks(size):
        effects = np.asarray(found[:, part], np.float64)
        signed = seen.mean(effects * seen.signs[:, None])
        weight[part], pooled[part] = balanced_mean(signed, scenarios), signed.mean(0)
        raw[part], variance[part] = effects.mean(0), balanced_variance(signed, scenarios)
    se = np.sqrt(variance)
    half = half_width(se, df)
    numbers = {"weight": weight, "pooled": pooled, "low": weight - half, "high": weight + half}
    numbers["p"] = treat_p(weight, se, df)
    source, target, into = (texts([edge[i] for edge in run.edges]) for i in range(3))
    return _table(run, source, target, into, numbers, n).assign(raw=raw)


def _table(
    run: Run,
    source: pd.Categorical,
    target: pd.Categorical,
    into: pd.Categorical | str,
    numbers: dict[str, np.ndarray],
    n: int,
) -> pd.DataFrame:
    size = len(source)
    columns: dict[str, object] = {
        "source": source,
        "target": target,
        "kind": constant(run.kind, size),
        "input": constant(into, size) if isinstance(into, str) else into,
        "estimator": constant(run.method.estimator, size),
        **numbers,
        "q": adjusted(numbers["p"], "bh"),
        "n": np.full(size, n),
    }
    return pd.DataFrame({name: columns[name] for name in COLUMNS}, copy=False)
