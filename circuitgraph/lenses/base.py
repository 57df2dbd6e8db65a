"""What a lens is: a question about edges, with its own options, that any diff can ask."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field, fields
from math import inf, isfinite
from types import MappingProxyType
from typing import Any, ClassVar, Protocol

import numpy as np
import pandas as pd

from circuitgraph.base.errors import UsageError
from circuitgraph.base.progress import Reporter
from circuitgraph.base.quoting import short
from circuitgraph.base.resources import USUAL, Resources
from circuitgraph.lenses.edge_tests import Closer, EdgeTests, Split
from circuitgraph.lenses.match import Matched, match_runs
from circuitgraph.lenses.noise import Noise
from circuitgraph.lenses.refits import Again, Claims, Refits
from circuitgraph.runs.record import Run

WEIGHTS = ("weight_a", "weight_b", "delta")
"""Columns of a diff whose units a lens decides."""
Sides = tuple[Sequence[Run], Sequence[Run]]


@dataclass(frozen=True)
class Models:
    """Leave to load the models behind stored runs.

    Attributes:
        reporter: where progress and remarks go.
        runs: all runs that are stored, among which the base of others is looked for.
        at_hand: by id of a run whose model no file holds, what opens it, for a ``with``.
        resources: where to compute, and within what memory.
    """

    reporter: Reporter
    runs: tuple[Run, ...] = ()
    at_hand: Mapping[str, Callable[[], AbstractContextManager[Any]]] = field(default_factory=dict)
    resources: Resources = USUAL


@dataclass(frozen=True)
class Measured:
    """What a lens hands to the comparison.

    Attributes:
        matched: the runs, lined up.
        tests: one test per edge.
        again: makes the test of some claims ready to be made again.
        closer: what else was measured.
    """

    matched: Matched
    tests: EdgeTests
    again: Callable[[Claims], Again]
    closer: Closer = field(default_factory=Closer)


@dataclass(frozen=True)
class EdgeRow:
    """One row of a diff, to be put into words.

    Attributes:
        row: its columns.
        closer: what the lens measured of it beside them.
        a, b: what the sides are called.
        scope, margin: of the diff.
    """

    row: Mapping[str, Any]
    closer: Mapping[str, float]
    a: str
    b: str
    scope: str
    margin: float


class Lens(Protocol):
    """A question about the edges of two models.

    A lens is a small frozen dataclass that inherits from this class. Its fields are the
    options that only this lens has, checked when it is made; all else that a diff must know of
    it stands in the attributes and methods below, most of which have defaults. A lens whose
    numbers lie in stored runs must define ``name``, ``run_kind``, ``margin``, ``quantity``,
    ``unit`` and :meth:`tests`; one that loads models, :meth:`measure` as well.
    ``lenses.registry`` knows lenses by name.

    Attributes
    ----------
    name : str
        What users call it; the column ``lens`` of tables.
    run_kind : str
        Kind of the runs it compares; "" where it takes either kind.
    scopes : tuple of str
        Which of ``checkpoint`` and ``recipe`` it can answer.
    needs_models : bool
        Whether it loads the models behind the runs again.
    directed : bool
        Whether an edge from s to t is another one than that from t to s.
    evidence : (int, int)
        Prompts beyond scenarios below which evidence is insufficient, and below which it is low.
    margin : float
        Smallest change that matters, where none is given, in the units of ``delta``.
    max_margin : float
        Beyond this no margin makes sense.
    has_mechanism : bool
        Whether it can tell why a claim changed.
    quantity, unit : str
        What is measured of an edge, for a sentence and for the head of a table.
    edge, typical, change : str
        How an edge, a typical one, and its change are called.
    assumed : mapping
        By scope, how noisy edges are taken to be where nothing is known yet.
    planned : str
        What must be said beside a plan.
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
        """What people read above ``weight_a``, ``weight_b`` and ``delta``."""
        return {"weight_a": f"{self.name}_a", "weight_b": f"{self.name}_b", "delta": "change"}

    def heads_by_scenario(self, scope: str) -> dict[str, str]:
        """What people read above the columns of an explanation."""
        return self.heads(scope)

    # measuring

    def margin_between(self, a: Sequence[Run], b: Sequence[Run]) -> float:
        """The margin of two sides where none is given."""
        return self.margin

    def require(self, runs: Sequence[Run]) -> None:
        """Refuse runs that cannot be compared for want of their models, before any is loaded."""
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
        """The same of runs that are lined up."""
        tests = self.tests(matched, options.scope)
        return Measured(matched, tests, lambda claims: self.refits(matched, tests, claims))

    def refits(self, matched: Matched, tests: EdgeTests, claims: Claims) -> Again:
        """The test of some claims, ready to be made again."""
        return Refits(matched, tests, claims, lambda some: self.tests(some, claims.scope))

    def across(self, matched: Matched) -> Matched | None:
        """Scenarios in the place of prompts, where the same test can be made of them."""
        return None

    def screened(self, runs: Sequence[Run]) -> bool:
        """Whether numbers of these runs are estimates that claims must not rest on alone."""
        return False

    def exact(self, run: Run, columns: Sequence[int], models: Models) -> np.ndarray:
        """Exact numbers [n × k] of some columns of a screened run, ascending."""
        raise UsageError(f"the {self.name} lens has no estimates to confirm")

    def mechanism(self, compared: Sides, stored: Sides, rows: np.ndarray, models: Models) -> Split:
        """Why some edges changed (rows, int [k], in the order compared).

        Parameters
        ----------
        compared, stored : (runs of A, runs of B)
            With the numbers that were compared, and as they lie on disk.
        rows : int [k]
        models : Models

        Raises
        ------
        CircuitGraphError
            It cannot be told, or not any more.
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
        """How much A would seem to differ from itself; empty where that is not counted."""
        return {}

    def naive(self, yardstick: Mapping[str, Any]) -> dict[str, int]:
        """What a cut without a test would report, by cut; empty where nobody does that."""
        return {}

    def averaged(self, n: int, n_effective: int) -> int:
        """By how many an edge's variance over prompts is divided: that of its mean."""
        return n

    def carrying(self, tests: EdgeTests, margin: float, usable: np.ndarray) -> np.ndarray:
        """Of the usable edges (bool [e]) those whose noise is of interest."""
        return usable

    def smallest(self, moved: tuple[float, float] | None) -> tuple[float, float] | None:
        """Smallest visible change of a typical and of a noisy edge, where no noise of prompts
        decides it; else None.

        Parameters
        ----------
        moved : (float, float), optional
            Of a pilot: by how much the virtual weights into a receiver changed, their median at
            the median receiver and at the ninth decile.
        """
        return None

    def outlook(self, measured: Measured, margin: float) -> Iterator[str] | None:
        """What this design could see, where prompts and seeds do not decide it; else None."""
        return None

    def remarks(self, measured: Measured, options: Options, margin: float) -> Iterator[str]:
        """What a reader must know of the method, one line each."""
        return iter(())

    # in words

    def by_prompt(
        self, matched: Matched, rows: pd.DataFrame, closer: Closer
    ) -> Iterator[dict[str, np.ndarray]]:
        """Numbers of some rows of a diff's table, prompt by prompt: arrays [n] by column, one of
        them ``change`` or ``delta``."""
        scope = str(rows["scope"].iloc[0])
        found = self.tests(matched, scope).per_prompt(rows.index.to_numpy())
        return ({"change": values} for values in found.T)

    def by_scenario(self, rows: pd.DataFrame) -> dict[str, float]:
        """Numbers of one scenario that are no means over its prompts, by column."""
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
        """How much side ``name`` seems to differ from itself, in a line."""
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
        """What is said where both sides hold the same numbers."""
        return f"all numbers of the {self.name} lens are identical"


@dataclass(frozen=True)
class Options:
    """How to compare: everything a user can choose about a diff, checked once.

    Attributes
    ----------
    lens : Lens
        With its own options.
    scope : {"checkpoint", "recipe"}
        These two models differ, or this training does it.
    alpha : float
        False discovery rate of the claims.
    margin : float, optional
        Smallest change that matters; None for the lens' default.
    fdr : {"bh", "by"}
    seed : int
        Of the yardstick's bootstrap; of the random updates behind the wiring of a model.

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
        if not 0 < self.alpha < 1:
            raise UsageError(f"alpha: {self.alpha} is not between 0 and 1")
        if self.margin is None:
            return
        if not (isfinite(self.margin) and self.margin >= 0):
            raise UsageError(f"margin: {self.margin} is not a number of at least 0")
        if self.margin > self.lens.max_margin:
            raise UsageError(
                f"margin: {self.margin} is more than {self.lens.edge} can change, which is "
                f"{self.lens.max_margin:g}"
            )


def require_choice(name: str, value: object, allowed: tuple[object, ...]) -> None:
    """Refuse what is none of the choices.

    Raises
    ------
    UsageError
        Names the choices.
    """
    if value not in allowed:
        raise UsageError(f"{name}: {value!r} is unknown; choose {' or '.join(map(str, allowed))}")
