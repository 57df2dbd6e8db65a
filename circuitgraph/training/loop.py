"""The training loop: AdamW on adapter weights, with a log of every step."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import torch

from circuitgraph.base.errors import InputError
from circuitgraph.training.goals import Goal, rows_of
from circuitgraph.training.runner import Runner
from circuitgraph.training.texts import Group

WARM_UP = 3
LAST = 0.02
"""Final learning rate as a share of the highest."""
CLIP = 1.0


def rate_at(step: int, steps: int, rate: float) -> float:
    """Learning rate: linear warm-up over three steps, then cosine decay to 2%."""
    warm = min(1.0, (step + 1) / WARM_UP)
    return rate * warm * (LAST + (1 - LAST) * 0.5 * (1 + math.cos(math.pi * step / steps)))


def run_steps(
    runner: Runner,
    parameters: Sequence[Any],
    groups: Sequence[Group],
    order: Sequence[Sequence[int]],
    goal: Goal,
    rate: float,
    after_step: Callable[[], None] = lambda: None,
) -> list[dict[str, float]]:
    """Train the parameters of an adapter.

    Parameters
    ----------
    runner, groups
        The model with its adapter, and all groups.
    parameters
        Trained parameters, float32.
    order
        Indices of the groups of every step.
    goal
        Gives the loss.
    rate
        The learning rate at its highest.
    after_step
        Called after every step.

    Returns
    -------
    list of dict
        Per step: loss in nats, learning rate, gradient norm, P(legal answer).

    Raises
    ------
    InputError
        The loss is not finite.
    """
    optimizer = torch.optim.AdamW(parameters, lr=rate, betas=(0.9, 0.95), weight_decay=0.0)
    log = []
    for step, chosen in enumerate(order):
        now = rate_at(step, len(order), rate)
        for part in optimizer.param_groups:
            part["lr"] = now
        rows, scores, logits = runner.scores(rows_of(runner, groups, chosen))
        loss = goal.loss(step, rows, scores, logits)
        if not bool(loss.isfinite()):
            raise InputError(f"training: the loss of step {step} is no number; lower ``rate``")
        optimizer.zero_grad()
        loss.backward()
        norm = torch.nn.utils.clip_grad_norm_(parameters, CLIP)
        optimizer.step()
        legal = float(scores.detach().exp().sum(-1).mean())
        told = {"loss": float(loss.detach()), "rate": now, "gradient": float(norm)}
        log.append({"step": step, **told, "legal": legal})
        after_step()
    return log
