"""Change of decisions compared with random updates of equal spectrum."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from circuitgraph.base.progress import Reporter
from circuitgraph.engine.batches import right_padded
from circuitgraph.engine.families.common import embedded, longest
from circuitgraph.prompts import PromptSet
from circuitgraph.prompts.tokens import Encoded, encode
from circuitgraph.updates.randomised import Answers, moved_at_random
from circuitgraph.updates.record import Moves
from circuitgraph.updates.spectrum import Spectrum

MOST = 32
"""Prompts asked at most, spread over the scenarios."""


ROWS = 8
"""Rows of tokens at once."""


def chosen_prompts(
    prompts: PromptSet, hf: Any, tokenizer: Any, *, chat_template: bool
) -> list[Encoded]:
    """At most ``MOST`` distinct prompts as token ids, balanced over scenarios."""
    groups: dict[str, list[Any]] = {}
    for prompt in prompts.canonical().distinct("correlation")[0]:
        groups.setdefault(prompt.scenario, []).append(prompt)
    turns = [group[i] for i in range(MOST) for group in groups.values() if i < len(group)]
    return list(
        encode(
            PromptSet(tuple(turns[:MOST]), prompts.source),
            tokenizer,
            chat_template=chat_template,
            max_positions=longest(hf.config),
            rows=embedded(hf),
        ).prompts
    )


@torch.no_grad()
def answers(hf: Any, prompts: Sequence[Encoded]) -> Answers:
    """Decisions of a model, or next-token distributions without answers."""
    if not all(p.answer and p.wrong_answer for p in prompts):
        return [found[0] for found in _log_p(hf, [(p.prompt, ()) for p in prompts])]
    pairs = [(p.prompt, side[:-1]) for p in prompts for side in (p.answer, p.wrong_answer)]
    distinct = list(dict.fromkeys(pairs))
    by_pair = dict(zip(distinct, _log_p(hf, distinct), strict=True))

    def log_p(prompt: Encoded, answer: tuple[int, ...]) -> Tensor:
        rows = by_pair[prompt.prompt, answer[:-1]]
        return rows.gather(1, torch.tensor(answer)[:, None]).sum()

    return [log_p(p, p.answer) - log_p(p, p.wrong_answer) for p in prompts]


def _log_p(hf: Any, pairs: Sequence[tuple[tuple[int, ...], tuple[int, ...]]]) -> Iterator[Tensor]:
    """Log-probabilities of the next token after a text and after each token of what follows.

    Rows [1 + tokens that follow, V] of every pair, in order. Rows are padded on the right, where
    a causal model's earlier positions do not look.
    """
    for start in range(0, len(pairs), ROWS):
        some = pairs[start : start + ROWS]
        tokens, _ = right_padded([[*text, *more] for text, more in some])
        for (text, more), logits in zip(some, hf(tokens).logits, strict=True):
            yield logits[len(text) - 1 : len(text) + len(more)].double().log_softmax(-1)


def apart(a: Answers, b: Answers, prompts: Sequence[Encoded]) -> float:
    """Mean |change of the decision|, or mean KL(A ‖ B), over scenarios with equal weight."""
    groups: dict[str, list[float]] = {}
    for x, y, prompt in zip(a, b, prompts, strict=True):
        far = (x - y).abs() if x.dim() == 0 else (x.exp() * (x - y)).sum()
        groups.setdefault(prompt.source.scenario, []).append(float(far))
    means = [sum(group) / len(group) for group in groups.values()]
    return sum(means) / len(means)


def moves(
    tuned: Answers,
    base: Any,
    spectra: Mapping[str, Spectrum],
    prompts: Sequence[Encoded],
    draws: int,
    seed: int,
    reporter: Reporter,
) -> Moves:
    """Change of decisions by an update and by random ones.

    Parameters
    ----------
    tuned
        What the updated model answers.
    base
        The library's model of the base; it is moved and put back.
    spectra
        Of the update, by tensor.
    prompts
        What was asked.
    draws, seed : int
        Random updates, and the seed of their directions.
    """
    before = answers(base, prompts)
    nulls = []
    with reporter.progress(draws, "random updates", "update") as progress:
        for draw in range(draws):
            with moved_at_random(base, spectra, seed, draw):
                nulls.append(apart(before, answers(base, prompts), prompts))
            progress.advance(1)
    measure = "decision" if before[0].dim() == 0 else "kl"
    return Moves(measure, apart(before, tuned, prompts), tuple(nulls), len(prompts))
