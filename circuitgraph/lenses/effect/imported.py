"""Agreement of two circuit files: their scores and their edges, without a test."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from circuitgraph.base.errors import short
from circuitgraph.lenses.match import Matched
from circuitgraph.runs.circuit_file import circuit_of
from circuitgraph.runs.record import Run
from circuitgraph.stats.correlations import mean_ranks

NOTHING = (
    "these are circuit files: one score an edge and no prompts, so there is no noise to test "
    "against, no p and no verdict; what follows describes. To test, ingest the models on prompts"
)


def circuit_agreement(matched: Matched) -> Iterator[str]:
    """Why nothing is tested, and how the first circuits of both sides agree.

    Spearman correlation of |scores|; the number of shared edges beside kA · kB / edges, which two
    random circuits of these sizes share on average.
    """
    yield NOTHING
    first, second = matched.runs_a[0], matched.runs_b[0]
    same = ~matched.missing
    ranks = [mean_ranks(np.abs(side[0][0, same])) for side in (matched.a, matched.b)]
    yield (
        f"sizes of scores agree with a rank correlation of {_correlation(*ranks):.2f} over "
        f"{int(same.sum())} edges"
    )
    flags = [_flags(run, matched) for run in (first, second)]
    if flags[0] is None or flags[1] is None:
        return
    a, b = flags[0], flags[1]
    both, either = int((a & b).sum()), int((a | b).sum())
    chance = float(a.sum()) * float(b.sum()) / max(1, len(a))
    yield (
        f"in the circuit: {int(a.sum())} edges of {short(first.variant.name)}, {int(b.sum())} of "
        f"{short(second.variant.name)}, {both} of both (Jaccard {both / max(1, either):.2f}; "
        f"{chance:.0f} would be shared by chance)"
    )


def _flags(run: Run, matched: Matched) -> np.ndarray | None:
    """Which of the edges compared are in a run's circuit, bool [e]."""
    circuit = circuit_of(run)
    if circuit is None:
        return None
    chosen = {edge for edge, flag in zip(circuit.edges, circuit.in_graph, strict=True) if flag}
    return np.array([edge in chosen for edge in matched.edges], dtype=bool)


def _correlation(a: np.ndarray, b: np.ndarray) -> float:
    if len(a) < 2 or a.std() == 0 or b.std() == 0:
        return float("nan")
    return float(np.corrcoef(a, b)[0, 1])
