"""Greater than (Hanna et al. 2023): a span of time ends after it begins."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from random import Random

from circuitgraph.prompts.record import Prompt
from circuitgraph.prompts.tasks.make import Draw, Task, Words, pair

NOUNS = (
    *("war", "siege", "drought", "strike", "journey", "exhibition", "reign", "trial", "campaign"),
    *("dispute", "alliance", "expedition", "project", "famine", "rebellion", "lease", "treaty"),
    *("festival", "voyage", "partnership", "marriage", "blockade", "repair", "tour"),
)
WORDINGS = {
    "lasted": "The {noun} lasted from the year {first} to the year {century}",
    "began": "The {noun} began in the year {first} and ended in the year {century}",
    "records": "Records of the {noun} run from the year {first} until the year {century}",
    "went on": "In this history the {noun} went on from the year {first} to the year {century}",
}
CENTURIES = tuple(range(11, 20))
EARLIEST = "01"
"""Years of the century at which the corrupt twin begins: nearly every end is later."""
FEWEST = 20
"""Years of a century that must be one token for whole years to be answers."""


def _draws(words: Words) -> Mapping[str, Draw]:
    years = [f"{year:02d}" for year in range(2, 99)]
    text = WORDINGS["lasted"].format(noun="war", first="1732", century=17)
    whole = [year for year in years if words.after(text, year) == 1 and words.known(text + year)]
    if len(whole) >= FEWEST:
        return {noun: _scene(noun, whole, whole) for noun in NOUNS}
    tens = [str(digit) for digit in range(10)]
    return {noun: _scene(noun, years, tens) for noun in NOUNS}


def _scene(noun: str, years: Sequence[str], ends: Sequence[str]) -> Draw:
    """Draws of one noun; ``ends`` are the answers: whole years of a century, or their tens."""

    def draw(random: Random) -> Prompt:
        wording, century = random.choice(sorted(WORDINGS)), random.choice(CENTURIES)
        year = random.choice([y for y in years if any(_later(e, y) for e in ends)])
        right = sorted(end for end in ends if _later(end, year))
        wrong = sorted(end for end in ends if _later(year[: len(end)], end)) or [ends[0]]

        def written(first: str) -> str:
            return WORDINGS[wording].format(noun=noun, first=f"{century}{first}", century=century)

        return pair(written(year), written(EARLIEST), right, wrong, wording)

    return draw


def _later(end: str, year: str) -> bool:
    """Whether an end, or its tens alone, is certainly after a year."""
    return int(end) > int(year[: len(end)])


GREATER_THAN = Task(
    "greater-than",
    "A span of time ends after it began: later years, or their tens, against earlier ones; the "
    "corrupt twin begins in the year 01 (Hanna et al. 2023).",
    _draws,
)
