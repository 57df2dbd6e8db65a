"""The training loss of each recipe."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from random import Random
from typing import Protocol

import torch
from torch import Tensor

from circuitgraph.games.payoffs import MOVES
from circuitgraph.games.rewards import SPREAD, Table, policy
from circuitgraph.training.packed import Row, Rows
from circuitgraph.training.runner import Runner
from circuitgraph.training.texts import Group

SAMPLES = 16
"""Answers of the base sampled for each text and step by the null recipe ``self``."""

Targets = Mapping[tuple[str, str], Mapping[str, float]]
"""Probability of each move by game and state."""


class Goal(Protocol):
    """The loss of one step."""

    def loss(self, step: int, rows: Rows, scores: Tensor, logits: Tensor) -> Tensor:
        """Scalar loss from log-probabilities of labels [texts, 2] and logits [R, K, V]."""


def targets_of(
    tables: Mapping[str, Table], beta: float, reference: Mapping[str, float] | None = None
) -> dict[tuple[str, str], dict[str, float]]:
    """Target policies by game and state; see ``games.rewards.policy``.

    ``reference`` is the policy for equal rewards; uniform by default.
    """
    even = {move: 1 / len(MOVES) for move in MOVES}
    return {
        (game, state): policy(rewards, reference or even, beta)
        for game, table in tables.items()
        for state, rewards in table.items()
    }


def divergence(scores: Tensor, targets: Tensor) -> Tensor:
    """Mean over texts of KL(target ‖ model) over all answers.

    Parameters
    ----------
    scores
        Log-probability of each whole label [texts, 2].
    targets
        Probability of both labels [texts, 2]; other answers have probability 0.
    """
    own = torch.special.entr(targets).sum(-1)
    return (-(targets * scores).sum(-1) - own).mean()


@dataclass(frozen=True)
class Policy:
    """A fixed policy by game and state."""

    targets: Targets

    def loss(self, step: int, rows: Rows, scores: Tensor, logits: Tensor) -> Tensor:
        """Mean KL(target ‖ model)."""
        asked = [self.targets[text.game, text.state] for text in rows.texts]
        targets = torch.tensor([[own[move] for move in MOVES] for own in asked])
        return divergence(scores, targets.to(scores.device))


@dataclass(frozen=True)
class RandomRewards:
    """Rewards drawn anew for every text and step, so that there is no policy to learn."""

    beta: float
    seed: int

    def loss(self, step: int, rows: Rows, scores: Tensor, logits: Tensor) -> Tensor:
        """Mean KL(target ‖ model) for this step's rewards."""
        random = Random(f"rewards {self.seed} {step}")
        drawn = torch.tensor(
            [[random.uniform(-SPREAD, SPREAD) for _ in MOVES] for _ in rows.texts],
            device=scores.device,
        )
        return divergence(scores, (drawn / self.beta).softmax(-1))


@dataclass(frozen=True)
class OwnAnswers:
    """Tokens sampled from the model before training.

    Its full distribution as target would have zero gradient at the start, and Adam would scale the
    rounding noise up to steps of full size; sampled tokens give a gradient of realistic size
    whose expectation is zero at the start.

    Attributes
    ----------
    drawn
        For every step, tokens [R, K, samples].
    """

    drawn: Sequence[Tensor]

    def loss(self, step: int, rows: Rows, scores: Tensor, logits: Tensor) -> Tensor:
        """Mean −log p of the sampled tokens, over scored positions."""
        log_p = logits.float().log_softmax(-1)
        mean = log_p.gather(-1, self.drawn[step].to(log_p.device)).mean(-1)
        return -mean[rows.scored[:, 0], rows.scored[:, 1]].mean()


def own_answers(
    runner: Runner, groups: Sequence[Group], steps: Sequence[Sequence[int]], seed: int
) -> OwnAnswers:
    """Sample the model's own answers for every step, before training."""
    generator = torch.Generator().manual_seed(seed)
    drawn = []
    for chosen in steps:
        rows = rows_of(runner, groups, chosen)
        with torch.no_grad():
            logits = runner.scores(rows)[2].float().cpu()
        p = logits.softmax(-1)
        flat = torch.multinomial(p.flatten(0, -2), SAMPLES, replacement=True, generator=generator)
        drawn.append(flat.view(*p.shape[:-1], SAMPLES))
    return OwnAnswers(drawn)


def rows_of(runner: Runner, groups: Sequence[Group], chosen: Sequence[int]) -> list[Row]:
    """Rows of some groups."""
    return [row for number in chosen for row in runner.rows(groups[number])]
