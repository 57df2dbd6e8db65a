"""The decision: log-probability of the answer minus that of the wrong answer."""

from __future__ import annotations

import torch
from torch import Tensor

from circuitgraph.engine.batches import Batch, gather
from circuitgraph.engine.forward import logits, softcap
from circuitgraph.engine.model import Model

CHUNK_LOGITS = 1 << 25
"""Logits held at once: a whole vocabulary for every sender would fill any memory."""


def decide(model: Model, residual: Tensor, batch: Batch) -> Tensor:
    """Decision of every prompt from final residuals at the read positions.

    Args:
        residual: [..., R, K, d].

    Returns:
        [..., n], in nats, summed over the answers' tokens (teacher-forced).
    """
    scores = _log_scores(model, residual, batch)
    by_row = (scores * batch.signs).sum((-1, -2))
    total = by_row.new_zeros(*by_row.shape[:-1], batch.n)
    return total.index_add(-1, batch.owner, by_row)


def _log_scores(model: Model, residual: Tensor, batch: Batch) -> Tensor:
    """Log-probability of every judged token [..., R, K, J], up to what cancels.

    Where both answers are judged at one position the normaliser of the softmax cancels,
    and two rows of the unembedding do for the whole vocabulary.
    """
    rows = model.unembed[batch.targets]
    raw = softcap(torch.einsum("...rkd,rkjd->...rkj", model.norm(residual), rows), model.logit_cap)
    alone = batch.signs.sum(-1) != 0
    if bool(alone.any()):
        raw[..., alone, :] -= _normaliser(model, residual[..., alone, :])
    return raw


def _normaliser(model: Model, residual: Tensor) -> Tensor:
    """log Σ exp of the logits of residuals [..., d] -> [..., 1]."""
    parts = residual.flatten(0, -2).split(max(1, CHUNK_LOGITS // len(model.unembed)))
    sums = torch.cat([logits(model, part).logsumexp(-1) for part in parts])
    return sums.view(*residual.shape[:-1], 1)


def answer_mass(model: Model, final: Tensor, batch: Batch) -> Tensor:
    """Probability of the answer plus that of the wrong answer, per prompt [n].

    Args:
        final: final residual stream of the clean run [R, T, d].
    """
    log_probs = logits(model, gather(final, batch.read)).log_softmax(-1)
    chosen = log_probs.gather(-1, batch.targets)
    mass = final.new_zeros(batch.n)
    for sign in (1.0, -1.0):
        by_row = (chosen * (batch.signs == sign)).sum((-1, -2))
        mass += final.new_zeros(batch.n).index_add(0, batch.owner, by_row).exp()
    return mass
