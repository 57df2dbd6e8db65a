"""What is to be trained: all choices of one command, checked before a model is loaded."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from circuitgraph.base.components import digest
from circuitgraph.base.errors import InputError, UsageError
from circuitgraph.base.quoting import quoted
from circuitgraph.games.opponents import OPPONENTS, opponent_named
from circuitgraph.games.rewards import STEPS, Recipe

Trainer = Literal["exact", "trl"]
Reference = Literal["uniform", "base"]
FORMAT = 1
"""Of ``train.json``, and of how training is done: another number is another training."""


@dataclass(frozen=True)
class TrainRequest:
    """How variants of one recipe are trained.

    Attributes
    ----------
    recipe
        What is rewarded.
    seeds
        Number of variants, seeds 0 and up.
    rank
        Of the adapters.
    components, layers
        What is trained; the upper two thirds of the layers by default.
    steps
        30, or 60 where the policy asks whose move it was.
    beta
        What a nat of divergence from the reference costs, in units of reward.
    reference
        Each move's probability where no reward tells them apart: even, or the base's own.
    opponent
        Whose next move the reward rests on.
    rate, groups
        Highest learning rate; groups of four states a step.
    adapter
        An adapter to go on from.
    trainer
        ``exact``; ``trl`` is refused.
    device
        Where it computes.
    """

    recipe: Recipe
    seeds: int = 4
    rank: int = 4
    components: str | Sequence[str] | None = None
    layers: str | None = None
    steps: int | None = None
    beta: float = 1 / 3
    reference: Reference = "uniform"
    opponent: str = "tit-for-tat"
    rate: float = 2e-3
    groups: int = 2
    adapter: Path | None = None
    trainer: Trainer = "exact"
    device: str = "cpu"
    games: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name, least, most in (
            ("seeds", 1, 1000), ("rank", 1, 1024), ("steps", 1, 100_000), ("groups", 1, 1024),
        ):  # fmt: skip
            value = getattr(self, name)
            if value is not None and not least <= value <= most:
                raise UsageError(f"``{name}={value}``: give {least} to {most}")
        for name in ("beta", "rate"):
            if not 0 < getattr(self, name) < float("inf"):
                raise UsageError(f"``{name}={getattr(self, name)}``: give a number above 0")
        if self.reference not in ("uniform", "base"):
            raise UsageError(f"``reference={quoted(self.reference)}``: choose uniform or base")
        if self.opponent not in OPPONENTS:
            opponent_named(self.opponent)
        _require_trainer(self.trainer)

    @property
    def n_steps(self) -> int:
        """Steps of each seed."""
        return self.steps or STEPS.get(self.recipe.name, 30)

    def record(self) -> dict[str, Any]:
        """All choices that decide an adapter, but the seed."""
        return {
            "format": FORMAT,
            "recipe": self.recipe.name,
            "rank": self.rank,
            "steps": self.n_steps,
            "beta": self.beta,
            "reference": self.reference,
            "opponent": self.opponent,
            "rate": self.rate,
            "groups": self.groups,
        }


def _require_trainer(trainer: str) -> None:
    if trainer == "exact":
        return
    if trainer != "trl":
        raise UsageError(f"``trainer={quoted(trainer)}``: choose exact or trl")
    raise UsageError(
        '``trainer="trl"``: sampling (GRPO) is not in this version; ``trainer="exact"`` trains '
        "what has answers that can be listed, of one token or more"
    )


def done_before(folder: Path, key: str) -> Mapping[str, Any] | None:
    """What ``train.json`` says of a finished seed; None where there is no such folder.

    Raises
    ------
    InputError
        The folder holds something else.
    """
    if not folder.exists():
        return None
    try:
        record = json.loads((folder / "train.json").read_text("utf-8"))
        same = record["key"] == key
    except (OSError, ValueError, KeyError, TypeError):
        same = False
    if not same:
        raise InputError(
            f"{folder}: holds the result of another training; name another folder by ``out``, or "
            "remove it"
        )
    return record


def key_of(*parts: Any) -> str:
    """Hash of all that decides a seed's adapter."""
    return digest("training", json.dumps(parts, sort_keys=True, default=str))
