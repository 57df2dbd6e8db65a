"""Decisions of a variant with some of another variant's weights.

Unlike patched activations, transplanted weights compute on the other model's own inputs (Prakash
et al. 2024, arXiv:2402.14811), in both directions.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd

from circuitgraph.base.errors import UsageError
from circuitgraph.base.progress import Progress, Reporter
from circuitgraph.base.quoting import quoted, short
from circuitgraph.engine.native import NativeModel
from circuitgraph.interventions.clean import clean_decisions
from circuitgraph.interventions.patching.gap import Gap
from circuitgraph.interventions.transplant.parts import with_parts
from circuitgraph.models.stored import ModelPair, StoredModel
from circuitgraph.runs.aligned import Observations
from circuitgraph.runs.record import Run
from circuitgraph.stats.scenarios import balanced_mean, recode

COLUMNS = (
    *("component", "decision", "share", "low", "high", "flips", "n"),
    *("back_share", "back_low", "back_high"),
)
KEYS = ("granularity", "ablation", "template", "bos", "decision")


@dataclass(frozen=True, eq=False)
class Transplant:
    """Decisions of one variant with weights of another.

    Attributes
    ----------
    table
        One row per set of components: ``component`` (names with commas), ``decision`` (mean over
        scenarios, in nats), ``share`` of the gap between both variants with its 95% interval
        (1: all of it), ``flips`` (prompts whose preferred answer changes), ``n``; ``back_share``,
        ``back_low``, ``back_high``: the other direction, INTO's weights in FROM.
    summary
        Plain JSON values: both names, their decisions, the gap.
    """

    table: pd.DataFrame
    summary: dict[str, Any] = field(default_factory=dict)

    def __repr__(self) -> str:
        return (
            f"Transplant({short(self.summary['source'])} → {short(self.summary['into'])}: "
            f"{len(self.table)} sets)"
        )


def transplant(
    source: Run, into: Run, sets: Sequence[Sequence[str]], reporter: Reporter
) -> Transplant:
    """Replace weights of components by those of another variant, in both directions.

    Parameters
    ----------
    source, into
        Effect runs of two variants of one build on the same prompts.
    sets
        Components replaced together.
    reporter
        Of progress.

    Raises
    ------
    UsageError, InputError
        Runs or models that do not fit together, unknown components.
    """
    pair = ModelPair.alike(source, into, "transplant", KEYS)
    models = pair.engines
    if not all(sets):
        raise UsageError("``components``: name at least one in every set")
    for names in sets:
        with_parts(models[1], models[0], names)  # raises for unknown components before any work
    seen = Observations.of_run(into)
    codes = recode(into.scenarios[seen.first])
    total = 2 * (len(sets) + 1)
    with reporter.progress(total, "transplant", "model") as bar:
        ways = [_way(models[side], models[1 - side], pair, seen, sets, bar) for side in (1, 0)]
    (own, there), (other, back) = ways
    forward, reverse = Gap(own, other, codes), Gap(other, own, codes)
    table = _table(sets, forward, reverse, there, back)
    summary = {
        "source": source.variant.name, "into": into.variant.name, "gap": forward.size,
        "decision_source": float(balanced_mean(other[:, None], codes)[0]),
        "decision_into": float(balanced_mean(own[:, None], codes)[0]),
        "remarks": _remarks(forward, into),
    }  # fmt: skip
    return Transplant(table, summary)


def _way(
    into: NativeModel,
    source: NativeModel,
    pair: ModelPair,
    seen: Observations,
    sets: Sequence[Sequence[str]],
    bar: Progress,
) -> tuple[np.ndarray, np.ndarray]:
    """Decisions [n], and their changes by each set [sets × n]."""
    own = _decisions(into, pair.b, seen)
    bar.advance(1)
    changes = []
    for names in sets:
        changes.append(_decisions(with_parts(into, source, names), pair.b, seen) - own)
        bar.advance(1)
    return own, np.stack(changes)


def _decisions(model: NativeModel, asked: StoredModel, seen: Observations) -> np.ndarray:
    """Decision of every observation: of a pair given both ways, that of its first prompt."""
    return clean_decisions(model, asked.prompts)[seen.first]


def _table(
    sets: Sequence[Sequence[str]],
    forward: Gap,
    reverse: Gap,
    there: np.ndarray,
    back: np.ndarray,
) -> pd.DataFrame:
    a, b = forward.measured(there), reverse.measured(back)
    decided = balanced_mean((forward.into + there).T, forward.scenarios)
    columns = {
        "component": [",".join(names) for names in sets],
        "decision": decided,
        "flips": a["flips"],
        "n": a["n"],
    }
    for prefix, found, gap in (("", a, forward), ("back_", b, reverse)):
        size = gap.size or np.nan
        columns |= {f"{prefix}share": found["share"]}
        columns |= {f"{prefix}{end}": found[end] / size for end in ("low", "high")}
    return pd.DataFrame(columns)[list(COLUMNS)]


def _remarks(gap: Gap, into: Run) -> list[str]:
    if gap.size:
        return []
    return [
        f"{quoted(into.variant.name)} decides as the other does, so there is no gap to share: "
        "decisions and flips alone say what the weights do"
    ]
