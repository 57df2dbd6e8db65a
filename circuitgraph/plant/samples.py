"""Token sequences to measure scales on: prompts or random tokens."""

from __future__ import annotations

import os
from dataclasses import dataclass

import torch
from torch import Tensor

from circuitgraph.engine.forward import forward, logits
from circuitgraph.engine.model import Model
from circuitgraph.plant.folders import Source
from circuitgraph.prompts import PromptSet, read_prompts
from circuitgraph.prompts.tokens import encode

TEXTS = 16
LENGTH = 32


@dataclass(frozen=True)
class Sample:
    """Right-padded token ids [R, T] and the length of every row [R]."""

    tokens: Tensor
    lengths: Tensor

    @property
    def real(self) -> Tensor:
        """Positions without padding, bool [R, T]."""
        return torch.arange(self.tokens.shape[1]) < self.lengths[:, None]


def sample(
    source: Source, prompts: PromptSet | str | os.PathLike[str] | None, random: torch.Generator
) -> Sample:
    """Some prompts, evenly spaced in a set; random tokens without one."""
    if prompts is None:
        length = min(LENGTH, source.model.max_positions or LENGTH)
        tokens = torch.randint(len(source.model.embed), (TEXTS, length), generator=random)
        return Sample(tokens, torch.full((TEXTS,), length))
    known = prompts if isinstance(prompts, PromptSet) else read_prompts(prompts)
    every = encode(
        known,
        source.tokenizer,
        max_positions=source.model.max_positions,
        rows=len(source.model.embed),
    ).prompts
    chosen = [every[i * len(every) // TEXTS].whole for i in range(min(TEXTS, len(every)))]
    lengths = torch.tensor([len(ids) for ids in chosen])
    tokens = torch.zeros(len(chosen), int(lengths.max()), dtype=torch.long)
    for row, ids in zip(tokens, chosen, strict=True):
        row[: len(ids)] = torch.tensor(ids)
    return Sample(tokens, lengths)


@torch.no_grad()
def next_tokens(model: Model, texts: Sample) -> Tensor:
    """Log-probabilities of what follows every text [R, vocabulary]."""
    final = forward(model, texts.tokens).final
    last = final[torch.arange(len(final)), texts.lengths - 1]
    return logits(model, last).log_softmax(-1)


def divergence(before: Tensor, after: Tensor) -> float:
    """Mean KL(before ‖ after) of log-probabilities [R, vocabulary], in nats."""
    return float((before.exp() * (before - after)).sum(-1).mean())
