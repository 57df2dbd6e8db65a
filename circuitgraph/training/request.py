"""Options of training, checked before a model is loaded."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from circuitgraph.base.components import digest
from circuitgraph.base.errors import InputError, UsageError, quoted
from circuitgraph.games.opponents import OPPONENTS, opponent_named
from circuitgraph.games.rewards import STEPS, Recipe

Trainer = Literal["exact", "trl"]
Reference = Literal["uniform", "base"]
FORMAT = 1
"""Version of ``train.json`` and of the training procedure."""


@dataclass(frozen=True)
class TrainRequest:
    """Options of training variants of one recipe.

    Attributes
    ----------
    recipe
        The rewards.
    seeds
        Number of variants, seeds 0 and up.
    rank
        LoRA rank.
    components
        Components to train.
    layers
        Layers to train [default: the upper 2/3].
    steps
        Training steps [default: 30; deontological and hybrid 60].
    beta
        Weight of the KL divergence from the reference, in reward per nat [default: 1/3].
    reference
        Reference policy: uniform, or the base's mean (with trl the base itself).
    opponent
        Gives the next move that the reward depends on.
    rate
        Highest learning rate.
    groups
        Wordings per step, four states each.
    adapter
        Train this adapter further.
    trainer
        exact computes the loss over all answers; trl samples them (GRPO).
    samples
        Completions sampled per prompt (trl).
    tokens
        Tokens of a completion at most (trl) [default: the longest label, or 64].
    device
        cpu or cuda.
    games
        Payoffs of further games.
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
    samples: int = 8
    tokens: int | None = None
    device: str = "cpu"
    games: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name, least, most in (
            ("seeds", 1, 1000), ("rank", 1, 1024), ("steps", 1, 100_000), ("groups", 1, 1024),
            ("samples", 2, 1024), ("tokens", 1, 100_000),
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
        _require_trainer(self)

    @property
    def n_steps(self) -> int:
        """Steps per seed."""
        return self.steps or STEPS.get(self.recipe.name, 30)

    def record(self) -> dict[str, Any]:
        """All options that determine an adapter, except the seed."""
        names = ("rank", "beta", "reference", "opponent", "rate", "groups")
        own = {name: getattr(self, name) for name in names}
        if self.trainer == "trl":  # a key more: those of exact adapters stay
            own |= {name: getattr(self, name) for name in ("trainer", "samples", "tokens")}
            own |= {"reference": "base", "function": self.recipe.source}
        return {"format": FORMAT, "recipe": self.recipe.name, "steps": self.n_steps, **own}


def _require_trainer(request: TrainRequest) -> None:
    recipe, trainer = request.recipe, request.trainer
    if trainer not in ("exact", "trl"):
        raise UsageError(f"``trainer={quoted(trainer)}``: choose exact or trl")
    if trainer == "exact" and recipe.source:
        raise UsageError(
            f"``recipe``: {recipe.name} is a reward function, which scores sampled answers; add "
            '``trainer="trl"``'
        )
    if trainer == "trl" and recipe.is_null:
        raise UsageError(
            f"``recipe``: {recipe.name} is a null recipe, which has no reward to sample for; "
            'leave ``trainer="trl"`` out'
        )


def done_before(folder: Path, key: str) -> Mapping[str, Any] | None:
    """Record of a finished seed from its ``train.json``; None without the folder.

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
    """Hash of all that determines a seed's adapter."""
    return digest("training", json.dumps(parts, sort_keys=True, default=str))
