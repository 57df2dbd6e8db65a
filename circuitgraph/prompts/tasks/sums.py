"""Sums of two numbers of two digits, after two worked ones."""

from __future__ import annotations

from collections.abc import Mapping
from random import Random

from circuitgraph.prompts.record import Prompt
from circuitgraph.prompts.tasks.make import Draw, Task, Words, pair

FIRSTS = range(11, 60, 2)
"""First numbers, one a scenario."""
LARGEST = 99
WORDINGS = {
    "plain": "{a} + {b} =",
    "question": "Question: {a} + {b}? Answer:",
    "plus": "{a} plus {b} is",
}


def _draws(words: Words) -> Mapping[str, Draw]:
    return (
        {f"{first} + …": _scene(first) for first in FIRSTS} if words.known("12 + 34 = 46") else {}
    )


def _scene(first: int) -> Draw:
    def draw(random: Random) -> Prompt:
        wording = random.choice(sorted(WORDINGS))
        worked = [_pair(random) for _ in range(2)]
        second, other = random.sample(range(10, LARGEST - first), 2)
        shown = "".join(f"{_written(wording, a, b)} {a + b}\n" for a, b in worked)
        prompt, corrupt = (shown + _written(wording, first, b) for b in (second, other))
        return pair(prompt, corrupt, [f" {first + second}"], [f" {first + other}"], wording)

    return draw


def _pair(random: Random) -> tuple[int, int]:
    first = random.randrange(11, 60)
    return first, random.randrange(10, LARGEST - first)


def _written(wording: str, a: int, b: int) -> str:
    return WORDINGS[wording].format(a=a, b=b)


SUMS = Task(
    "sums",
    "The sum of two numbers of two digits against that of the corrupt twin, whose second number is "
    "another; two worked sums stand before it.",
    _draws,
)
