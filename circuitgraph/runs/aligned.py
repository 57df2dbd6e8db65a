"""Signed effects of observations, and the norm of all effects."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from circuitgraph.runs.record import Run
from circuitgraph.runs.signs import Rows, signs_of
from circuitgraph.stats.scenarios import chunks

GIVEN, DERIVED = "given", "from totals"


def directions(run: Run) -> tuple[np.ndarray, str]:
    """+1 where corrupting a prompt should raise the decision, −1 where it should lower it.

    The prompt's own ``direction``; without one the sign of its scenario kept with the prompt set,
    the same for every variant; for runs outside a workspace the sign of the scenario's total. An
    exchanged pair has the sign of its first row, turned for exchanged rows.

    Returns
    -------
    signs : float64 [n]
    origin : {"given", "from totals"}
    """
    given = np.array([p.direction or 0 for p in run.prompts], np.float64)
    if given.all():
        return np.sign(given), GIVEN
    own = run.signs.by_scenario if run.signs else signs_of(run, run.totals)
    rows = Rows.of_run(run)
    derived = np.array([own.get(run.prompts[i].scenario, 1) for i in rows.first], np.float64)
    return np.where(given != 0, np.sign(given), derived[rows.of] * rows.turn), DERIVED


@dataclass(frozen=True, eq=False)
class Observations:
    """Prompts of effect runs as observations: an exchanged pair counts once.

    Attributes
    ----------
    signs : float64 [rows]
        ±1 of every prompt.
    origin : {"given", "from totals"}
    first : int [n]
        The first prompt of each observation.
    of : int [rows]
        The observation of every prompt.
    """

    signs: np.ndarray
    origin: str
    first: np.ndarray
    of: np.ndarray

    @classmethod
    def of_run(cls, run: Run) -> Observations:
        """The observations of a run, and of all runs compared with it."""
        signs, origin = directions(run)
        rows = Rows.of_run(run)
        return cls(signs, origin, rows.first, rows.of)

    @property
    def exchanged(self) -> int:
        """Number of prompts that repeat another one exchanged."""
        return len(self.of) - len(self.first)

    @property
    def weights(self) -> np.ndarray:
        """Weight of every prompt in its observation, float64 [rows]."""
        return 1.0 / np.bincount(self.of)[self.of]

    def mean(self, values: np.ndarray, axis: int = 0) -> np.ndarray:
        """Mean of each observation's prompts; the axis [rows] becomes [n]."""
        if not self.exchanged:
            return values
        moved = np.moveaxis(np.asarray(values, np.float64), axis, 0)
        total = np.zeros((len(self.first), *moved.shape[1:]))
        np.add.at(total, self.of, moved)
        size = np.bincount(self.of).reshape(-1, *(1,) * (moved.ndim - 1))
        return np.moveaxis(total / size, 0, axis)

    def raw(self, values: np.ndarray, axis: int = 0) -> np.ndarray:
        """The same of signed numbers, with the sign of each observation's first prompt."""
        if not self.exchanged:
            return values
        turn = self.signs * self.signs[self.first][self.of]
        shape = [1] * np.ndim(values)
        shape[axis] = -1
        return self.mean(values * turn.reshape(shape), axis)


def overall_norm(effects: np.ndarray) -> float:
    """Mean over prompts of the L2 norm of all edge effects, a variant's gain.

    Edges that are not finite for some prompt are left out. NaN when all effects are 0.
    """
    squares = np.zeros(len(effects))
    for part in chunks(effects.shape[1]):
        values = np.asarray(effects[:, part], np.float64)
        values = values[:, np.isfinite(values).all(0)]
        squares += np.einsum("ij,ij->i", values, values)
    norm = float(np.sqrt(squares).mean())
    return norm if norm > 0 else float("nan")
