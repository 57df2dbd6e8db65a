"""The scored position: the one that predicts the first token in which the two answers differ."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from circuitgraph.base.errors import InputError
from circuitgraph.engine.batches import right_padded
from circuitgraph.prompts.tokens import Encoded


@dataclass(frozen=True)
class Scored:
    """Token rows that end at the scored position.

    Attributes
    ----------
    tokens : int [n, T]
        Prompts with the tokens that both answers begin with, padded on the right.
    last : int [n]
        The scored position.
    direction : float32 [n, d]
        Unembedding of the answer's token minus that of the wrong answer's, there.
    answers : int [n, 2]
        Those two tokens.
    """

    tokens: Tensor
    last: Tensor
    direction: Tensor
    answers: Tensor

    @property
    def ends(self) -> Tensor:
        """Number of tokens of every row [n]."""
        return self.last + 1


def scored(unembed: Tensor, prompts: Sequence[Encoded]) -> Scored:
    """Rows up to the scored position, for an unembedding [vocabulary × d].

    Raises
    ------
    InputError
        A prompt without answers, with sets of answers, or one answer the beginning of the other.
    """
    shared = [_shared(prompt) for prompt in prompts]
    rows = [p.prompt + p.answer[:k] for p, k in zip(prompts, shared, strict=True)]
    tokens, last = right_padded(rows)
    answers = torch.tensor(
        [[p.answer[k], p.wrong_answer[k]] for p, k in zip(prompts, shared, strict=True)]
    )
    direction = unembed[answers[:, 0]] - unembed[answers[:, 1]]
    return Scored(tokens, last, direction, answers)


def _shared(prompt: Encoded) -> int:
    if not prompt.answer or prompt.also or prompt.also_wrong:
        raise InputError(
            f"line {prompt.source.line}: this measure takes one answer and one wrong answer a "
            "prompt; ingest the variant on prompts that have them"
        )
    for k, (a, b) in enumerate(zip(prompt.answer, prompt.wrong_answer, strict=False)):
        if a != b:
            return k
    raise InputError(
        f"line {prompt.source.line}: one answer is the beginning of the other, so no token tells "
        "them apart; this measure needs answers that differ in a token"
    )
