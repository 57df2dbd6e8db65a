"""Prompts of repeated games for a tokenizer.

A wording gives five prompts a game, one a scenario: the four states, and CC told of the
temptation. The corrupt twin's other player made the other move, so a prompt of one state is
corrupted into the neighbouring one; wordings are varied (order of labels, order of payoffs) such
that the same two texts never stand the other way round as well.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from circuitgraph.base.errors import InputError, UsageError, quoted
from circuitgraph.games.payoffs import MOVES, Game
from circuitgraph.games.wordings import Wording, wordings
from circuitgraph.prompts.record import Prompt, PromptSet
from circuitgraph.prompts.tasks.make import Words

HELD_OUT = "held-out"
TRAINED = "train"
DEFAULT_WORDINGS = 24
CUE = "\nAnswer:"
"""What stands before the answer where there is no chat template."""
INSTRUCTION = "Answer with one word."

Chat = Callable[[str], str]
"""Puts a text into a model's chat template."""


@dataclass(frozen=True)
class Scenario:
    """A state, and the variation of a wording for it.

    CC and DC stand in one variation, CD and DD in the other: a pair and the same pair exchanged
    would be one observation.
    """

    state: str
    second: bool
    tempted: bool = False

    @property
    def name(self) -> str:
        return self.state + " tempted" * self.tempted


SCENARIOS = (
    *(Scenario("CC", False), Scenario("CC", False, tempted=True)),
    *(Scenario("CD", True), Scenario("DC", False), Scenario("DD", True)),
)


def game_prompts(
    games: Sequence[Game],
    tokenizer: Any,
    *,
    count: int = DEFAULT_WORDINGS,
    labels: Sequence[str] = ("A", "B"),
    chat: Chat | None = None,
) -> PromptSet:
    """Prompts of games in every wording and scenario.

    Parameters
    ----------
    games
        At least one.
    tokenizer
        Of the model that will read them; wordings whose pairs have unequal numbers of tokens
        there, or words it does not know, are passed over.
    count
        Number of wordings.
    labels
        What cooperation and defection are called, in this order.
    chat
        Puts each text into a chat template; answers then begin without a blank.

    Returns
    -------
    PromptSet
        Five prompts a wording and game, distinct as token ids, no pair in both orders; columns
        ``game``, ``state_self``, ``state_other``, ``split`` and ``direction`` filled.

    Raises
    ------
    UsageError, InputError
        Labels that cannot be told apart, too many wordings, or too few that fit.
    """
    names = _labels(labels)
    every = wordings()
    if not 1 <= count <= len(every):
        raise UsageError(f"``wordings={count}``: there are 1 to {len(every)}")
    words = Words(tokenizer)
    found: list[Prompt] = []
    seen: dict[str, Prompt] = {}
    for game in games:
        made = _of_game(game, words, every, count, _Shape(names, chat), seen)
        found += [replace(p, id=f"{game.name}-{i:04d}") for i, p in enumerate(made)]
    return PromptSet(tuple(found), "the games " + ", ".join(game.name for game in games))


def _labels(labels: Sequence[str]) -> dict[str, str]:
    found = [label.strip() for label in labels]
    if len(found) != 2 or not all(found) or found[0] == found[1]:
        raise UsageError(
            f"``labels={quoted(','.join(labels))}``: give two words, such as A,B; the first "
            "cooperates"
        )
    return dict(zip(MOVES, found, strict=True))


@dataclass(frozen=True)
class _Shape:
    labels: Mapping[str, str]
    chat: Chat | None

    def prompt(self, game: Game, wording: Wording, scenario: Scenario, index: int) -> Prompt:
        own, other = scenario.state[0], scenario.state[1]
        flipped = "D" if other == "C" else "C"
        second = scenario.second != bool(index // 2 % 2)
        told: dict[str, Any] = {
            "turned": bool(index % 2) != second,
            "order": (index + 2 * second) % 4,
            "tempted": scenario.tempted,
        }
        texts = [wording.text(game, self.labels, (own, it), **told) for it in (other, flipped)]
        prompt, corrupt = (self.chat(text) if self.chat else text + CUE for text in texts)
        right, wrong = (("" if self.chat else " ") + self.labels[move] for move in MOVES)
        return Prompt(
            prompt=prompt,
            corrupt=corrupt,
            answer=right,
            wrong_answer=wrong,
            scenario=f"{game.name} {scenario.name}",
            direction=-1 if other == "C" else 1,
            template=wording.name,
            game=game.name,
            state_self=own,
            state_other=other,
            split=HELD_OUT if wording.frame.held_out else TRAINED,
        )


def _of_game(
    game: Game,
    words: Words,
    every: Sequence[Wording],
    count: int,
    shape: _Shape,
    seen: dict[str, Prompt],
) -> Iterator[Prompt]:
    made = 0
    for wording in every:
        if made == count:
            return
        prompts = [shape.prompt(game, wording, scenario, made) for scenario in SCENARIOS]
        keys = [words.keys(prompt) for prompt in prompts]
        if None in keys:
            continue
        made += 1
        for prompt, own in zip(prompts, keys, strict=True):
            _require_new(prompt, own or set(), seen)
        yield from prompts
    if made < count:
        raise InputError(_too_few(game, words, made, shape))


def _too_few(game: Game, words: Words, made: int, shape: _Shape) -> str:
    lengths = [len(words.ids(" " * (not shape.chat) + label)) for label in shape.labels.values()]
    if lengths[0] != lengths[1]:
        named = " and ".join(map(quoted, shape.labels.values()))
        return (
            f"the labels {named} have {lengths[0]} and {lengths[1]} tokens with this tokenizer; "
            "choose two of equal length by ``labels``"
        )
    if made:
        return (
            f"the game {game.name}: this tokenizer reads only {made} wordings as they are meant; "
            f"ask for ``wordings={made}`` or fewer"
        )
    return (
        f"the game {game.name}: this tokenizer reads no wording as it is meant (words or labels "
        "are unknown to it, or pairs have unequal numbers of tokens); choose other labels by "
        "``labels``, or write the prompts yourself"
    )


def _require_new(prompt: Prompt, keys: Collection[str], seen: dict[str, Prompt]) -> None:
    for key in keys:
        first = seen.setdefault(key, prompt)
        if first is not prompt:
            raise InputError(
                f"the games {first.game} and {prompt.game} read alike "
                f"({quoted(prompt.template or '')}); make a file of each"
            )
