"""Indirect object identification (Wang et al. 2023): who is given something?"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from random import Random

from circuitgraph.prompts.record import Prompt
from circuitgraph.prompts.tasks.make import HE, SHE, Draw, Task, Words, pair

SCENES = {
    "bakery": "cake", "library": "book", "garden": "flower", "kitchen": "spoon",
    "office": "letter", "station": "ticket", "museum": "map", "market": "basket",
    "harbour": "rope", "theatre": "mask", "hospital": "blanket", "school": "pencil",
    "stable": "saddle", "workshop": "hammer", "beach": "towel", "cafe": "drink",
    "studio": "brush", "farm": "bucket", "hotel": "key", "church": "candle",
    "park": "ball", "bank": "pen", "cinema": "coat", "airport": "bag",
}  # fmt: skip
"""Places, and what is handed over there."""

WORDINGS = {
    "went": "When {a} and {b} went to the {place}, {s} gave a {thing} to",
    "then": "Then {a} and {b} met at the {place}, and {s} gave the {thing} to",
    "after": "After {a} and {b} arrived at the {place}, {s} handed the {thing} to",
    "while": "While {a} and {b} were waiting at the {place}, {s} gave a {thing} to",
    "walked": "When {a} and {b} walked to the {place}, {s} gave a {thing} to",
}


def _draws(words: Words) -> Mapping[str, Draw]:
    names = words.single((*HE, *SHE))
    if len(names) < 2:
        return {}
    return {f"{place}, {thing}": _scene(place, thing, names) for place, thing in SCENES.items()}


def _scene(place: str, thing: str, names: Sequence[str]) -> Draw:
    def draw(random: Random) -> Prompt:
        wording = random.choice(sorted(WORDINGS))
        receiver, giver = random.sample(names, 2)
        a, b = random.sample((receiver, giver), 2)
        filled = {"a": a, "b": b, "place": place, "thing": thing}
        prompt, corrupt = (WORDINGS[wording].format(**filled, s=s) for s in (giver, receiver))
        return pair(prompt, corrupt, [f" {receiver}"], [f" {giver}"], wording)

    return draw


IOI = Task(
    "ioi",
    "Who is given something? In the corrupt twin the other person gives (Wang et al. 2023; "
    "symmetric replacement as in Zhang and Nanda 2024).",
    _draws,
)
