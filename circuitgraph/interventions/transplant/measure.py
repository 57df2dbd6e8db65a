"""Decisions of a variant with some of another variant's weights.

Unlike patched activations, transplanted weights compute on the other model's own inputs (Prakash
et al. 2024, arXiv:2402.14811), in both directions.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import combinations
from typing import Any

import numpy as np
import pandas as pd

from circuitgraph.base.errors import UsageError, quoted, short
from circuitgraph.base.progress import Progress, Reporter
from circuitgraph.engine.bridge.engine import HookedModel
from circuitgraph.engine.native import NativeModel
from circuitgraph.interventions.both_ways import ASYMMETRY, asymmetry, interventions, tested
from circuitgraph.interventions.clean import clean_decisions
from circuitgraph.interventions.patching.record import ROUNDING, Gap
from circuitgraph.interventions.transplant.hooked import with_weights
from circuitgraph.interventions.transplant.parts import with_parts
from circuitgraph.models.hooked import alike_pair
from circuitgraph.models.stored import ModelPair
from circuitgraph.runs.aligned import Observations
from circuitgraph.runs.record import Run
from circuitgraph.stats.scenarios import balanced_mean, recode

COLUMNS = (
    *("component", "decision", "share", "low", "high", "flips", "n"),
    *("back_share", "back_low", "back_high", *ASYMMETRY),
)
PAIR_COLUMNS = (
    *("first", "second", "both", "sum", "interaction"),
    *("interaction_low", "interaction_high", "interaction_p", "interaction_q"),
    *("back_interaction", "back_low", "back_high", "n"),
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
        ``back_low``, ``back_high``: the other direction, INTO's weights in FROM; ``asymmetry``:
        ``share`` − ``back_share`` with its interval and test.
    pairs
        One row per pair of sets, on request: shares of ``both`` together and the ``sum`` of each
        alone, and their difference, the ``interaction``, with its interval and test; 0 where the
        two are additive. ``back_interaction`` is that of the other direction.
    moved
        One row per set and direction, with ``effect`` in nats toward the source.
    summary
        Plain JSON values: both names, their decisions, the gap, the number of interventions.
    """

    table: pd.DataFrame
    pairs: pd.DataFrame = field(default_factory=lambda: pd.DataFrame(columns=list(PAIR_COLUMNS)))
    moved: pd.DataFrame = field(default_factory=pd.DataFrame)
    summary: dict[str, Any] = field(default_factory=dict)

    def __repr__(self) -> str:
        return (
            f"Transplant({short(self.summary['source'])} → {short(self.summary['into'])}: "
            f"{len(self.table)} sets)"
        )


def transplant(
    source: Run,
    into: Run,
    sets: Sequence[Sequence[str]],
    reporter: Reporter,
    pairs: bool = False,
) -> Transplant:
    """Replace weights of components by those of another variant, in both directions.

    Parameters
    ----------
    source, into
        Effect runs of two variants of one build on the same prompts.
    sets
        Components replaced together; a set named twice is one.
    reporter
        Of progress.
    pairs
        Also every two sets together: are their effects additive?

    Raises
    ------
    UsageError, InputError
        Runs or models that do not fit together, unknown components, pairs of sets that share one.
    """
    if not all(sets):
        raise UsageError("``components``: name at least one in every set")
    given, sets = len(sets), _distinct(sets)
    joint = _pairs_of(sets) if pairs else []
    pair = alike_pair(source, into, "transplant", KEYS, untied=True)
    models = pair.engines
    for names in sets:
        with _mixed(models[1], models[0], names):
            pass  # raises for unknown components before any work
    whole = [*sets, *([*sets[i], *sets[j]] for i, j in joint)]
    seen = Observations.of_run(into)
    codes = recode(into.scenarios[seen.first])
    total = 2 * (len(whole) + 1)
    with reporter.progress(total, "transplant", "model") as bar:
        ways = [_way(models[side], models[1 - side], pair, seen, whole, bar) for side in (1, 0)]
    (own, there), (other, back) = ways
    gaps = Gap(own, other, codes), Gap(other, own, codes)
    k = len(sets)
    summary = {
        "source": source.variant.name, "into": into.variant.name, "gap": gaps[0].size,
        "decision_source": float(balanced_mean(other[:, None], codes)[0]),
        "decision_into": float(balanced_mean(own[:, None], codes)[0]),
        **interventions([there, back]),
        "remarks": _remarks(gaps[0], into, given - k),
    }  # fmt: skip
    changes = there[:k], back[:k]
    measured = [gap.measured(own) for gap, own in zip(gaps, changes, strict=True)]
    found = _pair_table(sets, joint, gaps, (there, back))
    table = _table(sets, gaps, changes, measured)
    return Transplant(table, found, _moved(sets, measured, source, into), summary)


def _distinct(sets: Sequence[Sequence[str]]) -> list[list[str]]:
    """Sets of which none holds what another does, in the order given."""
    known: dict[frozenset[str], list[str]] = {}
    for names in sets:
        known.setdefault(frozenset(names), list(dict.fromkeys(names)))
    return list(known.values())


def _pairs_of(sets: Sequence[Sequence[str]]) -> list[tuple[int, int]]:
    found = list(combinations(range(len(sets)), 2))
    for i, j in found:
        if shared := set(sets[i]) & set(sets[j]):
            raise UsageError(
                f"``pairs``: {quoted(min(shared))} is in two sets, so that these are not two "
                "parts; name sets that share none"
            )
    if not found:
        raise UsageError("``pairs``: name two sets or more")
    return found


def _way(
    into: NativeModel,
    source: NativeModel,
    pair: ModelPair,
    seen: Observations,
    sets: Sequence[Sequence[str]],
    bar: Progress,
) -> tuple[np.ndarray, np.ndarray]:
    """Decisions [n], and their changes by each set [sets × n]."""
    # of a pair of prompts given both ways, the decision of the first
    own = clean_decisions(into, pair.b.prompts)[seen.first]
    bar.advance(1)
    changes = []
    for names in sets:
        with _mixed(into, source, names) as model:
            changes.append(clean_decisions(model, pair.b.prompts)[seen.first] - own)
        bar.advance(1)
    return own, np.stack(changes)


@contextmanager
def _mixed(into: NativeModel, source: NativeModel, names: Sequence[str]) -> Iterator[NativeModel]:
    """``into`` with the weights of some components of ``source``."""
    if isinstance(into, HookedModel):
        with with_weights(into, source, names) as model:
            yield model
    else:
        yield with_parts(into, source, names)


def _table(
    sets: Sequence[Sequence[str]],
    gaps: tuple[Gap, Gap],
    changes: tuple[np.ndarray, np.ndarray],
    measured: Sequence[pd.DataFrame],
) -> pd.DataFrame:
    (forward, reverse), (a, b) = gaps, measured
    columns = {
        "component": [",".join(names) for names in sets],
        "decision": balanced_mean((forward.into + changes[0]).T, forward.scenarios),
        "flips": a["flips"],
        "n": a["n"],
    }
    for prefix, found, gap in (("", a, forward), ("back_", b, reverse)):
        size = gap.size or np.nan
        columns |= {f"{prefix}share": found["share"]}
        columns |= {f"{prefix}{end}": found[end] / size for end in ("low", "high")}
    there, back = _shares(gaps, changes)
    found = asymmetry(there, back, forward.scenarios, ROUNDING)
    return pd.concat([pd.DataFrame(columns), found], axis=1)[list(COLUMNS)]


def _shares(
    gaps: tuple[Gap, Gap], changes: tuple[np.ndarray, np.ndarray]
) -> tuple[np.ndarray, np.ndarray]:
    """Changes toward the source prompt by prompt, as shares of the mean gap, both ways."""
    first, second = (
        np.asarray(found, np.float64) * gap.signs / (gap.size or np.nan)
        for gap, found in zip(gaps, changes, strict=True)
    )
    return first, second


def _pair_table(
    sets: Sequence[Sequence[str]],
    joint: Sequence[tuple[int, int]],
    gaps: tuple[Gap, Gap],
    changes: tuple[np.ndarray, np.ndarray],
) -> pd.DataFrame:
    """Non-additivity: the share of two sets together minus the sum of each alone."""
    if not joint:
        return pd.DataFrame(columns=list(PAIR_COLUMNS))
    codes, names = gaps[0].scenarios, [",".join(own) for own in sets]
    first, second = (np.array(side) for side in zip(*joint, strict=True))
    parts = []
    for prefix, found in zip(("", "back_"), _shares(gaps, changes), strict=True):
        together, added = found[len(sets) :], found[first] + found[second]
        extra = tested(together - added, codes, ROUNDING, f"{prefix}interaction")
        parts.append(extra.rename(columns=lambda name: name.replace("back_interaction_", "back_")))
        if not prefix:
            means = {
                "both": balanced_mean(together.T, codes), "sum": balanced_mean(added.T, codes),
            }  # fmt: skip
    table = {"first": [names[i] for i in first], "second": [names[j] for j in second], **means}
    whole = pd.concat([pd.DataFrame(table), *parts], axis=1).assign(n=len(codes))
    return whole[list(PAIR_COLUMNS)]


def _moved(
    sets: Sequence[Sequence[str]], measured: Sequence[pd.DataFrame], source: Run, into: Run
) -> pd.DataFrame:
    """Effects of every set, in nats toward the source, both directions."""
    ways = zip(measured, ((source, into), (into, source)), strict=True)
    return pd.concat(
        [
            found[["effect", "flips", "n"]].assign(
                component=[",".join(names) for names in sets],
                source_variant=given.variant.name, variant=ran.variant.name,
            )
            for found, (given, ran) in ways
        ],
        ignore_index=True,
    )  # fmt: skip


def _remarks(gap: Gap, into: Run, copies: int) -> list[str]:
    told = []
    if copies:
        told.append(f"{copies} of the sets repeat another, and are counted once")
    if not gap.size:
        told.append(
            f"{quoted(into.variant.name)} decides as the other does, so there is no gap to share: "
            "decisions and flips alone say what the weights do"
        )
    return told
