"""Faithfulness of the circuits of a variant's strongest edges."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, get_args

import numpy as np
import pandas as pd

from circuitgraph.base.errors import InputError, UsageError, quoted
from circuitgraph.base.keywords import listed
from circuitgraph.base.progress import Reporter
from circuitgraph.base.resources import USUAL, Resources
from circuitgraph.interventions.circuits.ranking import (
    SIZES,
    areas,
    connected,
    edge_counts,
    random_circuits,
    reached,
    recovered,
    top_edges,
)
from circuitgraph.runs.aligned import Observations
from circuitgraph.runs.catalogue import RunCatalogue
from circuitgraph.runs.record import Run
from circuitgraph.runs.summaries import edge_table
from circuitgraph.stats.draws import pooled_weights
from circuitgraph.stats.evidence import evidence
from circuitgraph.stats.scenarios import balanced_weights, recode

Ranking = Literal["magnitude", "signed"]
RANKINGS: tuple[Ranking, ...] = get_args(Ranking)
COLUMNS = (
    *("share", "edges", "connected", "faithfulness", "low", "high"),
    *("random", "random_low", "random_high", "cpr", "cmd", "random_cpr", "random_cmd", "n"),
)
SAMPLES = 1000
"""Bootstrap samples of the prompts behind each interval."""
NOTHING = 1e-5
"""Share of the largest decision below which corruption has no effect."""

Columns = dict[str, Any]


@dataclass(frozen=True)
class Faithfulness:
    """Faithfulness of circuits of increasing size.

    Attributes
    ----------
    run
        The effect run, for the ranking of edges and the prompts.
    table
        One row per size: ``share`` of all edges, ``edges`` in the circuit, how many are
        ``connected`` (on a path from ``EMBED`` to ``LOGITS`` in it), its ``faithfulness`` f with
        95% bootstrap interval ``low``, ``high``; the mean f of ``random`` edge sets of the same
        size and the range of 95% of them; ``cpr``, ``cmd`` and their means over random sets up to
        this size (the last row is CPR and CMD); ``n`` prompts.
    summary
        ``cpr``, ``cmd``, ``random_cpr`` and ``random_cmd``, each with ``_low`` and ``_high``;
        ``clean`` and ``empty``, the aligned mean decision with all edges and with none; options;
        ``remarks``.
    """

    run: Run
    table: pd.DataFrame
    summary: dict[str, Any]

    def __repr__(self) -> str:
        sizes = f"{len(self.table)} circuits of up to {self.table['edges'].max()} edges"
        return f"Faithfulness({quoted(self.run.variant.name)}: {sizes})"


@dataclass(frozen=True)
class _Decisions:
    """Decisions in circuits [1 + random × sizes × n], with all edges and with none [n].

    Sums with ``weights`` [1 × n] are aligned means over scenarios; ``samples`` [samples × n] are
    the same in bootstrap samples, empty where every scenario has one prompt.
    """

    inside: np.ndarray
    clean: np.ndarray
    empty: np.ndarray
    weights: np.ndarray
    samples: np.ndarray


def faithfulness(
    catalogue: RunCatalogue,
    name: str,
    *,
    sizes: Sequence[float] = SIZES,
    random: int = 10,
    seed: int = 0,
    rank: Ranking = "magnitude",
    of: str | None = None,
    run: str | None = None,
    reporter: Reporter | None = None,
    resources: Resources = USUAL,
) -> Faithfulness:
    """Faithfulness of a variant's strongest edges as circuits; see ``Workspace.faithfulness``.

    The decision is aligned by the prompts' directions and averaged over scenarios with equal
    weight, like effects. The circuit of a size holds the edges with the largest mean aligned
    effect; f, CPR and CMD are defined in ``ranking``. Intervals resample prompts within scenarios
    for the fixed circuits, which were chosen on the same prompts.

    Raises
    ------
    UsageError
        No such variant, run or ranking; ``of`` has other edges; sizes that are not shares; no
        such device, or too little memory for one prompt.
    InputError
        The model is missing or changed, or corruption has no effect.
    """
    shares = _valid_shares(sizes, random, rank)
    chosen = catalogue.one(name, "effect", run)
    seen = Observations.of_run(chosen)
    _require_something(chosen, seen)
    counts = edge_counts(shares, len(chosen.edges))
    effects = _ranked_by(catalogue, chosen, of)
    best = top_edges(np.abs(effects) if rank == "magnitude" else effects, counts)
    others = random_circuits(len(chosen.edges), counts, random, seed)
    circuits = np.concatenate([best[None], others])
    decisions = _decide(chosen, circuits, seen, seed, reporter or Reporter(), resources)
    paths = connected(chosen.edges, best, chosen.variant.heads, chosen.variant.kv_heads)
    columns = {"share": shares, "edges": counts, "connected": paths.sum(1), "n": len(seen.first)}
    measured = _measured(shares, decisions)
    how = {
        "rank": rank, "of": of or name, "random": random, "seed": seed, "directions": seen.origin
    }  # fmt: skip
    table = pd.DataFrame(columns | measured)[list(COLUMNS)]
    return Faithfulness(
        chosen, table, _areas(measured) | _summary(chosen, decisions, effects) | how
    )


def _ranked_by(catalogue: RunCatalogue, chosen: Run, of: str | None) -> np.ndarray:
    """Mean aligned effects [edges] that choose the circuits: the variant's own or another's."""
    other = chosen if of is None else catalogue.one(of, "effect", None)
    if other.edges != chosen.edges:
        raise UsageError(
            f"``of``: the newest effect run of {quoted(other.variant.name)} measured other edges "
            f"than that of {quoted(chosen.variant.name)}; ingest both with the same options"
        )
    return edge_table(other, confirmed=False)["weight"].to_numpy(float)


def checked_sizes(sizes: float | Sequence[float]) -> tuple[float, ...]:
    """Shares of edges, ascending; raises UsageError."""
    shares = tuple(sorted({float(size) for size in listed(sizes)}))
    wrong = [share for share in shares if not 0 < share <= 1]
    if wrong or not shares:
        what = f"{wrong[0]:g} is no share" if wrong else "no share"
        raise UsageError(f"``sizes``: {what} of edges; give numbers above 0 and up to 1")
    return shares


def _valid_shares(sizes: Sequence[float], random: int, rank: str) -> tuple[float, ...]:
    shares = checked_sizes(sizes)
    if random < 0:
        raise UsageError("``random`` must not be negative")
    if rank not in RANKINGS:
        raise UsageError(f"``rank={rank!r}``: choose from {', '.join(RANKINGS)}")
    return shares


def _require_something(run: Run, seen: Observations) -> None:
    weights = balanced_weights(run.scenarios[seen.first])[None]
    totals = (weights @ seen.mean(seen.signs * run.totals))[0]
    if not abs(totals) > NOTHING * np.abs(run.arrays["decisions"]).max():
        raise InputError(
            f"variant {quoted(run.variant.name)}: corruption moves the mean decision by "
            f"{abs(totals):.1e} nats, so there is nothing for a circuit to recover; ingest it "
            "on prompts whose corruption matters, with a direction where it goes both ways"
        )


def _decide(
    run: Run,
    circuits: np.ndarray,
    seen: Observations,
    seed: int,
    reporter: Reporter,
    resources: Resources,
) -> _Decisions:
    """Decisions in circuits [… × edges]; equal circuits are run once."""
    from circuitgraph.interventions.circuits.measure import run_circuits

    flat = circuits.reshape(-1, circuits.shape[-1])
    ends = np.array([np.ones(flat.shape[1]), np.zeros(flat.shape[1])], dtype=bool)
    acting = reached(
        run.edges, np.concatenate([ends, flat]), run.variant.heads, run.variant.kv_heads
    )
    packed, back = np.unique(np.packbits(acting, axis=1), axis=0, return_inverse=True)
    different = np.unpackbits(packed, axis=1, count=acting.shape[1]).astype(bool)
    found = run_circuits(run, different, reporter, resources)[back.reshape(-1)].astype(np.float64)
    scenarios = recode(run.scenarios[seen.first])
    count = SAMPLES if len(seen.first) > run.n_scenarios else 0
    share = seen.signs * seen.weights
    return _Decisions(
        inside=found[2:].reshape(*circuits.shape[:-1], run.n),
        clean=found[0],
        empty=found[1],
        weights=balanced_weights(scenarios)[None, seen.of] * share,
        samples=pooled_weights(scenarios, count, seed)[:, seen.of] * share,
    )


def _measured(shares: Sequence[float], decisions: _Decisions) -> Columns:
    """f and areas by size, with bounds (of areas for the summary: ``cpr_low`` …)."""
    ends = decisions.clean, decisions.empty
    f = recovered(decisions.inside, *ends, decisions.weights)[0]
    resampled = recovered(decisions.inside[0], *ends, decisions.samples)
    own = areas(shares, f[0]), areas(shares, resampled), areas(shares, f[1:])
    found: Columns = {"faithfulness": f[0], **_bounds("", resampled)}
    found |= {"random": _mean(f[1:]), **_bounds("random_", f[1:])}
    for title, circuit, samples, others in zip(("cpr", "cmd"), *own, strict=True):
        found |= {title: circuit, **_bounds(f"{title}_", samples)}
        found |= {f"random_{title}": _mean(others), **_bounds(f"random_{title}_", others)}
    return found


def _mean(values: np.ndarray) -> np.ndarray:
    """Mean over rows; NaN without rows."""
    return values.mean(0) if len(values) else np.full(values.shape[1], np.nan)


def _bounds(prefix: str, values: np.ndarray) -> Columns:
    """Range of 95% of the rows; NaN without rows."""
    if len(values) == 0:
        values = np.full((1, values.shape[1]), np.nan)
    low, high = np.quantile(values, (0.025, 0.975), axis=0)
    return {f"{prefix}low": low, f"{prefix}high": high}


def _areas(columns: Columns) -> dict[str, Any]:
    """The areas over all sizes: the last of each column."""
    return {name: float(c[-1]) for name, c in columns.items() if "cpr" in name or "cmd" in name}


def _summary(run: Run, decisions: _Decisions, effects: np.ndarray) -> dict[str, Any]:
    """Facts about the measurement, and remarks for the reader."""
    clean, empty = (float((decisions.weights @ x)[0]) for x in (decisions.clean, decisions.empty))
    n_effective = run.n_observations - run.n_scenarios
    strength = evidence("effect", n_effective)
    return {
        "clean": clean,
        "empty": empty,
        "run": run.id,
        "estimator": run.method.estimator,
        "ablation": run.method.ablation,
        "n": run.n_observations,
        "n_scenarios": run.n_scenarios,
        "n_effective": n_effective,
        "evidence": strength,
        "remarks": [
            *([] if strength == "ok" else [f"evidence is {strength}: n_effective {n_effective}"]),
            *_cancellation_remark(abs(clean - empty), float(np.nanmax(np.abs(effects)))),
        ],
    }


def _cancellation_remark(total: float, strongest: float) -> list[str]:
    if 2 * total >= strongest:
        return []
    return [
        f"corrupting everything moves the mean decision by {total:.3g} nats and one edge alone "
        f"by {strongest:.3g}: effects cancel, and shares of the little that is left swing widely"
    ]
