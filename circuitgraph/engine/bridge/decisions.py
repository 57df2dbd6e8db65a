"""The decision from logits of all positions (``engine.decision`` needs two rows of them)."""

from __future__ import annotations

import torch
from torch import Tensor

from circuitgraph.engine.batches import Batch


def decide_logits(logits: Tensor, batch: Batch) -> Tensor:
    """Decisions [N, n] of N copies of a batch's R rows, from logits [N · R, T, V]."""
    judged = _judged(logits, batch)
    targets = batch.targets.expand(*judged.shape[:-1], -1)
    scores = judged.gather(-1, targets)
    # Where both answers are judged at one position the normaliser cancels.
    alone = batch.alone
    if bool(alone.any()):
        scores[:, alone] -= judged[:, alone].logsumexp(-1, keepdim=True)
    return batch.balance(scores)


def mass_of(logits: Tensor, batch: Batch) -> Tensor:
    """Probability of the answer plus that of the wrong answer [n], from logits [R, T, V]."""
    chosen = _judged(logits, batch).log_softmax(-1).gather(-1, batch.targets[None])
    sides = [batch.by_prompt(batch.side(chosen, s).sum(-1)) for s in (1.0, -1.0)]
    return (sides[0].exp() + sides[1].exp())[0]


def _judged(logits: Tensor, batch: Batch) -> Tensor:
    """Logits at the scored positions [N, R, K, V]."""
    rows = torch.arange(len(batch.read))[:, None]
    return logits.unflatten(0, (-1, len(batch.read)))[:, rows, batch.read]
