"""Entity tracking: what one of several boxes holds (Prakash et al. 2024)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from random import Random

from circuitgraph.prompts.record import Prompt
from circuitgraph.prompts.tasks.make import Draw, Task, Words, pair

OBJECTS = (
    *("apple", "book", "letter", "key", "watch", "camera", "map", "cup", "coat", "radio"),
    *("ring", "shoe", "flower", "clock", "plate", "fish", "phone", "picture", "hat", "game"),
    *("ball", "knife", "lamp", "brick", "coin", "bottle", "guitar", "magazine", "ticket", "stone"),
)
"""What boxes hold, one a scenario."""

LETTERS = tuple("BCDFGHKLMNPQRSTVWXZ")
"""Names of boxes: no letter that is a word, or read as a number."""

BOXES = 4
WORDINGS = {
    "is in": ("The {thing} is in Box {box}", "Box {box} contains the"),
    "holds": ("Box {box} holds the {thing}", "The thing in Box {box} is the"),
    "has": ("Box {box} has the {thing}", "So Box {box} has the"),
}


def _draws(words: Words) -> Mapping[str, Draw]:
    things, letters = words.single(OBJECTS), words.single(LETTERS)
    if len(things) < BOXES or len(letters) < BOXES:
        return {}
    return {thing: _scene(thing, things, letters) for thing in things}


def _scene(thing: str, things: Sequence[str], letters: Sequence[str]) -> Draw:
    def draw(random: Random) -> Prompt:
        wording = random.choice(sorted(WORDINGS))
        told, question = WORDINGS[wording]
        others = random.sample([name for name in things if name != thing], BOXES - 1)
        boxes = random.sample(list(letters), BOXES)
        held = dict(zip(boxes, (thing, *others), strict=True))
        asked, other = boxes[:2]
        random.shuffle(boxes)
        facts = [told.format(thing=held[box], box=box) for box in boxes]
        lower = [facts[0], *(fact.replace("The ", "the ", 1) for fact in facts[1:])]
        prompt, corrupt = (f"{', '.join(lower)}. {question.format(box=b)}" for b in (asked, other))
        return pair(prompt, corrupt, [f" {thing}"], [f" {held[other]}"], wording)

    return draw


ENTITY = Task(
    "entity",
    "What one of four boxes holds, against what another one does; the corrupt twin asks for that "
    "other box (Prakash et al. 2024).",
    _draws,
)
