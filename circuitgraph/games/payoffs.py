"""Games of two players and two moves, and the states after one round; that of a prompt.

Payoffs of the six games are those of Tennant et al. (2025, arXiv:2410.01639). C is the move that
the game calls cooperation, D the other.
"""

from __future__ import annotations

import math
import re
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from circuitgraph.base.errors import InputError, UsageError, first_line, quoted
from circuitgraph.base.textfiles import expanded, read_text
from circuitgraph.prompts.record import Prompt, PromptSet

MOVES = ("C", "D")
STATES = tuple(own + other for own in MOVES for other in MOVES)
"""Own last move, then the other's: ``CC``, ``CD``, ``DC``, ``DD``."""


@dataclass(frozen=True)
class Game:
    """A game of two players and two moves.

    Attributes
    ----------
    name
        One word, as in the column ``game`` of prompt files.
    cells
        What both get, own points first, by own move and the other's: ``{"CD": (0, 4), …}``.
    """

    name: str
    cells: Mapping[str, tuple[float, float]]

    def own(self, own: str, other: str) -> float:
        """Payoff of the player for both moves."""
        return self.cells[own + other][0]

    def joint(self, own: str, other: str) -> float:
        """Sum of both players' payoffs."""
        return sum(self.cells[own + other])

    @property
    def most(self) -> float:
        """The largest joint payoff (6, 8, 5, 5, 8 in the study's games)."""
        return max(self.joint(*cell) for cell in self.cells)


def _game(name: str, *cells: tuple[float, float]) -> Game:
    return Game(name, dict(zip(STATES, cells, strict=True)))


GAMES: Mapping[str, Game] = {
    game.name: game
    for game in (
        _game("ipd", (3, 3), (0, 4), (4, 0), (1, 1)),
        _game("ish", (4, 4), (0, 3), (3, 0), (1, 1)),
        _game("icn", (2, 2), (1, 4), (4, 1), (0, 0)),
        _game("bos", (3, 2), (0, 0), (0, 0), (2, 3)),
        _game("icd", (1, 1), (0, 0), (0, 0), (4, 4)),
        _game("ivd", (3, 3), (1, 4), (4, 1), (0, 0)),
    )
}
"""Prisoner's dilemma, stag hunt, chicken, Bach or Stravinsky, defective coordination, and the
variant that the study defines and does not use."""


def games_named(names: str | Iterable[str], known: Mapping[str, Game] = GAMES) -> tuple[Game, ...]:
    """Games by name, ``all`` for the six, or from TOML files.

    Parameters
    ----------
    names
        ``ipd``, ``ipd,ish``, ``all``, ``mine.toml``, or several of them.
    known
        Games that have a name.

    Raises
    ------
    UsageError, InputError
        No such game, one twice, or a file that holds none.
    """
    words = [names] if isinstance(names, str) else list(names)
    words = [word.strip() for text in words for word in text.split(",") if word.strip()]
    found: list[Game] = []
    for word in words:
        if word == "all":
            found += known.values()
        elif word.endswith(".toml"):
            found.append(read_game(expanded(word)))
        elif word in known:
            found.append(known[word])
        else:
            raise UsageError(
                f"no game is called {quoted(word)}; choose from {', '.join(known)}, all, or name "
                "a .toml file with its payoffs"
            )
    again = [g.name for i, g in enumerate(found) if g.name in [f.name for f in found[:i]]]
    if again:
        raise UsageError(f"the game {quoted(again[0])} is named twice; leave one out")
    if not found:
        raise UsageError("``game``: name a game, such as ipd")
    return tuple(found)


def read_game(path: Path) -> Game:
    """A game from a small TOML file: ``name = "mine"`` and ``CC = [3, 3]``, ``CD = [0, 4]``, ….

    Raises
    ------
    InputError
        Names the file and the line's key.
    """
    record = read_toml(path)
    name = record.get("name", path.stem)
    if not isinstance(name, str) or not name or not name.replace("-", "").isalnum():
        raise InputError(f"{path}: name is {quoted(name)}; write one word")
    if name in GAMES and _cells(path, record) != dict(GAMES[name].cells):
        raise InputError(f"{path}: name = {name!r} is a known game of other payoffs; rename it")
    odd = sorted(set(record) - {"name", *STATES})
    if odd:
        raise InputError(f"{path}: {quoted(odd[0])} is no entry; write name, {', '.join(STATES)}")
    return Game(name, _cells(path, record))


def _cells(path: Path, record: Mapping[str, Any]) -> dict[str, tuple[float, float]]:
    found = {}
    for state in STATES:
        cell = record.get(state)
        if not isinstance(cell, list) or len(cell) != 2 or not all(map(finite, cell)):
            raise InputError(
                f"{path}: {state} is {quoted(cell)}; write {state} = [own points, the other's]"
            )
        found[state] = (float(cell[0]), float(cell[1]))
    return found


def read_toml(path: Path) -> dict[str, Any]:
    """A TOML file.

    Raises
    ------
    InputError
        No such file, or no TOML.
    """
    if not path.is_file():
        raise InputError(f"{path}: no such file")
    try:
        return tomllib.loads(read_text(path))
    except tomllib.TOMLDecodeError as error:
        raise InputError(f"{path}: not TOML ({first_line(error)})") from error


def finite(value: Any) -> bool:
    """Whether a value is a finite number."""
    return type(value) in (int, float) and math.isfinite(value)


DEFAULT_GAME = "ipd"
_STATE = re.compile(r"([CD])([CD])(?![A-Za-z])")


def with_states(prompts: PromptSet) -> tuple[PromptSet, list[str]]:
    """Fill in the states of prompts, from columns or names of scenarios.

    Returns
    -------
    PromptSet, list of str
        What was taken from elsewhere than from columns, one line each.

    Raises
    ------
    InputError
        Neither tells the states; says what to add.
    """
    remarks = []
    if any(not prompt.state for prompt in prompts):
        prompts = replace(prompts, prompts=tuple(map(_named_state, prompts)))
        without = next((p for p in prompts if not p.state), None)
        if without is not None:
            raise InputError(
                f"{prompts.source}, line {without.line}: no state: add the columns state_self and "
                "state_other (C or D: the last moves), or begin every scenario's name with them, "
                "such as CD_punished; circuitgraph prompts make game writes them"
            )
        remarks.append(f"{prompts.source}: states are taken from the names of scenarios")
    if any(prompt.game is None for prompt in prompts):
        given = (replace(p, game=p.game or DEFAULT_GAME) for p in prompts)
        prompts = replace(prompts, prompts=tuple(given))
        remarks.append(f"{prompts.source}: no column game; payoffs are those of {DEFAULT_GAME}")
    return prompts, remarks


def _named_state(prompt: Prompt) -> Prompt:
    found = _STATE.match(prompt.scenario)
    if prompt.state or found is None:
        return prompt
    return replace(prompt, state_self=found[1], state_other=found[2])
