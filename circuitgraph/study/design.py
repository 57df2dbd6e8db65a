"""What the study trains, and which comparisons its questions rest on."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path
from typing import Literal

from circuitgraph.base.errors import UsageError
from circuitgraph.games.rewards import NULLS, REWARDED

BASE = "base"
MORAL = tuple(name for name in REWARDED if name != "strategic")
TAUGHT = "hybrid"
"""The recipe that is also trained in parts: its policy asks for a decision in every state."""

STEPS = {TAUGHT: 80, "deontological": 80}
FEWEST = 20
"""Steps of training: more where the policy asks whose move it was."""

Role = Literal["question", "null", "seeds"]
Scope = Literal["checkpoint", "recipe"]


@dataclass(frozen=True)
class Comparison:
    """Two sides, and how they are compared.

    Attributes
    ----------
    a, b
        Recipes at scope ``recipe``, variants at scope ``checkpoint``.
    lens, scope
        As for a diff; of components the measure.
    role
        ``question``; ``null``: nothing was taught on either side; ``seeds``: one recipe twice.
    confirmed
        Where effects are a screen's: its claims are measured exactly.
    """

    a: str
    b: str
    lens: str
    scope: Scope
    role: Role = "question"
    confirmed: bool = False


@dataclass(frozen=True)
class Part:
    """A choice of components that is trained instead of all.

    Attributes
    ----------
    name
        ``component``, ``band``, or ``random component 1`` and so on.
    components
        As ``train`` takes them.
    seeds
        Variants trained.
    """

    name: str
    components: tuple[str, ...]
    seeds: int = 1

    @property
    def folder(self) -> str:
        """Where its adapters go, beside those of the recipes."""
        return self.name.replace(" ", "-")


@dataclass(frozen=True)
class Design:
    """All choices of one study.

    Attributes
    ----------
    model, out
        The base, a folder; where everything made goes.
    seeds
        Variants of every recipe and null; three are the least for a claim about a recipe.
    wordings
        Of the game; a quarter is held out of training.
    told
        Held-out wordings on which decisions are told.
    asked
        Those of them on which variants are compared, five prompts each.
    rank, layers, steps, rate
        Of the adapters; None: the upper two thirds, and what each recipe needs on SmolLM2.
    part_seeds
        Variants of the component and of the band; random choices have one.
    draws
        Random choices of as many components, beside the component and the band.
    width
        Layers of the band.
    estimator
        Of effects between layers; ``eap`` is a screen whose claims are confirmed exactly.
    heads
        Also measure heads, by ``eap``.
    device
        Where models are trained, and effects, patches and wiring measured (cpu, cuda, cuda:1 or
        mps); levels and direct contributions are the processor's.
    """

    model: Path
    out: Path
    seeds: int = 4
    wordings: int = 72
    told: int = 6
    asked: int = 6
    rank: int = 3
    layers: str | None = None
    steps: int | None = None
    rate: float = 1.5e-3
    part_seeds: int = 2
    draws: int = 3
    width: int = 5
    estimator: str = "auto"
    heads: bool = True
    device: str = "cpu"

    def __post_init__(self) -> None:
        if self.seeds < 3:
            raise UsageError(f"``seeds={self.seeds}``: a claim about a recipe needs 3 or more")
        for name in ("part_seeds", "draws", "width", "rank"):
            if getattr(self, name) < 1:
                raise UsageError(f"``{name}={getattr(self, name)}``: give 1 or more")

    def steps_of(self, recipe: str) -> int:
        """Steps of training."""
        return self.steps or STEPS.get(recipe, FEWEST)

    @property
    def variants(self) -> list[tuple[str, str]]:
        """Name and recipe of every trained variant, parts left out; seeds in turn.

        In turn, so that an interrupted study has some of everything.
        """
        names = (*REWARDED, *NULLS)
        return [(f"{name}-{seed}", name) for seed in range(self.seeds) for name in names]

    @property
    def prompts(self) -> Path:
        """All prompts of the game."""
        return self.out / "prompts.jsonl"

    @property
    def adapters(self) -> Path:
        """One folder a recipe's seed."""
        return self.out / "adapters"


def of_recipes() -> Iterator[Comparison]:
    """The effect diffs of recipes, on which the answers rest."""
    for name in (TAUGHT, "strategic"):
        yield Comparison(BASE, name, "effect", "recipe")
    yield Comparison("strategic", TAUGHT, "effect", "recipe")
    yield Comparison(BASE, "self", "effect", "recipe", "null")
    yield Comparison("self", "random", "effect", "recipe", "null")
    for a, b in combinations(REWARDED, 2):
        if (a, b) != ("strategic", TAUGHT):
            yield Comparison(a, b, "effect", "recipe")
    for name in ("deontological", "utilitarian"):
        yield Comparison(BASE, name, "effect", "recipe")


def of_variants() -> Iterator[Comparison]:
    """Single variants, the two other lenses, and exact numbers where effects were screened."""
    for name in REWARDED:
        yield Comparison(f"{name}-0", f"{name}-1", "effect", "checkpoint", "seeds")
    yield Comparison(BASE, "self-0", "effect", "checkpoint", "null")
    for a, b in ((BASE, f"{TAUGHT}-0"), ("strategic-0", f"{TAUGHT}-0")):
        yield Comparison(a, b, "effect", "checkpoint")
    yield Comparison("deontological-0", "utilitarian-0", "effect", "checkpoint")
    yield from _correlations()
    yield Comparison(BASE, f"{TAUGHT}-0", "wiring", "checkpoint")
    yield Comparison(BASE, "self-0", "wiring", "checkpoint", "null")
    yield Comparison("strategic", TAUGHT, "effect", "recipe", confirmed=True)
    yield Comparison("deontological", "utilitarian", "effect", "recipe", confirmed=True)
    for a, b in combinations(REWARDED, 2):
        yield Comparison(a, b, "correlation", "recipe")
    yield Comparison("self", "random", "correlation", "recipe", "null")


def of_wiring() -> Iterator[Comparison]:
    """The wiring lens between recipes: every variant beside the base, the dearest of all diffs."""
    yield Comparison("deontological", "utilitarian", "wiring", "recipe")
    yield Comparison("self", "random", "wiring", "recipe", "null")


def _correlations() -> Iterator[Comparison]:
    yield Comparison("deontological-0", "utilitarian-0", "correlation", "checkpoint")
    yield Comparison("deontological-0", "deontological-1", "correlation", "checkpoint", "seeds")
    yield Comparison(BASE, "self-0", "correlation", "checkpoint", "null")
    yield Comparison("strategic-0", "deontological-0", "correlation", "checkpoint")
