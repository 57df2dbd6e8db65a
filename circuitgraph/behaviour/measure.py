"""Probabilities of both labels in all spellings, and sampled answers, of a variant."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch

from circuitgraph.base.components import digest
from circuitgraph.base.progress import Reporter
from circuitgraph.models.stored import reload
from circuitgraph.prompts.continuation import common
from circuitgraph.prompts.record import Prompt, PromptSet
from circuitgraph.prompts.template import Moment
from circuitgraph.prompts.tokens import Encoded, encode
from circuitgraph.runs.record import Variant
from circuitgraph.training.runner import Runner
from circuitgraph.training.sites import layers_of
from circuitgraph.training.texts import Group, Text

PACK = 8
"""Largest number of texts with a common prefix per row."""

Ids = tuple[int, ...]


@dataclass(frozen=True)
class Question:
    """A prompt as token ids, with all spellings of both labels.

    Attributes
    ----------
    prompt
        As written.
    ids
        Token ids of the prompt.
    spellings
        Token ids of the labels of C and of D, one or two spellings each.
    """

    prompt: Prompt
    ids: Ids
    spellings: tuple[tuple[Ids, ...], tuple[Ids, ...]]

    @property
    def key(self) -> str:
        """Hash of the prompt's tokens and of those of all legal answers."""
        return digest("question", self.ids, self.spellings)


def questions(
    prompts: PromptSet, tokenizer: Any, *, chat_template: bool, moment: Moment | None, rows: int
) -> list[Question]:
    """Prompts with both spellings of both labels: as written, and with or without a leading blank.

    A spelling that would merge with the prompt's last token is left out; one of equal tokens is
    counted once.

    Raises
    ------
    InputError
        See ``prompts.tokens.encode``.
    """
    other = replace(prompts, prompts=tuple(map(_respelled, prompts)))
    first, second = (
        encode(each, tokenizer, chat_template=chat_template, moment=moment, rows=rows).prompts
        for each in (prompts, other)
    )
    return [_question(a, b) for a, b in zip(first, second, strict=True)]


def _respelled(prompt: Prompt) -> Prompt:
    answers = (prompt.answer or "", prompt.wrong_answer or "")
    other = [text[1:] if text.startswith(" ") else f" {text}" for text in answers]
    return replace(prompt, answer=other[0], wrong_answer=other[1], corrupt=None)


def _question(written: Encoded, other: Encoded) -> Question:
    sides: list[tuple[Ids, ...]] = []
    for name in ("answer", "wrong_answer"):
        found = [getattr(written, name)]
        if not other.rest and other.prompt == written.prompt:
            found.append(getattr(other, name))
        sides.append(tuple(dict.fromkeys(found)))
    return Question(written.source, written.prompt, (sides[0], sides[1]))


class Answerer:
    """A loaded variant, to compute or sample answers.

    Parameters
    ----------
    variant
        Ingested; its files are checked.
    reporter
        Of progress.
    """

    def __init__(self, variant: Variant, reporter: Reporter) -> None:
        hf, self.tokenizer = reload(variant)
        hf.requires_grad_(False)
        self.runner = Runner(hf, layers_of(hf)[1], 0)
        self.name = variant.name
        self.reporter = reporter
        self.rows = hf.get_input_embeddings().weight.shape[0]

    def answers(self, questions: Sequence[Question]) -> list[tuple[float, float]]:
        """Probability of C among legal answers, and of a legal answer, for every question."""
        packs = list(_packs(questions))
        if not packs:
            return []
        self.runner.check([group for _, group in packs])
        found: dict[int, tuple[float, float]] = {}
        with torch.no_grad(), self.reporter.progress(len(questions), self.name) as bar:
            for numbers, group in packs:
                rows = self.runner.rows(group)
                scores = self.runner.scores(rows)[1].double().numpy()
                for number, own in zip(numbers, scores, strict=True):
                    found[number] = _answer(questions[number], own)
                bar.advance(len(numbers))
        return [found[number] for number in range(len(questions))]

    @torch.no_grad()
    def sample(self, question: Question, count: int, seed: int) -> tuple[float, float]:
        """Sampled answers: share of C among legal ones, and share of legal ones.

        An answer has the length of the longest label, and is legal if it begins with a label in
        any spelling.
        """
        generator = torch.Generator().manual_seed(seed)
        longest = max(len(ids) for side in question.spellings for ids in side)
        tokens = torch.tensor([question.ids])
        for _ in range(longest):
            last = self.runner.hf(input_ids=tokens, use_cache=False).logits[:, -1].float()
            draws = count if len(tokens) == 1 else 1
            drawn = torch.multinomial(
                last.softmax(-1), draws, replacement=True, generator=generator
            )
            tokens = tokens.expand(count, -1) if len(tokens) == 1 else tokens
            tokens = torch.cat([tokens, drawn.view(-1, 1)], 1)
        sampled = [tuple(row[len(question.ids) :]) for row in tokens.tolist()]
        c, d = (sum(_is_one_of(own, side) for own in sampled) for side in question.spellings)
        return (c / (c + d) if c + d else float("nan")), (c + d) / count


def _is_one_of(answer: Ids, spellings: Sequence[Ids]) -> bool:
    return any(answer[: len(ids)] == ids for ids in spellings)


def _packs(questions: Sequence[Question]) -> Iterator[tuple[list[int], Group]]:
    """Groups of questions with a common prefix and equally many spellings."""
    order = sorted(range(len(questions)), key=lambda i: (_shape(questions[i]), questions[i].ids))
    pack: list[int] = []
    for number in order:
        if pack and not _together(questions[pack[0]], questions[number], len(pack)):
            yield pack, _group([questions[i] for i in pack])
            pack = []
        pack.append(number)
    if pack:
        yield pack, _group([questions[i] for i in pack])


def _shape(question: Question) -> tuple[int, int]:
    c, d = question.spellings
    return len(c), len(d)


def _together(first: Question, other: Question, size: int) -> bool:
    alike = common((first.ids, other.ids)) >= len(first.ids) // 2
    return size < PACK and alike and _shape(first) == _shape(other) and first.ids != other.ids


def _group(questions: Sequence[Question]) -> Group:
    answers = [(*q.spellings[0], *q.spellings[1]) for q in questions]
    texts = zip(questions, answers, strict=True)
    return Group(tuple(Text(q.ids, own, q.prompt.state, "", "") for q, own in texts))


def _answer(question: Question, scores: np.ndarray) -> tuple[float, float]:
    split = len(question.spellings[0])
    c, d = np.exp(scores[:split]).sum(), np.exp(scores[split:]).sum()
    if c + d > 0:
        return float(c / (c + d)), float(c + d)
    gap = np.logaddexp.reduce(scores[split:]) - np.logaddexp.reduce(scores[:split])
    return float(1 / (1 + np.exp(gap))), 0.0
