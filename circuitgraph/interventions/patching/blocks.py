"""Blocks of correlated claims tested as circuits.

Claims of an effect diff whose changes are correlated over prompts form a block. Its edges are
patched together in both variants, again under a second corruption, and across models (see
``circuits.pair``). Blocks are chosen on the same prompts: a confirmed block acts jointly as
claimed, but other prompts need not show it again.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from circuitgraph.base.components import Edge
from circuitgraph.base.errors import UsageError, short
from circuitgraph.base.progress import Reporter
from circuitgraph.base.resources import USUAL, Resources
from circuitgraph.diff.confirm import as_compared
from circuitgraph.diff.record import CLAIMS, Diff
from circuitgraph.interventions.patching.corruption import Recorrupt
from circuitgraph.interventions.patching.record import Gap
from circuitgraph.lenses.effect.checkpoint import Shares
from circuitgraph.lenses.effect.lens import Effect
from circuitgraph.lenses.match import match_runs
from circuitgraph.runs.aligned import directions
from circuitgraph.runs.record import Run
from circuitgraph.stats.margins import adjusted, half_width, treat_p
from circuitgraph.stats.scenarios import balanced_mean, balanced_variance

if TYPE_CHECKING:
    from circuitgraph.interventions.circuits.pair import SetEffects
    from circuitgraph.interventions.patching.pair import Pair
    from circuitgraph.models.stored import StoredModel

COLUMNS = (
    *("block", "edges", "members", "claims", "set_a", "set_b", "sum_a", "sum_b"),
    *("change", "low", "high", "p", "q", "verdict"),
    *("second", "second_change", "second_low", "second_high", "second_p", "second_q"),
    "corrupt_dependent",
    *("moved_into_a", "moved_into_a_low", "moved_into_a_high"),
    *("moved_into_a_flips", "moved_into_a_away"),
    *("moved_into_b", "moved_into_b_low", "moved_into_b_high"),
    *("moved_into_b_flips", "moved_into_b_away"),
    *("n", "n_scenarios", "n_effective"),
)


@dataclass(frozen=True, eq=False)
class BlockTests:
    """Tests of the blocks of a diff.

    Attributes
    ----------
    diff
        Of the effect lens between two variants.
    table
        One row per block, columns ``COLUMNS``: its number as in ``diff.details``, its ``edges``,
        ``members`` and ``claims``; ``set_a, set_b``, the effect of all its edges patched together,
        and ``sum_a, sum_b``, the sum of their single effects, in the units of the diff's weights;
        the ``change`` set_b − set_a with its 95% interval, p beyond the diff's margin and q over
        blocks; the ``verdict``; the same change under the ``second`` corruption; whether it is
        ``corrupt_dependent``; the share of the decision gap recovered across models with 95%
        interval (``moved_…``), and decisions flipped to the other variant's answer and ``away``.
    summary
        Plain JSON types: counts, the second corruption, both gaps.
    """

    diff: Diff
    table: pd.DataFrame
    summary: dict[str, Any]

    def __repr__(self) -> str:
        told = self.summary
        return (
            f"BlockTests({short(self.diff.name)}: {told['confirmed']} of {told['blocks']} blocks "
            "confirmed)"
        )


def confirm_blocks(
    diff: Diff, recorrupt: Recorrupt, reporter: Reporter, resources: Resources = USUAL
) -> BlockTests:
    """Test every block of claims of a diff as a set of edges.

    Parameters
    ----------
    diff
        Of the effect lens between two variants with their models.
    recorrupt
        The second corruption; see ``corruption``.
    reporter
        Of progress.
    resources
        Device and memory.

    Raises
    ------
    UsageError
        Another lens or scope, or so many claims that no blocks were formed.
    InputError
        Missing or changed files, or pairs of unequal lengths.
    """
    if not isinstance(diff.asks, Effect) or diff.scope != "checkpoint":
        raise UsageError("blocks are tested for the effect lens between two variants")
    numbers = diff.details["block"].to_numpy(int)
    if (numbers < 0).any():
        raise UsageError(f"{len(numbers)} claims are too many for blocks; take a larger ``margin``")
    if not len(numbers):
        return BlockTests(diff, pd.DataFrame(columns=list(COLUMNS)), _summary(diff, None, {}))
    from circuitgraph.interventions.patching.pair import load_pair

    a, b = (side[0] for side in as_compared(diff))
    members = diff.table.loc[diff.details.index]
    sets = _sets(a, members, numbers)
    pair = load_pair(a, b, "blocks", resources)
    work = _Work(diff, a, b, pair, sets, reporter)
    table = pd.concat([_members(members, numbers), work.tested(recorrupt)], axis=1)
    moved, gaps = work.moved()
    table = pd.concat([table, moved], axis=1)[list(COLUMNS)]
    return BlockTests(diff, table, _summary(diff, table, gaps))


def _sets(run: Run, members: pd.DataFrame, numbers: np.ndarray) -> np.ndarray:
    """Edges of the run in each block, bool [blocks × edges]."""
    column = {edge: i for i, edge in enumerate(run.edges)}
    sets = np.zeros((numbers.max() + 1, len(run.edges)), dtype=bool)
    for number, edge in zip(numbers, _edges(members), strict=True):
        sets[number, column[edge]] = True
    return sets


def _edges(rows: pd.DataFrame) -> list[Edge]:
    ends = (rows[name].astype(str) for name in ("source", "target", "input"))
    return [Edge(*names) for names in zip(*ends, strict=True)]


def _members(members: pd.DataFrame, numbers: np.ndarray) -> pd.DataFrame:
    """Members and claims of every block, and sums of single effects."""
    kinds = members["verdict"].astype(str).to_numpy()
    texts = np.array([_text(edge) for edge in _edges(members)], dtype=object)
    weights = members[["weight_a", "weight_b"]].to_numpy(float)
    rows = []
    for number in range(numbers.max() + 1):
        own = numbers == number
        count = Counter(kinds[own])
        rows.append(
            {
                "block": number,
                "edges": int(own.sum()),
                "members": ", ".join(texts[own]),
                "claims": ", ".join(f"{count[k]} {k}" for k in CLAIMS if count[k]),
                "sum_a": weights[own, 0].sum(),
                "sum_b": weights[own, 1].sum(),
            }
        )
    return pd.DataFrame(rows)


def _text(edge: Edge) -> str:
    where = "" if edge.input in ("all", "in") else f".{edge.input}"
    return f"{edge.source}→{edge.target}{where}"


@dataclass(frozen=True)
class _Work:
    """The blocks of one diff as sets of edges, and both models."""

    diff: Diff
    a: Run
    b: Run
    pair: Pair
    sets: np.ndarray
    reporter: Reporter

    def tested(self, recorrupt: Recorrupt) -> pd.DataFrame:
        """Changes of set effects under both corruptions, with verdicts."""
        from circuitgraph.interventions.circuits.pair import require_pairs

        runs = recorrupt(self.a), recorrupt(self.b)
        for model in self._models(runs):  # before the long work
            require_pairs(model)
        shares = Shares.of(match_runs([self.a], [self.b], "effect"), self.diff.own["scale"])
        first = self._change(shares, self._effects((self.a, self.b)))
        effects = self._effects(runs)
        second = self._change(self._realigned(shares, runs, effects), effects)
        named = second.drop(columns=["set_a", "set_b"]).add_prefix("second_")
        confirmed = first["q"].to_numpy() <= self.diff.alpha
        return first.assign(
            verdict=np.where(confirmed, "confirmed", "not_confirmed"),
            second=runs[0].method.ablation,
            **named,
            corrupt_dependent=depends(first, second, self.diff.alpha),
            n=shares.matched.n,
            n_scenarios=shares.matched.n_scenarios,
            n_effective=shares.matched.n_effective,
        )

    def _effects(self, runs: Sequence[Run]) -> list[SetEffects]:
        from circuitgraph.interventions.circuits.pair import set_effects

        return [set_effects(model, self.sets, self.reporter) for model in self._models(runs)]

    def _models(self, runs: Sequence[Run]) -> list[StoredModel]:
        """Both models with the prompts and ablation of these runs."""
        stored = self.pair.stored
        return [model.asked(run) for model, run in zip((stored.a, stored.b), runs, strict=True)]

    def _realigned(
        self, shares: Shares, runs: Sequence[Run], effects: Sequence[SetEffects]
    ) -> Shares:
        """The same shares, with the directions of other corrupt texts."""
        if runs[0].method.ablation != "corrupt":
            return shares
        prompts = tuple(replace(prompt, pair=None) for prompt in runs[0].prompts)
        told = replace(runs[0], prompts=prompts, path=None, signs=None)
        signs, origin = directions(replace(told, _arrays={"totals": effects[0].totals}))
        seen = replace(shares.matched.observations, signs=signs, origin=origin)
        return replace(
            shares,
            matched=replace(shares.matched, seen=seen),
            signs=signs[seen.first],
            directions=origin,
        )

    def _change(self, shares: Shares, effects: Sequence[SetEffects]) -> pd.DataFrame:
        """Set effects of both variants, with a paired test of their difference."""
        norms = [n[0] if shares.scale == "share" else 1.0 for n in (shares.norms_a, shares.norms_b)]
        seen = shares.matched.observations
        a, b = (
            seen.mean(found.changes.T * seen.signs[:, None]) / norm
            for found, norm in zip(effects, norms, strict=True)
        )
        codes, df = shares.matched.scenarios, shares.matched.n_effective
        set_a, set_b = balanced_mean(a, codes), balanced_mean(b, codes)
        change, se = set_b - set_a, np.sqrt(balanced_variance(b - a, codes))
        half = half_width(se, df)
        p = treat_p(change, se, df, self.diff.margin)
        return pd.DataFrame(
            {
                "set_a": set_a,
                "set_b": set_b,
                "change": change,
                "low": change - half,
                "high": change + half,
                "p": p,
                "q": adjusted(p),
            }
        )

    def moved(self) -> tuple[pd.DataFrame, dict[str, Any]]:
        """Share of the gap that each block recovers into A and into B, and the gaps."""
        from circuitgraph.interventions.circuits.pair import moved_sets

        pair, columns, gaps = self.pair, {}, {}
        decisions = [pair.decisions(side) for side in (0, 1)]
        for into, name in enumerate("ab"):
            gap = Gap(decisions[into], decisions[1 - into], pair.scenarios)
            changes = moved_sets(pair, into, self.sets, self.reporter)
            found, size = gap.measured(changes), gap.size or np.nan
            columns[f"moved_into_{name}"] = found["share"]
            columns |= {f"moved_into_{name}_{end}": found[end] / size for end in ("low", "high")}
            columns[f"moved_into_{name}_flips"] = found["flips_to_source"]
            columns[f"moved_into_{name}_away"] = found["flips_away"]
            gaps[f"gap_into_{name}"] = gap.size
            gaps["disagree"] = int(gap.disagree.sum())
        return pd.DataFrame(columns), gaps


def depends(first: pd.DataFrame, second: pd.DataFrame, alpha: float) -> np.ndarray:
    """Whether two corruptions disagree about a change, bool [blocks].

    True where only one shows a change beyond the margin (q ≤ alpha), or both with opposite signs.

    Parameters
    ----------
    first, second
        Columns ``change`` and ``q``.
    alpha
        False discovery rate.
    """
    relevant, again = (t["q"].to_numpy() <= alpha for t in (first, second))
    opposed = first["change"].to_numpy() * second["change"].to_numpy() < 0
    return (relevant != again) | (relevant & again & opposed)


def _summary(diff: Diff, table: pd.DataFrame | None, gaps: dict[str, Any]) -> dict[str, Any]:
    """Counts, in plain JSON types."""
    counts: dict[str, Any] = {"blocks": 0, "confirmed": 0, "corrupt_dependent": 0, "second": ""}
    if table is not None:
        counts["blocks"] = len(table)
        counts["confirmed"] = int((table["verdict"] == "confirmed").sum())
        counts["corrupt_dependent"] = int(table["corrupt_dependent"].sum())
        counts["second"] = str(table["second"].iloc[0])
    return {**counts, "claims": diff.summary["n_claims"], "margin": diff.margin, **gaps}
