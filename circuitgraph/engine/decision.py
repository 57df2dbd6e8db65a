"""The decision: log-probability of the answer minus that of the wrong answer."""

from __future__ import annotations

import torch
from torch import Tensor

from circuitgraph.engine.batches import Batch, gather
from circuitgraph.engine.forward import logits, softcap
from circuitgraph.engine.model import Model


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
    # Where answer and wrong answer are judged at the same position the normaliser of
    # the softmax cancels, and two rows of the unembedding do for the whole vocabulary.
    if bool((batch.signs.sum(-1) == 0).all()):
        rows = model.unembed[batch.targets]
        raw = torch.einsum("...rkd,rkjd->...rkj", model.norm(residual), rows)
        return softcap(raw, model.logit_cap)
    log_probs = logits(model, residual).log_softmax(-1)
    return log_probs.gather(-1, batch.targets.expand(*log_probs.shape[:-1], -1))


def answer_mass(model: Model, final: Tensor, batch: Batch) -> Tensor:
    """Probability of the answer plus that of the wrong answer, per prompt [n].

    Args:
        final: final residual stream of the clean run [R, T, d].
    """
    log_probs = logits(model, gather(final, batch.read)).log_softmax(-1)
    chosen = log_probs.gather(-1, batch.targets)
    mass = final.new_zeros(batch.n)
    for sign in (1.0, -1.0):
        mine = batch.signs == sign
        log_p = (chosen * mine).sum((-1, -2))
        has = mine.any(-1).any(-1)
        mass = mass.index_add(0, batch.owner[has], log_p[has].exp())
    return mass
