"""What a lens hands to the verdicts: one test per edge, and ways to look closer."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import numpy as np
import pandas as pd

REASONS = (
    "",
    "edge missing on one side",
    "computed values not finite",
    "expert not chosen",
    "degenerate component",
    "effect too small",
    "zero variance with a difference",
    "insufficient evidence",
    "no signal",
)
"""Why an edge cannot be tested; an earlier reason goes before a later one."""

(
    TESTABLE,
    MISSING,
    NOT_FINITE,
    NOT_CHOSEN,
    DEGENERATE,
    TOO_SMALL,
    NO_VARIANCE,
    INSUFFICIENT,
    NO_SIGNAL,
) = range(len(REASONS))

Names = tuple[pd.Categorical, pd.Categorical, pd.Categorical]
Intervals = tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]


@dataclass(frozen=True)
class Parts:
    """The variance of a difference of two recipes, part by part.

    Attributes:
        spread_a, spread_b: between replicates, of the group's mean [e]; 0 for a fixed
            reference.
        df_a, df_b: their degrees of freedom.
        prompts: of the difference over prompts [e].
    """

    spread_a: np.ndarray
    spread_b: np.ndarray
    df_a: float
    df_b: float
    prompts: np.ndarray

    def scaled(self, slope: np.ndarray) -> Parts:
        """The same in other units: standard errors times ``slope`` [e]."""
        variances = (self.spread_a, self.spread_b, self.prompts)
        a, b, prompts = (slope**2 * variance for variance in variances)
        return Parts(a, b, self.df_a, self.df_b, prompts)


@dataclass(frozen=True)
class Rule:
    """How edges are claimed by a lens that does not ask whether ``delta`` is beyond a margin.

    Attributes:
        p: float64 [e], of the lens' own test.
        large: bool [e], edges that may be claimed at all.
        kinds: names of the claims (``rewired``, ``gained`` …), given their rows (int [k]).
        bounds: least and greatest possible ``delta``.
    """

    p: np.ndarray
    large: np.ndarray
    kinds: Callable[[np.ndarray], np.ndarray]
    bounds: tuple[float, float]


@dataclass(frozen=True)
class EdgeTests:
    """One test per edge; float64 [e] unless said otherwise.

    Attributes:
        names: source, target and input of every edge.
        weight_a, weight_b: the edge's number on each side.
        delta: weight_b − weight_a.
        se: standard error of ``delta``.
        df: degrees of freedom, one for all or [e].
        reason: int8 [e], index into ``REASONS``; 0 where the edge can be tested.
        default_margin: the lens' margin when the user gives none.
        own: for chosen edges (int [k]) each side's own 95% interval: low and high of
            A, low and high of B.
        per_prompt: for chosen edges the change prompt by prompt, float64 [n × k].
        gain: robust slope of B's effects on A's; None where it means nothing.
        directions: ``given``, ``from totals``, or "".
        parts: recipe scope: what ``se``² is made of.
        excludes: whether a ``delta`` surely within the margin shows that nothing changed.
        rule: how edges are claimed where ``delta`` and ``se`` do not decide it.
    """

    names: Names
    weight_a: np.ndarray
    weight_b: np.ndarray
    delta: np.ndarray
    se: np.ndarray
    df: float | np.ndarray
    reason: np.ndarray
    default_margin: float
    own: Callable[[np.ndarray], Intervals]
    per_prompt: Callable[[np.ndarray], np.ndarray]
    gain: float | None = None
    directions: str = ""
    parts: Parts | None = None
    excludes: bool = True
    rule: Rule | None = None

    def __len__(self) -> int:
        """Number of edges."""
        return len(self.delta)


def flag(reason: np.ndarray, where: np.ndarray, code: int) -> None:
    """Give edges a reason unless an earlier one holds already."""
    reason[where & ((reason == TESTABLE) | (reason > code))] = code


def flag_numbers(reason: np.ndarray, delta: np.ndarray, se: np.ndarray, known: bool) -> None:
    """Reasons that follow from the numbers themselves.

    ``known`` says whether there are degrees of freedom at all: without them no standard
    error exists, which is thin evidence and no fault of the edge.
    """
    flag(reason, ~np.isfinite(delta), NOT_FINITE)
    if known:
        flag(reason, ~np.isfinite(se), NOT_FINITE)
        flag(reason, (se == 0) & (delta != 0), NO_VARIANCE)


@dataclass(frozen=True, eq=False)
class Closer:
    """What a lens measured beside the columns of a diff; empty for most lenses.

    Attributes:
        by_edge: arrays [e]. Wiring: ``read``, ``write`` (mean change of either side alone, 0 to
            1), ``times_median`` (the change as a multiple of the median change of what its
            receiver reads). Checkpoint scope: also ``cosine`` (between A's and B's channel).
            Recipe scope: ``times_median_a``, ``times_median_b``, groups against their base.
        by_prompt: arrays [n × e]. Checkpoint scope: ``weight_a``, ``weight_b``, ``read``,
            ``write``, ``delta``; recipe scope: ``weight_a``, ``weight_b`` (changes against
            the base), ``delta``.
        random_claims: mean number of claims that random updates of the same size make.
    """

    by_edge: Mapping[str, np.ndarray] = field(default_factory=dict)
    by_prompt: Mapping[str, np.ndarray] = field(default_factory=dict)
    random_claims: float | None = None


@dataclass(frozen=True)
class Split:
    """Why k edges changed: the change of each, split over signal, edge and what follows.

    Attributes:
        parts: of the change [3 × k].
        change: of what was split [k].
        gain: what the norm of all edges adds to ``delta`` [k].
        same: which factors are equal bit for bit [3 × k].
    """

    parts: np.ndarray
    change: np.ndarray
    gain: np.ndarray
    same: np.ndarray


@dataclass(frozen=True)
class Groups:
    """Two groups of variants before the spread between replicates is judged.

    Attributes:
        numbers_a, numbers_b: one number per variant and edge, float64 [k × e].
        variance: sampling variance over prompts of the difference of the groups' means.
        variance_a, variance_b: the same of each group's mean.
    """

    numbers_a: np.ndarray
    numbers_b: np.ndarray
    variance: np.ndarray
    variance_a: np.ndarray
    variance_b: np.ndarray
