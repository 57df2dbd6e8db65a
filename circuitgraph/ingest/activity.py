"""Activity: one number per prompt and component, at the last prompt token."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from circuitgraph.base.components import Granularity
from circuitgraph.base.errors import InputError
from circuitgraph.engine.batches import right_padded
from circuitgraph.engine.interface import Engine
from circuitgraph.prompts.tokens import Encoded


@torch.no_grad()
def norm_activity(model: Engine, prompts: Sequence[Encoded], granularity: Granularity) -> Tensor:
    """L2 norm of every component's contribution to the residual stream [prompts, components]."""
    tokens, last = (x.to(model.device) for x in right_padded([p.whole for p in prompts]))
    parts, _ = _contributions(model, tokens, last, granularity)
    return parts.float().norm(dim=-1).T


@torch.no_grad()
def projection_activity(
    model: Engine, prompts: Sequence[Encoded], granularity: Granularity
) -> Tensor:
    """Signed contribution to logit(answer) − logit(wrong answer) [prompts, components].

    Where the first token in which the two answers differ is predicted, through the run's own
    final norm scale, before any soft cap.
    """
    shared = [shared_prefix(p) for p in prompts]
    rows = [p.prompt + p.answer[:k] for p, k in zip(prompts, shared, strict=True)]
    tokens, last = (x.to(model.device) for x in right_padded(rows))
    norm, unembed = model.unembedding()
    parts, final = _contributions(model, tokens, last, granularity)
    scaled = norm.linear(parts, norm.scale(final))
    answer = torch.tensor([p.answer[k] for p, k in zip(prompts, shared, strict=True)])
    wrong = torch.tensor([p.wrong_answer[k] for p, k in zip(prompts, shared, strict=True)])
    return (scaled * (unembed[answer] - unembed[wrong])).float().sum(-1).T


def shared_prefix(prompt: Encoded) -> int:
    """Number of first tokens that the two answers share.

    Raises
    ------
    InputError
        One answer is the beginning of the other, or sides are sets.
    """
    if prompt.also or prompt.also_wrong:
        raise InputError(
            f'line {prompt.source.line}: ``activity="projection"`` takes one answer a side, and '
            'this prompt has sets of answers; use ``activity="norm"``'
        )
    pairs = list(zip(prompt.answer, prompt.wrong_answer, strict=False))
    for k, (a, b) in enumerate(pairs):
        if a != b:
            return k
    raise InputError(
        f"line {prompt.source.line}: one answer is the beginning of the other, so no token tells "
        'them apart; ``activity="projection"`` needs answers that differ in a token'
    )


def _contributions(
    model: Engine, tokens: Tensor, last: Tensor, granularity: Granularity
) -> tuple[Tensor, Tensor]:
    """[components, prompts, d] without ``EMBED``, and final stream, at one position a row."""
    parts, final = model.contributions(tokens, last[:, None], granularity, last + 1)
    return parts[1:, :, 0], final[:, 0]
