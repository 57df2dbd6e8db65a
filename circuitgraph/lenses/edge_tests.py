"""The tests of a lens, one per edge, more detail for claims, and experts that no router chose."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import pandas as pd

from circuitgraph.base.components import Edge, parse

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
    """Variance components of the difference of two recipes.

    Attributes
    ----------
    spread_a, spread_b : float64 [e]
        Between replicates, of the group's mean; 0 for a fixed reference.
    df_a, df_b : float
    prompts : float64 [e]
        Of the difference, over prompts.
    """

    spread_a: np.ndarray
    spread_b: np.ndarray
    df_a: float
    df_b: float
    prompts: np.ndarray

    def scaled(self, slope: np.ndarray) -> Parts:
        """Variances for standard errors times ``slope`` [e]."""
        variances = (self.spread_a, self.spread_b, self.prompts)
        a, b, prompts = (slope**2 * variance for variance in variances)
        return Parts(a, b, self.df_a, self.df_b, prompts)


@dataclass(frozen=True)
class Rule:
    """How edges are claimed by a lens that does not test ``delta`` against a margin.

    Attributes
    ----------
    p : float64 [e]
    large : bool [e]
        Edges that may be claimed at all.
    kinds : callable
        Names of the claims (``rewired``, ``gained`` …) of some rows (int [k]).
    bounds : (float, float)
        Range of ``delta``.
    """

    p: np.ndarray
    large: np.ndarray
    kinds: Callable[[np.ndarray], np.ndarray]
    bounds: tuple[float, float]


@dataclass(frozen=True)
class EdgeTests:
    """One test per edge; arrays are float64 [e] unless noted.

    Attributes
    ----------
    names : tuple of Categorical
        Source, target and input of every edge.
    weight_a, weight_b : the edge's number on each side
    delta, se : weight_b − weight_a and its standard error
    df : float or float64 [e]
    reason : int8 [e]
        Index into ``REASONS``; 0 where the edge can be tested.
    default_margin : float
    own : callable
        Each side's 95% interval of some edges (int [k]): low and high of A, low and high of B.
    per_prompt : callable
        Change of some edges prompt by prompt, float64 [n × k].
    gain : float, optional
        Robust slope of B's effects on A's.
    directions : {"given", "from totals", ""}
    parts : Parts, optional
        Recipe scope: variance components of ``se``².
    excludes : bool
        Whether an interval of ``delta`` within the margin shows that nothing changed.
    rule : Rule, optional
        How edges are claimed where ``delta`` and ``se`` do not decide it.
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

    ``known`` says whether there are degrees of freedom: without them no standard error exists,
    which is insufficient evidence and not a broken value.
    """
    flag(reason, ~np.isfinite(delta), NOT_FINITE)
    if known:
        flag(reason, ~np.isfinite(se), NOT_FINITE)
        flag(reason, (se == 0) & (delta != 0), NO_VARIANCE)


@dataclass(frozen=True, eq=False)
class LensDetails:
    """Per-edge and per-prompt numbers for which a diff's table has no column.

    Attributes
    ----------
    by_edge : mapping of float64 [e]
        Wiring: ``read``, ``write`` (mean change of either side alone, 0 to 1), ``times_median``
        (the change over the median change of the receiver's inputs), ``cosine`` (between A's and
        B's channel). Recipe scope: ``times_median_a``, ``times_median_b``, against the base.
    by_prompt : mapping of float64 [n × e]
        Wiring: ``weight_a``, ``weight_b``, ``read``, ``write``, ``delta``; at recipe scope changes
        against the base, without ``read`` and ``write``.
    random_claims : float, optional
        Mean number of claims under random updates of the same size.
    """

    by_edge: Mapping[str, np.ndarray] = field(default_factory=dict)
    by_prompt: Mapping[str, np.ndarray] = field(default_factory=dict)
    random_claims: float | None = None


@dataclass(frozen=True)
class Split:
    """The change of k edges, split over signal, edge and downstream.

    Attributes
    ----------
    parts : float64 [3 × k]
    change : float64 [k]
        Their sum.
    gain : float64 [k]
        What the change of the norm of all effects adds to ``delta``.
    same : bool [3 × k]
        Which factors are equal bit for bit.
    """

    parts: np.ndarray
    change: np.ndarray
    gain: np.ndarray
    same: np.ndarray


@dataclass(frozen=True)
class Groups:
    """Numbers and prompt variances of two groups of variants.

    Attributes
    ----------
    numbers_a, numbers_b : float64 [variants × e]
    variance : float64 [e]
        Over prompts, of the difference of the groups' means.
    variance_a, variance_b : float64 [e]
        Over prompts, of each group's mean.
    """

    numbers_a: np.ndarray
    numbers_b: np.ndarray
    variance: np.ndarray
    variance_a: np.ndarray
    variance_b: np.ndarray


def not_chosen(names: Sequence[str], arrays: Sequence[np.ndarray]) -> np.ndarray:
    """Which columns are experts that hold exactly 0 for every prompt in every variant.

    Nothing is measured of an expert that no router chose, which is no finding about it.

    Parameters
    ----------
    names
        Components, one a column [c].
    arrays
        Of every variant [n × c].

    Returns
    -------
    ndarray
        bool [c].
    """
    found = np.array([parse(name).kind == "expert" for name in names], bool)
    if found.any():
        found[found] = _silent([array[:, found] for array in arrays])
    return found


def not_chosen_edges(edges: Sequence[Edge], arrays: Sequence[np.ndarray]) -> np.ndarray:
    """Which edges begin or end at an expert all of whose edges are exactly 0; see ``not_chosen``.

    An expert that is chosen somewhere reads or says something there.
    """
    experts = {name for name in _ends(edges) if parse(name).kind == "expert"}
    if not experts:
        return np.zeros(len(edges), bool)
    loud = np.flatnonzero(~_silent(arrays)).tolist()
    experts -= _ends([edges[i] for i in loud])
    return np.array([edge.source in experts or edge.target in experts for edge in edges], bool)


def _ends(edges: Sequence[Edge]) -> set[str]:
    return {edge.source for edge in edges} | {edge.target for edge in edges}


def _silent(arrays: Sequence[np.ndarray]) -> np.ndarray:
    return np.all([~array.any(0) for array in arrays], axis=0)
