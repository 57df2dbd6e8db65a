"""Rewards of sampled answers: those of a game, by rule, or of a function of one's own."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib.abc import InspectLoader
from types import ModuleType
from typing import Any

from circuitgraph.base.errors import InputError, first_line, quoted
from circuitgraph.games.payoffs import MOVES, finite
from circuitgraph.games.rewards import Recipe, Table
from circuitgraph.training.texts import Group

ILLEGAL = -6.0
"""Reward of an answer that is neither label (Tennant et al. 2025, arXiv:2410.01639)."""


@dataclass(frozen=True)
class GameReward:
    """Rewards by game, state and move; an answer is read from its first tokens.

    Attributes
    ----------
    tables
        Reward by game, state and move.
    """

    tables: Mapping[str, Table]
    __name__ = "reward"  # the library logs it by this name

    def __call__(
        self,
        prompts: Sequence[str],
        completions: Sequence[str],
        completion_ids: Sequence[Sequence[int]],
        **columns: Sequence[Any],
    ) -> list[float]:
        """One reward a completion."""
        told = zip(
            completion_ids, *(columns[name] for name in ("game", "state", *MOVES)), strict=True
        )
        return [self._one(ids, game, state, labels) for ids, game, state, *labels in told]

    def _one(self, ids: Sequence[int], game: str, state: str, labels: Sequence[Any]) -> float:
        moves = sorted(zip(MOVES, labels, strict=True), key=lambda pair: -len(pair[1]))
        for move, label in moves:  # the longer first: one may begin with the other
            if list(ids[: len(label)]) == list(label):
                return self.tables[game][state][move]
        return ILLEGAL


def game_texts(groups: Sequence[Group]) -> list[tuple[Sequence[int], Mapping[str, Any]]]:
    """Prompts of all groups with the columns that ``GameReward`` reads, each text once."""
    found = {
        text.ids: {
            "game": text.game, "state": text.state,
            **{move: list(ids) for move, ids in zip(MOVES, text.answers, strict=True)},
        }
        for group in groups
        for text in group.texts
    }  # fmt: skip
    return list(found.items())


def longest_label(groups: Sequence[Group]) -> int:
    """Tokens of the longest label."""
    return max(len(ids) for group in groups for text in group.texts for ids in text.answers)


class _Text(InspectLoader):
    """Loads a module from a text."""

    def __init__(self, text: str) -> None:
        self.text = text

    def get_source(self, fullname: str) -> str:
        return self.text


def function_of(recipe: Recipe) -> Callable[..., list[float]]:
    """The function ``reward`` of a recipe's Python file, its answers checked.

    Raises
    ------
    InputError
        A file that cannot be run or has no such function; when called, one that fails or does not
        give a finite number a completion.
    """
    loader = _Text(recipe.source)
    module = ModuleType(recipe.name)
    try:
        loader.exec_module(module)  # a file that the user named to be run
    except Exception as error:  # it may raise anything
        raise InputError(f"{recipe.name}.py: cannot be run ({first_line(error)})") from error
    own = getattr(module, "reward", None)
    if not callable(own):
        raise InputError(
            f"{recipe.name}.py: no function reward(prompts, completions, **columns), which gives "
            "a list of numbers"
        )

    def reward(**given: Any) -> list[float]:
        """One reward a completion."""
        count = len(given["completions"])
        try:
            found = [*own(**given)]
        except Exception as error:  # it may raise anything
            raise InputError(f"{recipe.name}.py: reward failed ({first_line(error)})") from error
        numbers = [*map(_plain, found)]
        if len(found) != count or not all(map(finite, numbers)):
            raise InputError(
                f"{recipe.name}.py: reward gave {quoted(str(found))} for {count} completions; give "
                "a finite number for each"
            )
        return [float(number) for number in numbers]

    return reward


def _plain(value: Any) -> Any:
    return float(value) if hasattr(value, "__float__") else value
