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
    answers : int [n, 2]
        The answer's token and the wrong answer's, there.
    """

    tokens: Tensor
    last: Tensor
    answers: Tensor

    @property
    def ends(self) -> Tensor:
        """Number of tokens of every row [n]."""
        return self.last + 1

    def direction(self, unembed: Tensor) -> Tensor:
        """Row of the answer minus row of the wrong answer [n, d] of an unembedding."""
        return unembed[self.answers[:, 0]] - unembed[self.answers[:, 1]]


def scored(prompts: Sequence[Encoded]) -> Scored:
    """Rows up to the scored position.

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
    return Scored(tokens, last, answers)


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
