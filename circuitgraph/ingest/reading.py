"""How a tokenizer splits prompts and answers, for the user."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from circuitgraph.base.errors import quoted
from circuitgraph.prompts import Prompt, PromptSet
from circuitgraph.prompts.tokens import Encoded, unknown_id

SHOWN = 3
"""Pairs of answers whose tokens are shown."""
MOST_WORDS = 8
COLUMNS = ("prompt", "corrupt", "answer", "wrong_answer")


@dataclass(frozen=True)
class Reading:
    """The answers of one prompt as tokens, and the last token before them.

    ``sets``: they are sets of answers, a token each.
    """

    line: int
    before: str
    answer: tuple[str, ...]
    wrong_answer: tuple[str, ...]
    sets: bool = False

    def __str__(self) -> str:
        between = " or " if self.sets else " "
        each = [between.join(map(quoted, side)) for side in (self.answer, self.wrong_answer)]
        return f"line {self.line}: after {quoted(self.before)}, {each[0]} against {each[1]}"


def readings(rows: Sequence[Encoded], tokenizer: Any) -> tuple[Reading, ...]:
    """The first few pairs of answers, each once."""
    first = {row.sides: row for row in reversed(rows) if row.answer}
    tell = tokenizer.convert_ids_to_tokens
    return tuple(
        Reading(
            row.source.line,
            tell(row.prompt[-1]),
            tuple(tell([*row.answer, *(ids[0] for ids in row.also)])),
            tuple(tell([*row.wrong_answer, *(ids[0] for ids in row.also_wrong)])),
            bool(row.also or row.also_wrong),
        )
        for row in list(reversed(first.values()))[:SHOWN]
    )


def text_notes(prompts: PromptSet, tokenizer: Any, chat: bool) -> list[str]:
    """Remarks on texts and tokenizer."""
    notes = []
    if getattr(tokenizer, "chat_template", None) and not chat:
        notes.append(
            "this tokenizer has a chat template and the prompts are asked without it; a chat model "
            "wants ``chat_template``, unless the turns are in the prompts"
        )
    found = unknown_words(prompts, tokenizer)
    if found:
        words = [f"{quoted(word)} ({_lines(lines)})" for word, lines in found.items()]
        more = f" and {len(words) - MOST_WORDS} more" if len(words) > MOST_WORDS else ""
        notes.append(
            f"unknown to this tokenizer, read as one and the same token or left out: "
            f"{', '.join(words[:MOST_WORDS])}{more}"
        )
    return notes


def token_notes(rows: Sequence[Encoded]) -> list[str]:
    """Remarks on the tokens of the texts."""
    notes = []
    merged = [row.source.line for row in rows if row.rest]
    if merged:
        notes.append(
            f"the end of the prompt merges with the answers on {_lines(merged)}: it is read, and "
            "scored, with them (docs/method.md, Effects)"
        )
    texts = [row for row in rows if row.corrupt is not None and row.source.corrupt is not None]
    same = [
        row.source.line
        for row in texts
        if row.corrupt == row.prompt and row.source.corrupt != row.source.prompt
    ]
    if same:
        notes.append(
            f"corrupt has the very tokens of prompt on {_lines(same)}: every effect there is 0"
        )
    return notes


def unknown_words(prompts: PromptSet, tokenizer: Any) -> Mapping[str, list[int]]:
    """Pieces of text without a token, with their lines."""
    found: dict[str, list[int]] = {}
    if not getattr(tokenizer, "is_fast", False):
        return found
    known: dict[str, list[str]] = {}
    for prompt in prompts:
        texts = [text for name in COLUMNS if (text := getattr(prompt, name)) is not None]
        texts += (*prompt.also, *prompt.also_wrong)
        for text in texts:
            if text not in known:
                known[text] = _unknown_in(text, tokenizer)
            for word in known[text]:
                lines = found.setdefault(word, [])
                if prompt.line not in lines[-1:]:
                    lines.append(prompt.line)
    return found


def _unknown_in(text: str, tokenizer: Any) -> list[str]:
    read = tokenizer(text, add_special_tokens=False, return_offsets_mapping=True)
    unknown, spans = unknown_id(tokenizer), read["offset_mapping"]
    left = [True] * len(text)
    words = []
    for token, (start, end) in zip(read["input_ids"], spans, strict=True):
        left[start:end] = [False] * (end - start)
        written = text[start:end].strip()
        if token == unknown and written != tokenizer.convert_ids_to_tokens(token):
            words.append(written)
    words += [c for c, out in zip(text, left, strict=True) if out and not c.isspace()]
    return list(dict.fromkeys(words))


def respelt(prompt: Prompt) -> Prompt | None:
    """The prompt with a blank before its answers, or without where they have one.

    None where the prompt ends in a blank, or a side is a set of answers.
    """
    if prompt.also or prompt.also_wrong:
        return None
    if prompt.answer is None or prompt.wrong_answer is None or prompt.prompt[-1:] in " \t":
        return None
    answer, wrong = (
        text[1:] if text.startswith(" ") else f" {text}"
        for text in (prompt.answer, prompt.wrong_answer)
    )
    return replace(prompt, answer=answer, wrong_answer=wrong, corrupt=None, span=None)


def _lines(lines: Sequence[int]) -> str:
    if len(lines) == 1:
        return f"line {lines[0]}"
    some = ", ".join(map(str, lines[:4]))
    return f"lines {some}{' …' if len(lines) > 4 else ''}"
