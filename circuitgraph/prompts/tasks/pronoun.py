"""Gendered pronouns: the pronoun that English texts mostly use for a first name."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from random import Random

from circuitgraph.prompts.record import Prompt
from circuitgraph.prompts.tasks.make import HE, SHE, Draw, Task, Words, pair

FRIENDS = (
    *("friend", "cook", "neighbour", "singer", "dancer", "painter", "driver", "writer", "leader"),
    *("speaker", "student", "swimmer", "player", "teacher", "runner", "artist", "guide", "baker"),
    *("listener", "doctor", "actor", "reader", "manager", "farmer"),
)
WORDINGS = {
    "isn't": "So {name} is a really good {friend}, isn't",
    "was": "I remember that {name} was such a kind {friend}, wasn't",
    "because": "Everyone likes {name} as a {friend} because",
    "when": "When we met {name}, the {friend}, we could see that",
}
PRONOUNS = (" he", " she")


def _draws(words: Words) -> Mapping[str, Draw]:
    names = words.single(HE), words.single(SHE)
    if not all(names):
        return {}
    return {friend: _scene(friend, names) for friend in FRIENDS}


def _scene(friend: str, names: tuple[Sequence[str], Sequence[str]]) -> Draw:
    def draw(random: Random) -> Prompt:
        wording, side = random.choice(sorted(WORDINGS)), random.choice((0, 1))
        name, other = random.choice(names[side]), random.choice(names[1 - side])
        prompt, corrupt = (
            WORDINGS[wording].format(name=each, friend=friend) for each in (name, other)
        )
        return pair(prompt, corrupt, [PRONOUNS[side]], [PRONOUNS[1 - side]], wording)

    return draw


PRONOUN = Task(
    "pronoun",
    "The pronoun that mostly goes with a first name against the other; the corrupt twin has a name "
    "of the other (Mathwin et al. 2023).",
    _draws,
)
