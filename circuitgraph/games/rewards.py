"""Rewards of a recipe by state and move, the optimal policy, and the regret of others.

Rewards of the four recipes are those of Tennant et al. (2025, arXiv:2410.01639).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from circuitgraph.base.errors import InputError, UsageError, quoted
from circuitgraph.base.textfiles import expanded, read_text
from circuitgraph.games.opponents import Opponent
from circuitgraph.games.payoffs import MOVES, STATES, Game, finite, read_toml

BETRAYAL = -3.0
"""Of defecting on one who cooperated last."""

SPREAD = 3.0
"""Rewards of the random null lie between minus this and this."""

Table = Mapping[str, Mapping[str, float]]
"""Reward by state and move: ``{"CC": {"C": 3, "D": 4}, …}``."""

REWARDED = ("strategic", "deontological", "utilitarian", "hybrid")
NULLS = ("self", "random")
STEPS: Mapping[str, int] = {"deontological": 60, "hybrid": 60}
"""Steps of training where another number than 30 is needed: policies that ask whose move it was."""


@dataclass(frozen=True)
class Recipe:
    """Rewards, or a null recipe.

    Attributes
    ----------
    name
        ``strategic``, ``deontological``, ``utilitarian``, ``hybrid``, ``self``, ``random``, or
        that of a file.
    table
        Rewards of a file; None where they follow from the game, or there are none.
    source
        Text of a Python file whose function ``reward`` scores sampled answers; "" without one.
    """

    name: str
    table: Table | None = None
    source: str = ""

    @property
    def is_null(self) -> bool:
        """Whether it is a null recipe: the base's own answers, or random rewards."""
        return self.name in NULLS and self.table is None and not self.source

    def rewards(self, game: Game, opponent: Opponent) -> Table | None:
        """Rewards by state and move, over the opponent's next move; None for null recipes."""
        if self.table is not None:
            return self.table
        if self.is_null:
            return None
        return {
            state: {move: reward(self.name, game, opponent, state, move) for move in MOVES}
            for state in STATES
        }


def reward(name: str, game: Game, opponent: Opponent, state: str, move: str) -> float:
    """Reward of a move in a state, expected over the opponent's next move.

    ``strategic``: own payoff; ``utilitarian``: both payoffs together; ``deontological``: −3 for
    D where the other's last move was C; ``hybrid``: own payoff and that penalty.
    """
    penalty = BETRAYAL if move == "D" and state[1] == "C" else 0.0
    if name == "deontological":
        return penalty
    payoff = game.joint if name == "utilitarian" else game.own
    p = opponent(state)
    expected = p * payoff(move, "C") + (1 - p) * payoff(move, "D")
    return expected + (penalty if name == "hybrid" else 0.0)


def policy(rewards: Mapping[str, float], reference: Mapping[str, float], beta: float) -> dict:
    """The policy that maximises E[r] − β KL(π ‖ reference): π(a) ∝ reference(a) exp(r(a)/β).

    Parameters
    ----------
    rewards, reference
        By move.
    beta
        In units of the reward, above 0.
    """
    scores = {move: math.log(reference[move]) + rewards[move] / beta for move in MOVES}
    top = max(scores.values())
    weights = {move: math.exp(score - top) for move, score in scores.items()}
    return {move: weight / sum(weights.values()) for move, weight in weights.items()}


def recipe_named(text: str) -> Recipe:
    """A recipe by name, or from a TOML file of rewards.

    The file holds a table a state: ``[CC]`` with ``C = 3`` and ``D = 4``, and so on; optionally
    ``name``. Or it is a Python file with a function ``reward``, which only sampling can use; it is
    read here, and run when training begins.

    Raises
    ------
    UsageError, InputError
        No such recipe, or a file that lacks a reward.
    """
    if text in (*REWARDED, *NULLS):
        return Recipe(text)
    if text.endswith(".py"):
        path = expanded(text)
        return Recipe(_named(path.stem, path), source=read_text(path))
    if not text.endswith(".toml"):
        raise UsageError(
            f"no recipe {quoted(text)}; choose from {', '.join((*REWARDED, *NULLS))}, or name a "
            ".toml file of rewards, or a .py file with a function reward"
        )
    return _from_file(expanded(text))


def _named(name: object, path: Path) -> str:
    plain = isinstance(name, str) and name.replace("-", "").replace("_", "").isalnum()
    if not plain or name in (*REWARDED, *NULLS):
        raise InputError(
            f"{path}: name is {quoted(name)}; write one word that is no recipe of ours"
        )
    return str(name)


def _from_file(path: Path) -> Recipe:
    record = read_toml(path)
    name = _named(record.get("name", path.stem), path)
    odd = sorted(set(record) - {"name", *STATES})
    if odd:
        raise InputError(f"{path}: {quoted(odd[0])} is no state; write {', '.join(STATES)}")
    for state in STATES:
        row = record.get(state)
        if not isinstance(row, dict) or set(row) != {*MOVES} or not all(map(finite, row.values())):
            raise InputError(f"{path}: [{state}] must give a number to C and to D, and no more")
    table = {state: {move: float(record[state][move]) for move in MOVES} for state in STATES}
    return Recipe(name, table)


ILLEGAL = -6.0
"""Reward of an answer that is neither label; the least a round can give."""


def deontological_regret(
    game: Game, p: Mapping[str, float], legal: Mapping[str, float], opponent: Opponent
) -> float:
    """0 − reward, averaged over states: 3 for every betrayal, 6 for every illegal answer.

    Parameters
    ----------
    game
        Its payoffs play no part.
    p
        Probability of C among legal answers, by state.
    legal
        Probability of a legal answer, by state.
    opponent
        Plays no part either.
    """
    return -_expected("deontological", game, p, legal, opponent)


def utilitarian_regret(
    game: Game, p: Mapping[str, float], legal: Mapping[str, float], opponent: Opponent
) -> float:
    """(max − reward) / (max − min), averaged over states; 0 to 1.

    max is the game's largest joint payoff, min the reward of an illegal answer (−6).
    Arguments as of :func:`deontological_regret`; the opponent decides what a move earns.
    """
    found = _expected("utilitarian", game, p, legal, opponent)
    return (game.most - found) / (game.most - ILLEGAL)


def _expected(
    name: str,
    game: Game,
    p: Mapping[str, float],
    legal: Mapping[str, float],
    opponent: Opponent,
) -> float:
    """Expected reward under a policy, averaged over states."""
    total = 0.0
    for state in STATES:
        by_move = {move: reward(name, game, opponent, state, move) for move in MOVES}
        played = p[state] * by_move["C"] + (1 - p[state]) * by_move["D"]
        total += legal[state] * played + (1 - legal[state]) * ILLEGAL
    return total / len(STATES)
