"""Subject-verb agreement across another noun (Linzen et al. 2016; Finlayson et al. 2021)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from random import Random

from circuitgraph.prompts.record import Prompt
from circuitgraph.prompts.tasks.make import Draw, Task, Words, pair

NOUNS = {
    "key": "keys", "teacher": "teachers", "picture": "pictures", "house": "houses",
    "student": "students", "doctor": "doctors", "letter": "letters", "table": "tables",
    "dog": "dogs", "farmer": "farmers", "car": "cars", "road": "roads", "book": "books",
    "player": "players", "window": "windows", "child": "children", "tree": "trees",
    "singer": "singers", "boat": "boats", "woman": "women", "driver": "drivers",
    "writer": "writers", "bird": "birds", "machine": "machines",
}  # fmt: skip
"""Singular and plural of the nouns, as subjects and as attractors."""

WORDINGS = {
    "near": "It is clear that the {subject} near the {other}",
    "behind": "They told us that the {subject} behind the {other}",
    "beside": "We saw that the {subject} beside the {other}",
    "in front": "Everybody knows that the {subject} in front of the {other}",
}
SINGULAR = ("is", "was", "has")
PLURAL = ("are", "were", "have")


def _draws(words: Words) -> Mapping[str, Draw]:
    verbs = [both for both in zip(SINGULAR, PLURAL, strict=True) if len(words.single(both)) == 2]
    return {noun: _scene(noun, verbs) for noun in NOUNS} if verbs else {}


def _scene(noun: str, verbs: Sequence[tuple[str, str]]) -> Draw:
    forms = (noun, NOUNS[noun])
    sides = [sorted(f" {both[k]}" for both in verbs) for k in (0, 1)]

    def draw(random: Random) -> Prompt:
        wording, number = random.choice(sorted(WORDINGS)), random.choice((0, 1))
        other = random.choice([name for name in NOUNS if name != noun])
        other = random.choice((other, NOUNS[other]))
        text = WORDINGS[wording]
        prompt, corrupt = (text.format(subject=forms[n], other=other) for n in (number, 1 - number))
        return pair(prompt, corrupt, sides[number], sides[1 - number], wording)

    return draw


AGREEMENT = Task(
    "agreement",
    "Verbs that agree with the subject, another noun between them, against verbs that do not; the "
    "corrupt twin's subject has the other number (Linzen et al. 2016).",
    _draws,
)
