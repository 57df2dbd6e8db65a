"""The protocol of a lens: a measure of every edge, with its own options, and its test."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field, fields
from math import inf, isfinite
from numbers import Real
from types import MappingProxyType
from typing import Any, ClassVar, Protocol

import numpy as np
import pandas as pd

from circuitgraph.base.errors import UsageError, short
from circuitgraph.base.progress import Reporter
from circuitgraph.base.resources import USUAL, Resources
from circuitgraph.lenses.edge_tests import EdgeTests, LensDetails, Split
from circuitgraph.lenses.match import Matched, match_runs
from circuitgraph.lenses.noise import Noise
from circuitgraph.lenses.refits import ClaimRefits, Claims, Refits
from circuitgraph.runs.record import Run

WEIGHTS = ("weight_a", "weight_b", "delta")
"""Columns of a diff whose units a lens decides."""
Sides = tuple[Sequence[Run], Sequence[Run]]


@dataclass(frozen=True)
class Models:
    """Access to the models behind stored runs.

    Attributes
    ----------
    reporter : Reporter
    runs : tuple of Run
        All stored runs; the base of an adapter is looked for among them.
    at_hand : mapping
        By id of a run whose model is in no file: a context manager that opens it.
    resources : Resources
        Where to compute, and within what memory.
    """

    reporter: Reporter
    runs: tuple[Run, ...] = ()
    at_hand: Mapping[str, Callable[[], AbstractContextManager[Any]]] = field(default_factory=dict)
    resources: Resources = USUAL


@dataclass(frozen=True)
class Measured:
    """What a lens returns to the comparison.

    Attributes
    ----------
    matched : Matched
    tests : EdgeTests
    refit : callable
        Prepares some claims for being tested again on other prompts.
    lens_details : LensDetails
    """

    matched: Matched
    tests: EdgeTests
    refit: Callable[[Claims], ClaimRefits]
    lens_details: LensDetails = field(default_factory=LensDetails)


@dataclass(frozen=True)
class EdgeRow:
    """One row of a diff: its columns, the lens' other numbers of the edge, and the sides' names."""

    row: Mapping[str, Any]
    lens_details: Mapping[str, float]
    a: str
    b: str
    scope: str
    margin: float


class Lens(Protocol):
    """A question about the edges of two models.

    A lens is a frozen dataclass that inherits from this class; its fields are its own options,
    checked when it is made. A lens that compares stored runs defines ``name``, ``run_kind``,
    ``margin``, ``quantity``, ``unit`` and :meth:`tests`; one that loads models, :meth:`measure`
    as well. All else has defaults. ``lenses.registry`` knows lenses by name.

    Attributes
    ----------
    name : str
        What users call it; the column ``lens`` of tables.
    run_kind : str
        Kind of the runs it compares; "" where it takes either kind.
    scopes : tuple of str
        Which of ``checkpoint`` and ``recipe`` it can answer.
    needs_models : bool
        Whether it loads the models behind the runs.
    directed : bool
        Whether the edge from s to t differs from that from t to s.
    evidence : (int, int)
        Prompts beyond scenarios below which evidence is insufficient, and below which it is low.
    margin, max_margin : float
        Default smallest change that matters, and the largest sensible one, in units of ``delta``.
    has_mechanism : bool
        Whether it can tell why a claim changed.
    quantity, unit : str
        What is measured of an edge, for a sentence and for the head of a table.
    edge, typical, change : str
        How an edge, a typical one, and its change are called.
    assumed : mapping
        By scope, the noise of edges that ``plan`` assumes without a pilot.
    planned : str
        A remark printed with a plan.
    """

    name: ClassVar[str]
    run_kind: ClassVar[str] = ""
    scopes: ClassVar[tuple[str, ...]] = ("checkpoint", "recipe")
    needs_models: ClassVar[bool] = False
    directed: ClassVar[bool] = True
    evidence: ClassVar[tuple[int, int]] = (5, 20)
    margin: ClassVar[float]
    max_margin: ClassVar[float] = inf
    has_mechanism: ClassVar[bool] = False
    edge: ClassVar[str] = "an edge"
    typical: ClassVar[str] = "a typical edge"
    change: ClassVar[str] = "change"
    assumed: ClassVar[Mapping[str, Noise]] = MappingProxyType({})
    planned: ClassVar[str] = ""

    @property
    def quantity(self) -> str: ...

    @property
    def unit(self) -> str: ...

    @property
    def key(self) -> tuple[Any, ...]:
        """Its options as they enter the id of a diff."""
        return tuple(getattr(self, each.name) for each in fields(self))  # type: ignore[arg-type]

    def signed(self, scope: str) -> bool:
        """Whether a change has a sign."""
        return True

    def units(self, scope: str) -> dict[str, str]:
        """Units of the columns ``weight_a``, ``weight_b`` and ``delta`` (and its interval)."""
        return dict.fromkeys(WEIGHTS, self.unit)

    def heads(self, scope: str) -> dict[str, str]:
        """Titles of the columns ``weight_a``, ``weight_b`` and ``delta``."""
        return {"weight_a": f"{self.name}_a", "weight_b": f"{self.name}_b", "delta": "change"}

    def heads_by_scenario(self, scope: str) -> dict[str, str]:
        """Titles of the columns of an explanation."""
        return self.heads(scope)

    # measuring

    def margin_between(self, a: Sequence[Run], b: Sequence[Run]) -> float:
        """Default margin for two sides."""
        return self.margin

    def require(self, runs: Sequence[Run]) -> None:
        """Refuse runs whose models are missing, before any is loaded."""
        return

    def lined_up(self, a: Sequence[Run], b: Sequence[Run]) -> Matched:
        """The runs of both sides with equal rows and equal columns."""
        return match_runs(a, b, self.run_kind or a[0].kind, lens=self.name)

    def tests(self, matched: Matched, scope: str) -> EdgeTests:
        """The test of every edge at one scope.

        Raises
        ------
        UsageError
            The runs do not hold what the lens tests.
        """
        raise UsageError(f"the {self.name} lens tests nothing that lies in runs alone")

    def measure(
        self, a: Sequence[Run], b: Sequence[Run], options: Options, models: Models | None
    ) -> Measured:
        """Line up two sides and test every edge.

        Raises
        ------
        UsageError
            The sides cannot be compared, or need models where there are none.
        InputError
            Models cannot be loaded again.
        """
        return self.measured(self.lined_up(a, b), options)

    def measured(self, matched: Matched, options: Options) -> Measured:
        """Test runs that are lined up."""
        tests = self.tests(matched, options.scope)
        return Measured(matched, tests, lambda claims: self.refits(matched, tests, claims))

    def refits(self, matched: Matched, tests: EdgeTests, claims: Claims) -> ClaimRefits:
        """Prepare some claims for being tested again."""
        return Refits(matched, tests, claims, lambda some: self.tests(some, claims.scope))

    def across(self, matched: Matched) -> Matched | None:
        """Scenario means in place of prompts, if the lens can test those."""
        return None

    def screened(self, runs: Sequence[Run]) -> bool:
        """Whether effects of these runs are estimates, so that claims need exact values."""
        return False

    def exact(self, run: Run, columns: Sequence[int], models: Models) -> np.ndarray:
        """Exact numbers [n × k] of some columns of a screened run, ascending."""
        raise UsageError(f"the {self.name} lens has no estimates to confirm")

    def mechanism(self, compared: Sides, stored: Sides, rows: np.ndarray, models: Models) -> Split:
        """Split the change of some edges (rows, int [k], in the order compared) by its causes.

        Parameters
        ----------
        compared, stored : (runs of A, runs of B)
            With the numbers that were compared, and as they lie on disk.

        Raises
        ------
        CircuitGraphError
            Models are missing or changed, or the lens has no mechanism.
        """
        raise UsageError(f"the {self.name} lens does not tell why edges change")

    def alike(self, matched: Matched, tests: EdgeTests, share: float) -> bool:
        """Whether all sides hold the same numbers, up to a share of the largest."""
        first, *others = (*matched.a, *matched.b)
        reach = share * float(np.max(np.abs(first[np.isfinite(first)]), initial=0.0))
        return bool(first.size) and all(
            np.allclose(first, other, rtol=0.0, atol=reach, equal_nan=True) for other in others
        )

    # beside the claims

    def yardstick(self, measured: Measured, margin: float, seed: int) -> dict[str, Any]:
        """Noise floor: changes of A against a resampled A; empty if the lens has none."""
        return {}

    def naive(self, yardstick: Mapping[str, Any]) -> dict[str, int]:
        """Number of changes by plain thresholds, without a test; empty if that is not usual."""
        return {}

    def averaged(self, n: int, n_effective: int) -> int:
        """Number by which an edge's variance over prompts is divided for that of its mean."""
        return n

    def carrying(self, tests: EdgeTests, margin: float, usable: np.ndarray) -> np.ndarray:
        """Of the usable edges (bool [e]) those whose noise ``plan`` reports."""
        return usable

    def smallest(self, moved: tuple[float, float] | None) -> tuple[float, float] | None:
        """Smallest visible change of a typical and a noisy edge, if prompts do not limit it.

        Parameters
        ----------
        moved : (float, float), optional
            From a pilot: relative change of the virtual weights into a receiver (their median), at
            the median receiver and at the ninth decile.
        """
        return None

    def outlook(self, measured: Measured, margin: float) -> Iterator[str] | None:
        """What this design can show, if prompts and seeds do not limit it; else None."""
        return None

    def remarks(self, measured: Measured, options: Options, margin: float) -> Iterator[str]:
        """Remarks on the method, one line each."""
        return iter(())

    # in words

    def by_prompt(
        self, matched: Matched, rows: pd.DataFrame, lens_details: LensDetails
    ) -> Iterator[dict[str, np.ndarray]]:
        """Per-prompt numbers of rows of a diff: arrays [n] by column, ``change`` among them."""
        scope = str(rows["scope"].iloc[0])
        found = self.tests(matched, scope).per_prompt(rows.index.to_numpy())
        return ({"change": values} for values in found.T)

    def by_scenario(self, rows: pd.DataFrame) -> dict[str, float]:
        """Numbers of one scenario that are not means over its prompts, by column."""
        return {}

    def in_words(self, edge: EdgeRow) -> list[str]:
        """The numbers of one edge, a line each."""
        row = edge.row
        numbers = (
            f"{self.quantity}: {row['weight_a']:.3f} in {short(edge.a)}, "
            f"{row['weight_b']:.3f} in {short(edge.b)}; change {row['delta']:+.3f}"
        )
        if not isfinite(row["low"]):
            return [f"{numbers}."]  # of one prompt, or a circuit file: nothing to test against
        return [
            f"{numbers} (95% from {row['low']:+.3f} to {row['high']:+.3f}), "
            f"p {row['p']:.2g} for a change beyond {edge.margin:g}, q {row['q']:.2g}."
        ]

    def mechanism_in_words(self, row: Mapping[str, Any], extra: Any) -> list[str]:
        """Why a claim changed; ``extra`` is its row of ``Diff.details``."""
        return []

    def yardstick_in_words(self, yardstick: Mapping[str, Any], name: str) -> str:
        """The noise floor of side ``name``, in a line."""
        first = next(iter(yardstick["observed"]))
        return (
            f"yardstick: {yardstick['observed'][first]} edges show {self.size_in_words(first)}; "
            f"{short(name)} against itself, on two bootstrap samples of its prompts, "
            f"{yardstick['self'][first]:.0f}"
        )

    def size_in_words(self, counted: str) -> str:
        """What the first count of a yardstick counts."""
        return "a change beyond margin"

    def same_in_words(self) -> str:
        """The remark for two sides with the same numbers."""
        return f"all numbers of the {self.name} lens are identical"


@dataclass(frozen=True)
class Options:
    """Options of a diff, checked once.

    Attributes
    ----------
    lens : Lens
    scope : {"checkpoint", "recipe"}
        Compare two models, or two groups of replicates.
    alpha : float
        False discovery rate of the claims.
    margin : float, optional
        Smallest change that matters; by default the lens'.
    fdr : {"bh", "by"}
    seed : int
        Of the noise floor's bootstrap, and of the random updates of the wiring lens.

    Raises
    ------
    UsageError
        An unknown choice, or one that does not apply to the lens.
    """

    lens: Lens
    scope: str = "checkpoint"
    alpha: float = 0.05
    margin: float | None = None
    fdr: str = "bh"
    seed: int = 0

    def __post_init__(self) -> None:
        require_choice("scope", self.scope, self.lens.scopes)
        require_choice("fdr", self.fdr, ("bh", "by"))
        if not (isinstance(self.alpha, Real) and 0 < self.alpha < 1):
            raise UsageError(f"alpha: {self.alpha!r} is not between 0 and 1")
        if self.margin is None:
            return
        if not (isinstance(self.margin, Real) and isfinite(self.margin) and self.margin >= 0):
            raise UsageError(f"margin: {self.margin!r} is not a number of at least 0")
        if self.margin > self.lens.max_margin:
            raise UsageError(
                f"margin: {self.margin} is more than {self.lens.edge} can change, which is "
                f"{self.lens.max_margin:g}"
            )


def require_choice(name: str, value: object, allowed: tuple[object, ...]) -> None:
    """Raise ``UsageError`` with the choices unless ``value`` is one of them."""
    if value not in allowed:
        raise UsageError(f"{name}: {value!r} is unknown; choose {' or '.join(map(str, allowed))}")
