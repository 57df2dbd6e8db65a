"""A variant asked: probabilities of both labels in both spellings, and answers sampled."""

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
"""Most texts that begin alike and are run together."""

Ids = tuple[int, ...]


@dataclass(frozen=True)
class Question:
    """A prompt as token ids, with every spelling of both labels that can follow it.

    Attributes
    ----------
    prompt
        As written.
    ids
        Of the prompt.
    spellings
        Tokens of the labels of C and of D, each spelled once or twice.
    """

    prompt: Prompt
    ids: Ids
    spellings: tuple[tuple[Ids, ...], tuple[Ids, ...]]

    @property
    def key(self) -> str:
        """Hash of what the model reads and of what counts as an answer."""
        return digest("question", self.ids, self.spellings)


def questions(
    prompts: PromptSet, tokenizer: Any, *, chat_template: bool, moment: Moment | None, rows: int
) -> list[Question]:
    """Prompts with both spellings of both labels: as they stand, and with or without a blank.

    A spelling that would merge with the prompt's last token cannot follow it, and one whose tokens
    are the same is counted once.

    Raises
    ------
    InputError
        As ``prompts.tokens.encode`` does.
    """
    other = replace(prompts, prompts=tuple(map(_respelled, prompts)))
    first, second = (
        encode(each, tokenizer, chat_template=chat_template, moment=moment, rows=rows).prompts
        for each in (prompts, other)
    )
    return [_question(a, b) for a, b in zip(first, second, strict=True)]


def _respelled(prompt: Prompt) -> Prompt:
    answers = (prompt.answer or "", prompt.wrong_answer or "")
    turned = [text[1:] if text.startswith(" ") else f" {text}" for text in answers]
    return replace(prompt, answer=turned[0], wrong_answer=turned[1], corrupt=None)


def _question(written: Encoded, other: Encoded) -> Question:
    sides: list[tuple[Ids, ...]] = []
    for name in ("answer", "wrong_answer"):
        found = [getattr(written, name)]
        if not other.rest and other.prompt == written.prompt:
            found.append(getattr(other, name))
        sides.append(tuple(dict.fromkeys(found)))
    return Question(written.source, written.prompt, (sides[0], sides[1]))


@dataclass(frozen=True)
class Asked:
    """Answers to one question.

    Attributes
    ----------
    p, legal
        Probability of C among legal answers, and of a legal answer.
    """

    question: Question
    p: float
    legal: float


class Interview:
    """A loaded variant that answers questions.

    Parameters
    ----------
    variant
        An ingested one; its files are checked.
    reporter
        Where progress goes.
    """

    def __init__(self, variant: Variant, reporter: Reporter) -> None:
        hf, self.tokenizer = reload(variant)
        hf.requires_grad_(False)
        self.runner = Runner(hf, layers_of(hf)[1], 0)
        self.name = variant.name
        self.reporter = reporter
        self.rows = hf.get_input_embeddings().weight.shape[0]

    def ask(self, asked: Sequence[Question]) -> list[Asked]:
        """Probabilities of both labels, one result a question."""
        packs = list(_packs(asked))
        if not packs:
            return []
        self.runner.check([group for _, group in packs])
        found: dict[int, Asked] = {}
        with torch.no_grad(), self.reporter.progress(len(asked), self.name) as bar:
            for numbers, group in packs:
                rows = self.runner.rows(group)
                scores = self.runner.scores(rows)[1].double().numpy()
                for number, own in zip(numbers, scores, strict=True):
                    found[number] = _answered(asked[number], own)
                bar.advance(len(numbers))
        return [found[number] for number in range(len(asked))]

    @torch.no_grad()
    def sample(self, question: Question, count: int, seed: int) -> tuple[float, float]:
        """Answers drawn token by token: share of C among legal ones, and of legal among all.

        An answer is as long as the longest label; legal where it is a label in either spelling.
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
        said = [tuple(row[len(question.ids) :]) for row in tokens.tolist()]
        c, d = (sum(_says(answer, side) for answer in said) for side in question.spellings)
        return (c / (c + d) if c + d else float("nan")), (c + d) / count


def _says(answer: Ids, side: Sequence[Ids]) -> bool:
    return any(answer[: len(ids)] == ids for ids in side)


def _packs(asked: Sequence[Question]) -> Iterator[tuple[list[int], Group]]:
    """Questions that begin alike, with as many spellings, together."""
    order = sorted(range(len(asked)), key=lambda i: (_shape(asked[i]), asked[i].ids))
    pack: list[int] = []
    for number in order:
        if pack and not _together(asked[pack[0]], asked[number], len(pack)):
            yield pack, _group([asked[i] for i in pack])
            pack = []
        pack.append(number)
    if pack:
        yield pack, _group([asked[i] for i in pack])


def _shape(question: Question) -> tuple[int, int]:
    c, d = question.spellings
    return len(c), len(d)


def _together(first: Question, other: Question, size: int) -> bool:
    alike = common((first.ids, other.ids)) >= len(first.ids) // 2
    return size < PACK and alike and _shape(first) == _shape(other) and first.ids != other.ids


def _group(questions: Sequence[Question]) -> Group:
    return Group(
        tuple(
            Text(q.ids, (*q.spellings[0], *q.spellings[1]), q.prompt.state, "", "")
            for q in questions
        )
    )


def _answered(question: Question, scores: np.ndarray) -> Asked:
    split = len(question.spellings[0])
    c, d = np.exp(scores[:split]).sum(), np.exp(scores[split:]).sum()
    if c + d > 0:
        return Asked(question, float(c / (c + d)), float(c + d))
    gap = np.logaddexp.reduce(scores[split:]) - np.logaddexp.reduce(scores[:split])
    return Asked(question, float(1 / (1 + np.exp(gap))), 0.0)
