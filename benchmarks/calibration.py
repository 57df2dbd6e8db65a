"""How often the correlation lens is wrong, and how much it finds, on simulated tables.

52 components driven by 3 strong factors; both variants see the same prompts (correlation
.9 between them), prompts come in scenarios (ICC .5) and partly twice. Beside the lens
stand the published practice (|Δr| > 0.3 on all rows) and Fisher's z with the same false
discovery rate, both without care for scenarios and duplicates.

    python benchmarks/calibration.py --sets 200
"""

from __future__ import annotations

import argparse
import sys
from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy.special import ndtr

from circuitgraph.base.components import digest
from circuitgraph.diff import CLAIMS, compare_runs
from circuitgraph.lenses.correlation.lens import Correlation
from circuitgraph.prompts.record import RunPrompt
from circuitgraph.runs.record import Method, Run, Variant
from circuitgraph.stats.margins import adjusted
from circuitgraph.stats.triangle import upper

COMPONENTS, FACTORS, REWIRED = 52, 3, 8
SHARES = np.array([0.38, 0.30, 0.12])
BETWEEN = 0.9


@dataclass(frozen=True)
class Simulated:
    """Two tables and the truth: the change of every correlation."""

    a: Run
    b: Run
    change: np.ndarray


def simulate(
    rng: np.random.Generator,
    n: int = 80,
    scenarios: int = 5,
    *,
    rewired: int = 0,
    tails: str = "gaussian",
    icc: float = 0.5,
    duplicates: float = 0.25,
) -> Simulated:
    """Draw two activation tables of ``n`` distinct prompts."""
    loadings = [_loadings(rng)]
    loadings.append(loadings[0].copy())
    loadings[1][:rewired] = _loadings(rng)[:rewired]
    codes = np.arange(n) % scenarios
    scale = np.ones((n, 1)) if tails == "gaussian" else np.sqrt(5 / rng.chisquare(5, (n, 1)))
    tables = []
    latent = [_pair(rng, n, codes, icc, scale, width) for width in (FACTORS, COMPONENTS)]
    for side in range(2):
        unique = np.sqrt(1 - (loadings[side] ** 2).sum(1))
        tables.append(latent[0][side] @ loadings[side].T + latent[1][side] * unique)
    again = np.concatenate([np.arange(n), rng.choice(n, int(duplicates * n), replace=False)])
    runs = [table_run(x[again], codes[again], name) for x, name in zip(tables, "AB", strict=True)]
    r_a, r_b = (x @ x.T for x in loadings)
    return Simulated(*runs, upper(r_b - r_a))


def _loadings(rng: np.random.Generator) -> np.ndarray:
    """Loadings whose factors explain the given shares of variance on average [c × f]."""
    raw = rng.normal(size=(COMPONENTS, FACTORS)) * np.sqrt(SHARES)
    communality = rng.uniform(0.6, 0.95, (COMPONENTS, 1))
    return raw * np.sqrt(communality / (raw**2).sum(1, keepdims=True))


def _pair(
    rng: np.random.Generator,
    n: int,
    codes: np.ndarray,
    icc: float,
    scale: np.ndarray,
    width: int,
) -> tuple[np.ndarray, np.ndarray]:
    """Latent scores of both variants: correlated between them, alike within scenarios."""

    def draw(rows: int) -> tuple[np.ndarray, np.ndarray]:
        first, other = rng.normal(size=(2, rows, width))
        return first, BETWEEN * first + np.sqrt(1 - BETWEEN**2) * other

    own, shared = draw(n), draw(codes.max() + 1)
    a, b = (
        np.sqrt(icc) * s[codes] + np.sqrt(1 - icc) * scale * o
        for o, s in zip(own, shared, strict=True)
    )
    return a, b


def table_run(activity: np.ndarray, codes: np.ndarray, name: str) -> Run:
    """An activation table in memory."""
    names = tuple(f"unit{i}" for i in range(activity.shape[1]))
    prompts = tuple(RunPrompt(f"p{i:05d}", f"s{code}") for i, code in enumerate(codes))
    variant = Variant(name, "", "", "", "table", "table", 0, 0, 0, 0, digest(name))
    method = Method("correlation", granularity="table", activity="table")
    arrays = {"activity": activity.astype(np.float32)}
    return Run(name, variant, method, prompts, "", 0, names, (), {}, {}, 0, "", None, arrays)


def lens_claims(data: Simulated, rank: bool = False) -> np.ndarray:
    """Edges the lens claims, bool [pairs]."""
    lens = Correlation(rank)
    diff = compare_runs([data.a], [data.b], name_a="A", name_b="B", lens=lens, margin=0.0)
    return diff.table["verdict"].isin(CLAIMS).to_numpy()


def threshold_claims(data: Simulated) -> np.ndarray:
    """The published practice: |Δr| > 0.3 over all rows."""
    return np.abs(_plain(data.b) - _plain(data.a)) > 0.3


def fisher_claims(data: Simulated) -> np.ndarray:
    """Fisher's z for independent samples over all rows, BH at 5%."""
    z = np.arctanh(_plain(data.b)) - np.arctanh(_plain(data.a))
    return adjusted(2 * ndtr(-np.abs(z) / np.sqrt(2 / (data.a.n - 3)))) <= 0.05


def _plain(run: Run) -> np.ndarray:
    return upper(np.corrcoef(run.activity, rowvar=False))


METHODS = {
    "circuitgraph": lens_claims,
    "circuitgraph --rank": lambda data: lens_claims(data, rank=True),
    "|Δr| > 0.3": threshold_claims,
    "Fisher z + BH": fisher_claims,
}


def cell(sets: int, seed: int, **options: object) -> pd.DataFrame:
    """Rates over ``sets`` data sets without and with rewiring, one row per method."""
    rng = np.random.default_rng(seed)
    rows = {name: [] for name in METHODS}
    for _ in range(sets):
        null = simulate(rng, **options)
        changed = simulate(rng, rewired=REWIRED, **options)
        same, large = changed.change == 0, np.abs(changed.change) >= 0.4
        for name, method in METHODS.items():
            false, found = method(null), method(changed)
            rows[name].append(
                (
                    false.any(),
                    false.sum(),
                    (found & same).sum() / max(found.sum(), 1),
                    found[large].mean() if large.any() else np.nan,
                )
            )
    columns = ["any false", "false edges", "FDR", "power .4"]
    return pd.DataFrame({k: np.nanmean(v, axis=0) for k, v in rows.items()}, columns).T


def main() -> None:
    """Print every cell."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sets", type=int, default=100)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    for tails in ("gaussian", "t5"):
        for n in (60, 80, 120, 160):
            table = cell(arguments.sets, arguments.seed, n=n, tails=tails)
            sys.stdout.write(f"\n{tails}, {n} distinct prompts in 5 scenarios\n")
            sys.stdout.write(table.to_string(float_format="{:.3f}".format) + "\n")


if __name__ == "__main__":
    main()
