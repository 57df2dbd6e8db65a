"""Prompts of a task, drawn so that they fit a tokenizer: how it splits words, which prompts fit."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from random import Random
from typing import Any

from circuitgraph.base.components import digest
from circuitgraph.base.errors import InputError, UsageError
from circuitgraph.prompts.pairs import pair_of
from circuitgraph.prompts.record import Prompt, PromptSet
from circuitgraph.prompts.tokens import encode, unequal_pairs, unknown_id

TRIES = 40
"""Draws of a scenario after which one that yields nothing new is exhausted."""

EACH = 2
"""Prompts wanted of every scenario: what is tested is how prompts of one scenario vary."""

# First names by the pronoun that goes with them in most English texts.
HE = (
    *("James", "John", "Robert", "Michael", "David", "William", "Richard", "Thomas", "Charles"),
    *("Daniel", "Matthew", "Anthony", "Mark", "Paul", "Steven", "Andrew", "Joshua", "Kevin"),
    *("Brian", "George", "Edward", "Ronald", "Timothy", "Jason", "Jeffrey", "Ryan", "Jacob"),
    *("Gary", "Nicholas", "Eric", "Jonathan", "Stephen", "Larry", "Justin", "Scott", "Benjamin"),
    *("Samuel", "Frank", "Gregory", "Raymond", "Alexander", "Patrick", "Jack", "Peter", "Henry"),
    *("Simon", "Adam", "Oliver", "Arthur", "Harry", "Philip", "Martin", "Leo", "Carl", "Hugo"),
)
SHE = (
    *("Mary", "Patricia", "Jennifer", "Linda", "Elizabeth", "Barbara", "Susan", "Jessica"),
    *("Sarah", "Karen", "Lisa", "Nancy", "Margaret", "Sandra", "Emily", "Donna", "Michelle"),
    *("Carol", "Amanda", "Melissa", "Deborah", "Stephanie", "Rebecca", "Laura", "Helen"),
    *("Sharon", "Amy", "Anna", "Angela", "Ruth", "Katherine", "Emma", "Nicole", "Catherine"),
    *("Christine", "Maria", "Rachel", "Julie", "Alice", "Julia", "Grace", "Victoria", "Diana"),
    *("Jane", "Rose", "Sophie", "Clara", "Lucy", "Kate", "Ellen", "Martha", "Claire", "Eva"),
)

Draw = Callable[[Random], Prompt]


@dataclass(frozen=True)
class Words:
    """A transformers tokenizer for single words and prompts."""

    tokenizer: Any

    def ids(self, text: str) -> list[int]:
        """Token ids without special tokens."""
        return list(self.tokenizer(text, add_special_tokens=False)["input_ids"])

    def known(self, text: str) -> bool:
        unknown = unknown_id(self.tokenizer)
        return unknown is None or unknown not in self.ids(text)

    def single(self, words: Iterable[str]) -> list[str]:
        """The words that are one known token after a blank."""
        return [word for word in words if len(self.ids(f" {word}")) == 1 and self.known(word)]

    def after(self, text: str, more: str) -> int | None:
        """Number of tokens that ``more`` adds to a text; None where they merge."""
        before, both = self.ids(text), self.ids(text + more)
        return len(both) - len(before) if both[: len(before)] == before else None

    def keys(self, prompt: Prompt) -> set[str] | None:
        """Names of prompt and pair (in either order) as token ids; None if they do not fit.

        It fits where all words are known, prompt and corrupt have as many tokens, and the answers
        begin where the prompt ends with as many tokens as each other.
        """
        try:
            [found] = encode(PromptSet((prompt,), "the task"), self.tokenizer).prompts
        except InputError:
            return None
        answers = (prompt.answer or "", prompt.wrong_answer or "", *prompt.also, *prompt.also_wrong)
        texts = (prompt.prompt, prompt.corrupt or "", *answers)
        uneven = len(found.answer) != len(found.wrong_answer) or unequal_pairs([found])
        if uneven or found.rest or found.corrupt == found.prompt or not all(map(self.known, texts)):
            return None
        pair, _ = pair_of(found.prompt, found.corrupt, *found.sides)
        return {pair, digest("prompt", found.prompt)}


@dataclass(frozen=True)
class Task:
    """A task of circuit studies.

    Attributes
    ----------
    summary : str
        One line: the question, the corruption, and the source.
    draws : callable
        For a tokenizer, how to draw a prompt of each scenario.
    """

    name: str
    summary: str
    draws: Callable[[Words], Mapping[str, Draw]]


def pair(
    prompt: str, corrupt: str, right: Sequence[str], wrong: Sequence[str], wording: str
) -> Prompt:
    """A pair whose corruption lowers the decision between one or more answers a side."""
    return Prompt(
        prompt=prompt,
        scenario="",
        corrupt=corrupt,
        answer=right[0],
        wrong_answer=wrong[0],
        also=tuple(right[1:]),
        also_wrong=tuple(wrong[1:]),
        direction=-1,
        template=wording,
    )


def drawn(task: Task, tokenizer: Any, n: int = 200, seed: int = 0) -> PromptSet:
    """Distinct prompts of a task, in equal parts of its scenarios.

    Of fewer prompts than twice the scenarios, as many drawn at random as have two prompts each.

    No pair is drawn in both orders; pairs with unequal numbers of tokens, with unequal answers, or
    that merge with the prompt, are drawn again. The same seed and tokenizer give the same prompts,
    each with a scenario, a corrupt twin, answers, a wording (``template``) and a ``direction``.

    Raises
    ------
    UsageError
        ``n`` is below 1.
    InputError
        The tokenizer does not split enough of the task's words as needed.
    """
    if n < 1:
        raise UsageError(f"``n={n}``: make at least 1 prompt")
    words, random = Words(tokenizer), Random(f"{task.name} {seed}")
    wanted = max(1, n // EACH)
    every = _some(task, task.draws(words), wanted, seed)
    left = dict(islice(every, wanted))
    found: list[Prompt] = []
    seen: set[str] = set()
    while left and len(found) < n:
        for scenario, draw in list(left.items())[: n - len(found)]:
            prompt = _fresh(draw, random, words, seen)
            if prompt is None:
                del left[scenario]
                left |= islice(every, 1)
                continue
            name = f"{task.name}-{len(found):04d}"
            found.append(replace(prompt, scenario=scenario, id=name))
    if len(found) < n:
        raise InputError(_too_few(task, len(found)))
    return PromptSet(tuple(found), f"the task {task.name}")


def _some(
    task: Task, draws: Mapping[str, Draw], wanted: int, seed: int
) -> Iterator[tuple[str, Draw]]:
    """Scenarios and how to draw them, at random where not all are wanted."""
    names = list(draws)
    if wanted < len(names):  # a generator of its own: all scenarios give the same prompts as ever
        Random(f"{task.name} scenarios {seed}").shuffle(names)
    return ((name, draws[name]) for name in names)


def _fresh(draw: Draw, random: Random, words: Words, seen: set[str]) -> Prompt | None:
    """A prompt that fits and is new, noted among those seen; None where none came up."""
    for _ in range(TRIES):
        prompt = draw(random)
        keys = words.keys(prompt)
        if keys is not None and not keys & seen:
            seen |= keys
            return prompt
    return None


def _too_few(task: Task, count: int) -> str:
    if not count:
        return (
            f"the task {task.name}: this tokenizer reads none of its prompts as they are meant "
            "(words are unknown to it, or pairs have unequal numbers of tokens); take another task"
        )
    return (
        f"the task {task.name}: only {count} distinct prompts can be made with this tokenizer; ask "
        f"for ``n={count}`` or fewer"
    )
