"""Opponents: the other player's next move by state."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from circuitgraph.base.errors import UsageError, quoted

Opponent = Callable[[str], float]
"""Probability that the other cooperates next, by the state (own last move, the other's)."""


def tit_for_tat(state: str) -> float:
    """Repeats the learner's last move."""
    return float(state[0] == "C")


def random(state: str) -> float:
    """Either move, whatever happened."""
    return 0.5


def always_cooperates(state: str) -> float:
    """C."""
    return 1.0


def always_defects(state: str) -> float:
    """D."""
    return 0.0


OPPONENTS: Mapping[str, Opponent] = {
    "tit-for-tat": tit_for_tat,
    "random": random,
    "always-C": always_cooperates,
    "always-D": always_defects,
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
