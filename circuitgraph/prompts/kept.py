"""Prompts as runs store them."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class RunPrompt:
    """A stored prompt (texts, and ``tokens``, a hash, are None for tables).

    Prompts of one ``pair`` are one observation; ``way``: −1 if exchanged as against the first.
    """

    id: str
    scenario: str
    prompt: str | None = None
    corrupt: str | None = None
    answer: str | None = None
    wrong_answer: str | None = None
    direction: int | None = None
    template: str | None = None
    span: str | None = None
    corrupt_span: str | None = None
    tokens: str | None = None
    pair: str | None = None
    way: int = 1
    also: tuple[str, ...] = ()
    also_wrong: tuple[str, ...] = ()
    game: str | None = None
    state_self: str | None = None
    state_other: str | None = None
    split: str | None = None
