"""Remarks on prompts before an ingest, and on the model's decisions after it."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from circuitgraph.base.errors import quoted
from circuitgraph.base.progress import Reporter
from circuitgraph.prompts import PromptSet
from circuitgraph.runs.record import Run
from circuitgraph.stats.evidence import LITTLE_MASS, MOVES


def remark_on(prompts: PromptSet, kinds: Sequence[str], asked: bool, reporter: Reporter) -> None:
    """Remark on columns not read and on effects that cannot be measured.

    ``asked``: the user chose these edge kinds.
    """
    if prompts.misspelt:
        reporter.warn(f"{prompts.source}: {prompts.misspelt}")
    others = [name for name, meant in prompts.unread if not meant]
    if others:
        reporter.remark(f"{prompts.source}: columns not read: {', '.join(map(repr, others))[:300]}")
    if "effect" not in kinds and not asked:
        reporter.remark(f"effects are not measured: {prompts.source} has no {prompts.lacking}")


def decided(run: Run) -> list[str]:
    """The variant's decisions and their change under corruption: two lines, or none."""
    if "decisions" not in run.arrays:
        return []
    name = f"{quoted(run.variant.name)}"
    prefers = int((np.asarray(run.arrays["decisions"]) > 0).sum())
    lines = [f"{name} prefers the answer on {_share(prefers, run.n)}"]
    if "mass" in run.arrays:
        mass = float(np.mean(run.arrays["mass"]))
        lines[0] += f"; both answers together carry {mass:.0%} of the probability"
        if mass < LITTLE_MASS:
            lines[0] += ": mostly it would say something else"
    totals = np.asarray(run.arrays["totals"], np.float64)
    moved = int((np.abs(totals) >= MOVES).sum())
    average, size = totals.mean(), np.abs(totals).mean()
    return [
        *lines,
        f"{_ABLATIONS.get(run.method.ablation, 'corruption')} changes the decision by "
        f"{size:.2f} nats on average ({average:+.2f} with its sign), by {MOVES} or more on "
        f"{_share(moved, run.n)}"
        + (": where nothing moves, there is no effect to find" if moved < run.n / 2 else ""),
    ]


_ABLATIONS = {"mean": "mean ablation of everything", "zero": "zero ablation of everything"}


def _share(count: int, of: int) -> str:
    return f"{count} of {of} prompts ({count / of:.0%})"
