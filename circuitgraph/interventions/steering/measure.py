"""Steering by the mean difference of a component's contributions between two variants.

Activation addition (Turner et al. 2023, arXiv:2308.10248; Rimsky et al. 2024, arXiv:2312.06681),
with random directions of equal norm as controls.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from circuitgraph.base.components import Granularity, parse
from circuitgraph.base.errors import UsageError, short
from circuitgraph.base.progress import Progress, Reporter
from circuitgraph.engine.batches import in_batches, right_padded
from circuitgraph.engine.receivers import component_names
from circuitgraph.interventions.both_ways import ASYMMETRY, interventions, tested
from circuitgraph.interventions.clean import clean_batches
from circuitgraph.interventions.patching.record import ROUNDING, Gap
from circuitgraph.interventions.steering.run import sites, steered
from circuitgraph.models.hooked import alike_pair
from circuitgraph.models.stored import BATCH, StoredModel
from circuitgraph.runs.aligned import Observations
from circuitgraph.runs.record import Run
from circuitgraph.stats.margins import half_width
from circuitgraph.stats.scenarios import balanced_mean, balanced_variance, balanced_weights, recode

COLUMNS = (
    *("strength", "effect", "low", "high", "flips", "p"),
    *("random_low", "random_high", "n", *ASYMMETRY),
)
KEYS = ("template", "bos")
FEWEST = 20
"""Smallest number of random directions."""


@dataclass(frozen=True, eq=False)
class Steering:
    """Effect of a steering vector by strength, and its remainder by layer.

    Attributes
    ----------
    table
        One row per strength: ``strength`` (in units of each component's mean norm in the steered
        variant), ``effect`` (mean change of the decision over scenarios, nats) with its 95%
        interval, ``flips`` (prompts whose preferred answer changes), ``p`` (permutation p-value
        against random directions), ``random_low``, ``random_high`` (their 2.5% and 97.5% points),
        ``n``; ``asymmetry``: where the opposite strength was measured too, the sum of both
        effects, with its interval and test: 0 where opposite strengths have opposite effects.
    washout
        One row per layer, at the largest strength: ``layer``, ``share`` (projection of the change
        of the residual stream on the added vector, relative to it), ``random_low``,
        ``random_high``.
    moved
        Of a single component: its effect at strength 1 (else at the largest), in nats toward B's
        decisions.
    summary
        Plain JSON values.
    """

    table: pd.DataFrame
    washout: pd.DataFrame
    moved: pd.DataFrame = field(default_factory=pd.DataFrame)
    summary: dict[str, Any] = field(default_factory=dict)

    def __repr__(self) -> str:
        s = self.summary
        into = short(s["into"])
        return f"Steering({short(s['a'])} → {short(s['b'])} into {into} at {', '.join(s['at'])})"


@dataclass(frozen=True)
class Plan:
    """Options of steering.

    Attributes
    ----------
    at
        Components.
    strengths
        In units of each component's mean norm.
    last_only
        Only at the last prompt token.
    random
        Number of random directions.
    seed
        Of the random directions.
    """

    at: Sequence[str]
    strengths: Sequence[float]
    last_only: bool = False
    random: int = FEWEST
    seed: int = 0

    def __post_init__(self) -> None:
        if not self.at:
            raise UsageError("``at``: name at least one component")
        if self.random < FEWEST:
            raise UsageError(f"``random={self.random}``: {FEWEST} directions or more")
        if not self.strengths or not all(np.isfinite(self.strengths)):
            raise UsageError("``strengths``: give finite numbers")


def steer(a: Run, b: Run, into: Run, plan: Plan, reporter: Reporter) -> Steering:
    """Add the mean difference of two variants' contributions to a third variant's run.

    Parameters
    ----------
    a, b
        The direction is B − A.
    into
        An effect run on the same prompts; may be of A or B.
    plan
        Components, strengths and controls.
    reporter
        Of progress.

    Raises
    ------
    UsageError, InputError
        Runs or models that do not fit together; no difference at one of the components.
    """
    pair = alike_pair(a, b, "steer", KEYS)
    runner = pair.of(into) or alike_pair(a, into, "steer", KEYS).b
    sites(list(plan.at), runner.engine)
    codes = recode(into.scenarios)
    weights = balanced_weights(codes)
    means = [_mean_contributions(m, plan.at, weights) for m in (pair.a, pair.b, runner)]
    vectors = {name: means[1][0][name] - means[0][0][name] for name in plan.at}
    still = [name for name in plan.at if not bool(vectors[name].any())]
    if still:
        raise UsageError(f"``at``: A and B write the same at {', '.join(still)}: no direction")
    sizes = means[2][1]
    own = {name: v / v.norm() * sizes[name] for name, v in vectors.items()}
    generator = torch.Generator().manual_seed(plan.seed)
    drawn = [_drawn(own, sizes, generator) for _ in range(plan.random)]
    total = 1 + len(plan.strengths) * (1 + plan.random)
    with reporter.progress(total, f"steer {short(into.variant.name, 40)}", "run") as bar:
        trial = _Trial(runner, plan, Observations.of_run(into), bar)
        return _steering(trial, own, drawn, (a, b, into))


def _drawn(
    own: Mapping[str, Tensor], sizes: Mapping[str, float], generator: torch.Generator
) -> dict[str, Tensor]:
    found = {}
    for name, vector in own.items():
        direction = torch.randn(len(vector), generator=generator)
        found[name] = direction / direction.norm() * sizes[name]
    return found


@torch.no_grad()
def _mean_contributions(
    model: StoredModel, at: Sequence[str], weights: np.ndarray
) -> tuple[dict[str, Tensor], dict[str, float]]:
    """Mean contribution [d] and mean norm of components at the last prompt token."""
    sums: dict[str, Tensor] = {}
    norms = dict.fromkeys(at, 0.0)
    engine = model.engine
    places: dict[str, tuple[Granularity, int]] = {}
    for name in at:
        whole = name.endswith("_ATTN") or (name.endswith("_MLP") and bool(engine.experts))
        own: Granularity = "layer" if whole else "head"
        places[name] = own, component_names(engine, own).index(name)
    for rows in in_batches(model.prompts, None, BATCH):
        tokens, last = right_padded([model.prompts[i].prompt for i in rows])
        share = torch.tensor(weights[rows], dtype=engine.dtype)
        for granularity in {g for g, _ in places.values()}:
            parts, _ = engine.contributions(tokens, last[:, None], granularity, last + 1)
            for name, (kind, index) in places.items():
                if kind == granularity:
                    part = parts[index, :, 0]
                    sums[name] = sums.get(name, 0) + share @ part
                    norms[name] += float(share @ part.norm(dim=-1))
    return sums, norms


@dataclass(frozen=True)
class _Trial:
    model: StoredModel
    plan: Plan
    seen: Observations
    bar: Progress

    def run(self, added: Mapping[str, Tensor], strength: float) -> tuple[np.ndarray, Tensor]:
        """Decisions of observations [n], and streams [layers, rows, d]."""
        engine, prompts = self.model.engine, self.model.prompts
        decisions = np.empty(len(prompts))
        streams = torch.empty(engine.layers, len(prompts), engine.width)
        scaled = {name: strength * vector for name, vector in added.items()}
        for rows, batch in clean_batches(engine, prompts):
            decided, streams[:, rows] = steered(engine, batch, scaled, self.plan.last_only)
            decisions[rows] = decided.double().numpy()
        self.bar.advance(1)
        return decisions[self.seen.first], streams


def _steering(
    trial: _Trial, own: Mapping[str, Tensor], drawn: list[dict[str, Tensor]], runs: tuple[Run, ...]
) -> Steering:
    a, b, into = runs
    plan, codes = trial.plan, recode(into.scenarios[trial.seen.first])
    clean, streams = trial.run(own, 0.0)
    widest = max(plan.strengths, key=abs)
    rows, washout, changes = [], pd.DataFrame(), {}
    for strength in dict.fromkeys(plan.strengths):
        decided, after = trial.run(own, strength)
        changes[strength] = decided - clean
        others = [trial.run(vectors, strength) for vectors in drawn]
        rows.append(_row(strength, clean, decided, [d for d, _ in others], codes))
        if strength == widest:
            left = [
                _left(streams, x, v, strength)
                for x, v in (
                    (after, own),
                    *((x, v) for (_, x), v in zip(others, drawn, strict=True)),
                )
            ]
            washout = _washout(left, min(parse(name).layer or 0 for name in plan.at))
    summary = {
        "a": a.variant.name, "b": b.variant.name, "into": into.variant.name,
        "at": list(plan.at), "positions": "last" if plan.last_only else "all",
        "random": plan.random, "seed": plan.seed, "n": len(clean),
        **interventions([np.stack(list(changes.values()))]),
    }  # fmt: skip
    table = pd.concat([pd.DataFrame(rows), _asymmetries(changes, codes)], axis=1)
    moved = _moved(trial, runs, changes, clean)
    return Steering(table[list(COLUMNS)], washout, moved, summary)


def _asymmetries(changes: Mapping[float, np.ndarray], codes: np.ndarray) -> pd.DataFrame:
    """Of every strength whose opposite was tried too; NaN elsewhere. Strengths ± are one test."""
    largest = max(float(np.abs(found).mean()) for found in changes.values())
    rounded = {round(s, 9): place for place, s in enumerate(changes)}
    both = [(place, rounded[-s]) for s, place in rounded.items() if s > 0 and -s in rounded]
    table, by_place = np.full((len(changes), len(ASYMMETRY)), np.nan), list(changes.values())
    if both:
        sums = np.stack([by_place[i] + by_place[j] for i, j in both])
        found = tested(sums, codes, ROUNDING * largest, "asymmetry")[list(ASYMMETRY)].to_numpy()
        for places in zip(*both, strict=True):
            table[list(places)] = found
    return pd.DataFrame(table, columns=list(ASYMMETRY))


def _moved(
    trial: _Trial,
    runs: tuple[Run, ...],
    changes: Mapping[float, np.ndarray],
    clean: np.ndarray,
) -> pd.DataFrame:
    """What a single component's direction does, toward B: each scenario has the sign of B − A."""
    a, b, into = runs
    strength = 1.0 if 1.0 in changes else max(changes)
    if len(trial.plan.at) > 1 or strength <= 0:
        return pd.DataFrame(columns=["source_variant", "variant", "component"])
    first, second = (
        np.asarray(run.arrays["decisions"], np.float64)[trial.seen.first] for run in (a, b)
    )
    signs = Gap(first, second, recode(into.scenarios[trial.seen.first])).signs
    found = Gap(clean, clean + signs, recode(into.scenarios[trial.seen.first]))
    return found.measured(changes[strength][None])[["effect", "flips", "n"]].assign(
        component=trial.plan.at[0], source_variant=b.variant.name, variant=into.variant.name
    )


def _row(
    strength: float,
    clean: np.ndarray,
    decided: np.ndarray,
    others: list[np.ndarray],
    codes: np.ndarray,
) -> dict[str, float]:
    change = (decided - clean)[:, None]
    effect = float(balanced_mean(change, codes)[0])
    df = len(codes) - int(codes.max()) - 1
    half = float(half_width(np.sqrt(balanced_variance(change, codes)), max(df, 1))[0])
    random = balanced_mean(np.stack([d - clean for d in others], 1), codes)
    low, high = np.quantile(random, [0.025, 0.975])
    as_large = int((np.abs(random) >= abs(effect) - 1e-12).sum())
    return {
        "strength": strength, "effect": effect, "low": effect - half, "high": effect + half,
        "flips": int(((decided > 0) != (clean > 0)).sum()),
        "p": (1 + as_large) / (len(others) + 1), "random_low": float(low),
        "random_high": float(high), "n": len(clean),
    }  # fmt: skip


def _left(clean: Tensor, after: Tensor, added: Mapping[str, Tensor], strength: float) -> np.ndarray:
    """Projection of the change of the residual stream on the added vector, relative, by layer."""
    vector = torch.stack(list(added.values())).sum(0) * strength
    size = float(vector @ vector) or 1.0
    return ((after - clean) @ vector / size).mean(1).double().numpy()


def _washout(left: list[np.ndarray], first: int) -> pd.DataFrame:
    own, others = left[0], np.stack(left[1:])
    low, high = np.quantile(others, [0.025, 0.975], axis=0)
    table = {"layer": range(len(own)), "share": own, "random_low": low, "random_high": high}
    return pd.DataFrame(table).iloc[first:].reset_index(drop=True)
