"""How a tokenizer splits the words of a task, first names among them, and which prompts fit."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from circuitgraph.base.components import digest
from circuitgraph.base.errors import InputError
from circuitgraph.prompts.pairs import pair_of
from circuitgraph.prompts.record import Prompt, PromptSet
from circuitgraph.prompts.tokens import encode, unequal_pairs, unknown_id

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
        texts = (prompt.prompt, prompt.corrupt or "", *_answers(prompt))
        uneven = len(found.answer) != len(found.wrong_answer) or unequal_pairs([found])
        if uneven or found.rest or found.corrupt == found.prompt or not all(map(self.known, texts)):
            return None
        pair, _ = pair_of(found.prompt, found.corrupt, *found.sides)
        return {pair, digest("prompt", found.prompt)}


def _answers(prompt: Prompt) -> tuple[str, ...]:
    first = (prompt.answer or "", prompt.wrong_answer or "")
    return (*first, *prompt.also, *prompt.also_wrong)
