"""Opponents: the other player's next move by state."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from circuitgraph.base.errors import UsageError, quoted

Opponent = Callable[[str], float]
"""Probability that the other cooperates next, by the state (own last move, the other's)."""

OPPONENTS: Mapping[str, Opponent] = {
    "tit-for-tat": lambda state: float(state[0] == "C"),  # repeats the learner's last move
    "random": lambda state: 0.5,
    "always-C": lambda state: 1.0,
    "always-D": lambda state: 0.0,
}


def opponent_named(name: str) -> Opponent:
    """An opponent by name.

    Raises
    ------
    UsageError
        No such opponent.
    """
    if name not in OPPONENTS:
        raise UsageError(f"no opponent {quoted(name)}; choose from {', '.join(OPPONENTS)}")
    return OPPONENTS[name]
