"""How often a change of the size that ``plan`` calls visible is claimed by the diff itself.

A pilot is simulated, the smallest visible change (80% power) read off it for another
design, and data sets with changes of just that size are compared. Effects: 200 edges, 8
of them changed; correlations: 20 components (190 edges), 4 pairs changed, the variants'
activities unrelated. Five scenarios throughout.

    python benchmarks/planning.py --sets 100
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import pandas as pd

from circuitgraph.base.components import Edge, digest
from circuitgraph.diff import CLAIMS, compare_runs
from circuitgraph.diff.outcome import compare_sides
from circuitgraph.diff.outlook import Asked, noise_of
from circuitgraph.lenses.base import Lens, Options
from circuitgraph.lenses.correlation.lens import Correlation
from circuitgraph.lenses.effect.lens import Effect
from circuitgraph.lenses.noise import Design
from circuitgraph.prompts.record import RunPrompt
from circuitgraph.runs.record import Method, Run, Variant
from circuitgraph.stats.power import bh_level

EDGES, CHANGED = 200, 8
COMPONENTS, PAIRS = 20, 4
POWER, PILOTS = 0.8, 4

Sides = tuple[list[Run], list[Run]]
Draw = Callable[[np.random.Generator, int, int, float], Sides]
"""Runs of both sides for n prompts, k seeds, and a change."""


def _run(kind: str, values: np.ndarray, name: str) -> Run:
    variant = Variant(name, "", "", "", "simulated", "llama", 2, 2, 2, 9, digest(name))
    n, columns = values.shape
    arrays = {"activity": values.astype(np.float32)}
    method = Method("correlation", granularity="table", activity="table")
    if kind == "effect":
        ones = np.ones(n, np.float32)
        arrays = {"effects": arrays["activity"], "totals": ones, "decisions": ones, "mass": ones}
        method = Method("effect", estimator="exact", inputs="joint", ablation="corrupt")
    return Run(
        id=digest(name, values.tobytes().hex()),
        variant=variant,
        method=method,
        prompts=tuple(RunPrompt(f"p{i}", str(i % 5), direction=1) for i in range(n)),
        prompts_fingerprint="simulated",
        duplicates=0,
        components=() if kind == "effect" else tuple(f"u{i}" for i in range(columns)),
        edges=tuple(Edge(f"L0H{i}", "L1H0", "all") for i in range(columns))
        if kind == "effect"
        else (),
        self_check={},
        versions={},
        seed=0,
        created="",
        _arrays=arrays,
    )


def effects(sigma: float, spread: float, uneven: float) -> Draw:
    """Effects that vary by sigma over prompts and by spread between seeds; spreads uneven."""

    def draw(rng: np.random.Generator, n: int, k: int, change: float) -> Sides:
        levels = np.exp(rng.normal(size=EDGES))
        own = spread * np.exp(uneven * rng.normal(size=EDGES))
        own[:CHANGED] = spread  # those that change are of median noise
        sides: list[list[Run]] = []
        for side, moved in (("A", 0.0), ("B", change)):
            runs = []
            for i in range(k):
                level = levels + own * rng.normal(size=EDGES)
                level[:CHANGED] += moved
                values = level + sigma * rng.normal(size=(n, EDGES))
                runs.append(_run("effect", values, f"{side}{i}"))
            sides.append(runs)
        return sides[0], sides[1]

    return draw


def correlations(rng: np.random.Generator, n: int, k: int, change: float) -> Sides:
    """Unrelated components, but for pairs that are correlated by ``change`` in B."""
    sides = []
    for side, moved in (("A", 0.0), ("B", change)):
        z = rng.normal(size=(n, COMPONENTS))
        first, second = z[:, : 2 * PAIRS : 2], z[:, 1 : 2 * PAIRS : 2]
        z[:, 1 : 2 * PAIRS : 2] = moved * first + np.sqrt(1 - moved**2) * second
        sides.append([_run("correlation", z, side)])
    return sides[0], sides[1]


def share_claimed(sides: Sides, lens: Lens, scope: str, margin: float) -> float:
    """Share of the changed edges that the diff claims."""
    diff = compare_runs(*sides, name_a="A", name_b="B", lens=lens, scope=scope, margin=margin)
    if lens.name == "effect":
        changed = np.arange(EDGES) < CHANGED
    else:
        pairs = {(f"u{2 * i}", f"u{2 * i + 1}") for i in range(PAIRS)}
        ends = zip(diff.table["source"], diff.table["target"], strict=True)
        changed = np.array([pair in pairs for pair in ends])
    return float(diff.table["verdict"][changed].isin(CLAIMS).mean())


def settings() -> Iterator[tuple[str, str, Draw, float, int, int]]:
    """Lens, scope, data, margin, prompts and seeds of each row."""
    for n, margin in ((25, 0.0), (60, 0.1), (120, 0.1)):
        yield "effect", "checkpoint", effects(1.0, 0.0, 0.0), margin, n, 1
    for n in (60, 120):
        yield "correlation", "checkpoint", correlations, 0.1, n, 1
    for uneven in (0.0, 0.5):
        for k in (3, 5, 8):
            yield "effect", "recipe", effects(0.1, 0.2, uneven), 0.1, 40, k


def measured(
    rng: np.random.Generator, setting: tuple[str, str, Draw, float, int, int], sets: int
) -> dict[str, Any]:
    """One row: what pilots of 40 prompts and four seeds predict, and what is claimed."""
    lens, scope, draw, margin, n, k = setting
    asks = Effect("logit") if lens == "effect" else Correlation()
    edges, changed = (EDGES, CHANGED) if lens == "effect" else (190, PAIRS)
    asked = Asked(asks, scope, margin, bh_level(0.05, edges, changed / edges, POWER), POWER)
    sizes, shares = [], []
    for _ in range(PILOTS):
        pilot = draw(rng, 40, 1 if scope == "checkpoint" else 4, 0.0)
        chosen = Options(asks, scope, margin=margin)
        noise = noise_of(compare_sides(*pilot, chosen), asks)
        sizes.append(asked.visible(noise, Design(n, 5, k)))
        for _ in range(max(1, sets // PILOTS)):
            sides = draw(rng, n, k, sizes[-1])
            shares.append(share_claimed(sides, asks, scope, margin))
    numbers = {"prompts": n, "seeds": k, "margin": margin}
    found = {"visible": float(np.mean(sizes)), "claimed": float(np.mean(shares))}
    return {"lens": lens, "scope": scope, **numbers, **found}


def main(arguments: Sequence[str] | None = None) -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sets", type=int, default=100, help="data sets a row")
    sets = parser.parse_args(arguments).sets
    rng = np.random.default_rng(0)
    rows = [measured(rng, setting, sets) for setting in settings()]
    sys.stdout.write(pd.DataFrame(rows).round(3).to_string(index=False) + "\n")


if __name__ == "__main__":
    main()
