"""The decision: logit (log-probability) difference of the answer and the wrong answer."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from circuitgraph.engine.batches import Batch, gather
from circuitgraph.engine.forward import logits, softcap
from circuitgraph.engine.model import Model

CHUNK_LOGITS = 1 << 25
"""Logits held at once: a whole vocabulary for every sender would fill any memory."""


def decide(model: Model, residual: Tensor, batch: Batch) -> Tensor:
    """Decision of every prompt [..., n], in nats, from final residuals [..., R, K, d].

    Summed over the answers' tokens (teacher-forced); for sets log Σ p(answers) − log Σ p(wrong
    answers), at one token.
    """
    # Where both answers are scored at one position the normaliser of the softmax cancels, and two
    # rows of the unembedding suffice.
    raw = softcap(_answers(model.norm(residual), model, batch), model.logit_cap)
    alone = batch.alone
    if bool(alone.any()):
        raw[..., alone, :] -= _normaliser(model, residual[..., alone, :])
    return batch.balance(raw)


def mixed_decision(edge: Model, own: Model, others: Tensor, sender: Tensor, batch: Batch) -> Tensor:
    """Decision [..., n] where one sender is read by another model's final norm and unembedding.

    Parameters
    ----------
    edge, own : Model
        Whose weights read the sender, and all else.
    others, sender : [..., R, K, d]
        The final residual without the sender at the read positions, and the sender's
        contribution.
    """
    scale = own.norm.scale(others + sender)
    parts = own.norm.linear(others), edge.norm.linear(sender)
    plain = _mixed_logits(parts, (own, edge), scale, lambda x, m: _answers(x, m, batch))
    alone = batch.alone
    if bool(alone.any()):
        few = tuple(part[..., alone, :] for part in parts)
        whole = _mixed_logits(few, (own, edge), scale[..., alone, :], lambda x, m: x @ m.unembed.T)
        plain[..., alone, :] -= whole.logsumexp(-1, keepdim=True)
    return batch.balance(plain)


def _answers(x: Tensor, model: Model, batch: Batch) -> Tensor:
    """Products of x [..., R, K, d] with the targets' rows of the unembedding [..., R, K, J]."""
    return torch.einsum("...rkd,rkjd->...rkj", x, model.unembed[batch.targets])


def _mixed_logits(
    parts: tuple[Tensor, ...],
    models: tuple[Model, Model],
    scale: Tensor,
    read: Callable[[Tensor, Model], Tensor],
) -> Tensor:
    """Logits of the sum of two parts, each read by its own model; the bias by the first."""
    own, edge = models
    raw = (read(parts[0], own) + read(parts[1], edge)) * scale
    if own.norm.bias is not None:
        raw = raw + read(own.norm.bias.expand_as(parts[0]), own)
    return softcap(raw, own.logit_cap)


def _normaliser(model: Model, residual: Tensor) -> Tensor:
    """log Σ exp of the logits of residuals [..., d] -> [..., 1]."""
    parts = residual.flatten(0, -2).split(max(1, CHUNK_LOGITS // len(model.unembed)))
    sums = torch.cat([logits(model, part).logsumexp(-1) for part in parts])
    return sums.view(*residual.shape[:-1], 1)


def answer_mass(model: Model, final: Tensor, batch: Batch) -> Tensor:
    """Probability of the answer plus that of the wrong answer, per prompt [n].

    ``final`` is the final residual stream of the clean run [R, T, d].
    """
    log_probs = logits(model, gather(final, batch.read)).log_softmax(-1)
    chosen = log_probs.gather(-1, batch.targets)
    mass = final.new_zeros(batch.n)
    for sign in (1.0, -1.0):
        mass += batch.by_prompt(batch.side(chosen, sign).sum(-1)).exp()
    return mass
